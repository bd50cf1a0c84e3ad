//! Two coordinators on one database, of which one has a clock that is an hour off: the store's clock is the one that counts.

use std::process::Command;
use std::time::Duration;

use aqueduct_kit::Scratch;

use crate::calls::Op;
use crate::coordinator::Coordinator;
use crate::faults::{Fault, When};
use crate::servers::{LEASE, Pair, STILL};

const HOUR: i64 = 3600;

/// A library that shifts the clock of the process that it is preloaded into.
fn library(scratch: &Scratch) -> String {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/saga_serve/clock.c");
    let library = scratch.join("clock.so");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(built.unwrap().success(), "cc does not build {source}");
    library.display().to_string()
}

/// It does believe that: its log shows the hour of its clock.
fn assert_believes(coordinator: &Coordinator, seconds: i64) {
    let now = aqueduct_runtime::clock::now_unix_ms().cast_signed() / 1000;
    let log = coordinator.logged();
    // The hour may have changed since its first line.
    let hours = [now, now - 600].map(|now| {
        let at = format!("@{}", now + seconds);
        let date = Command::new("date").args(["-u", "-d", &at, "+%Y-%m-%dT%H:"]).output();
        String::from_utf8(date.unwrap().stdout).unwrap().trim().to_owned()
    });
    assert!(hours.iter().any(|hour| log.contains(hour)), "none of {hours:?} in:\n{log}");
}

/// A transfer goes its way at once, a deadline is over when it is over, and a lease too: whoever's clock is wrong, who takes over or
/// who loses its sagas.
#[test]
fn a_clock_that_is_an_hour_off_changes_nothing() {
    let scratch = Scratch::new("saga-clock");
    let library = library(&scratch);
    let (short, long) = (LEASE * 7 / 10, Duration::from_mins(10));
    let down = Fault::Crash(When::Applied, LEASE + LEASE / 5);
    for off in [HOUR, -HOUR] {
        for wrong in 0..2 {
            let mut env = [Vec::new(), Vec::new()];
            let variables = [("LD_PRELOAD", library.clone()), ("CLOCK_OFF_BY", off.to_string())];
            env[wrong] = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
            let pair = Pair::start_in("saga-clock", env);
            assert_believes(if wrong == 0 { &pair.first } else { &pair.other }, off);
            for (name, deadline, fault, end) in [
                ("alone", long, Fault::None, "COMPLETED"),
                ("asked-again", long, Fault::Status(500), "COMPLETED"),
                ("taken-over", long, down, "COMPLETED"),
                ("still", short, Fault::Freeze(STILL), "COMPENSATED"),
            ] {
                let id = format!("{name}-{wrong}");
                let saga = pair.run(&id, deadline, ("debit", Op::Execute), fault);
                assert_eq!(saga["status"], end, "{id}, off by {off} s: {saga:#}");
            }
        }
    }
}
