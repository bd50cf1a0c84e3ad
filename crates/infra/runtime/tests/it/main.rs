//! Signals act on the whole process, so their test is a process of its own.

use aqueduct_runtime::signal::{Signal, Signals};
use std::process::Command;

#[tokio::test]
async fn requests_to_stop_are_taken_one_by_one() {
    let send = |signal: &str| {
        let pid = std::process::id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    };
    let mut signals = Signals::install().unwrap();
    send("-TERM");
    assert_eq!(signals.next().await, Signal::Terminate);
    send("-INT");
    let second = signals.next().await;
    assert_eq!((second, second.number()), (Signal::Interrupt, 2));
}
