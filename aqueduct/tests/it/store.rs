//! A store that fails under a running system: not ready at once, one clear line, exit code 1, and nothing that was
//! acknowledged is lost.

use std::process::Command;

use aqueduct_kit::Scratch;
use aqueduct_kit::process::within;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::kit::{Ports, Up, aqueduct, order, place};

#[test]
fn a_disk_that_takes_no_more_ends_the_process() {
    let scratch = Scratch::new("full");
    // The signal that would end the process is ignored, so that writes fail as they do on a full disk.
    let mut shell = Command::new("sh");
    let binary = aqueduct(scratch.path());
    shell.current_dir(scratch.path()).args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    shell.arg(binary.get_program());
    let mut up = Up::start_on(Ports::free(), &mut shell, &[]);
    let mut edge = up.edge();
    let mut acknowledged: Vec<_> = (0..20).map(|_| place(&mut edge)).collect();

    let pid = Pid::from_raw(i32::try_from(up.process.pid()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: Some(1), maximum: Some(1) }).unwrap();
    while let Ok(answer) = edge.post("/v1/orders", &order()) {
        if answer.status() == 200 {
            acknowledged.push(answer.json()["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(up.process.wait_exit(within(30)).unwrap().code(), Some(1), "{}", up.process.printed());
    let reason = up.process.wait_line("error: ", within(10)).unwrap();
    assert!(
        reason.contains("the store failed: ") && reason.contains("data can be written, then start again"),
        "{reason}"
    );

    let again = Up::start(&scratch, &[]);
    let mut edge = again.edge();
    for id in acknowledged {
        assert_eq!(edge.get(&format!("/v1/orders/{id}")).unwrap().status(), 200, "{id}");
    }
    assert_eq!(again.stop(), Some(0));
}
