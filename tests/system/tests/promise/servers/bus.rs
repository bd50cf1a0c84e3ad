//! The bus is killed, and comes back.

use aqueduct_kit::faults;
use std::time::Duration;

use super::run::Run;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promises_hold_when_the_bus_is_killed() {
    let mut run = Run::start("promise-bus-kill").await;
    for _ in 0..faults() {
        run.work().await;
        run.blocking("kill -9 of the bus", |site| site.nats.kill9().unwrap());
        run.work_for(Duration::from_millis(1500)).await;
        run.blocking("the bus is back", |site| site.nats.restart().unwrap());
        run.work().await;
        let seen = run.check().await;
        assert!(seen.marked > 0, "nothing was stale: {seen:?}");
    }
    run.end().await;
}
