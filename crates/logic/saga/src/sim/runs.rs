//! Seeds that must break no promise, promises that are broken on purpose, and what the seeds reach.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::Mutation;
use super::check::Violation;
use super::store::{SimStore, Site};
use super::world::run;
use crate::tests::bench::{LONG, Reply, Script, id, submission, timeline, until};
use crate::{Coordinator, Options, Status, Submit, What};

const TESTS: usize = 4;

fn count() -> u64 {
    match std::env::var("AQUEDUCT_SIM_SEEDS") {
        Ok(text) => text.parse().ok().filter(|n| *n > 0).expect("AQUEDUCT_SIM_SEEDS is a positive number"),
        Err(_) => 500,
    }
}

/// Every fourth seed from this one on.
fn check(first: u64) {
    let mut broken = Vec::new();
    for seed in (first..count()).step_by(TESTS) {
        let run = run(seed, None);
        if !run.violations.is_empty() {
            println!("seed {seed}: {:?}", run.violations);
            broken.push(seed);
        }
    }
    assert_eq!(broken, [0; 0], "seeds that break a promise: AQUEDUCT_SIM_SEED=… runs one again");
}

#[test]
fn part_0_breaks_no_promise() {
    check(0);
}

#[test]
fn part_1_breaks_no_promise() {
    check(1);
}

#[test]
fn part_2_breaks_no_promise() {
    check(2);
}

#[test]
fn part_3_breaks_no_promise() {
    check(3);
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..5 {
        assert_eq!(run(seed, None).views, run(seed, None).views, "seed {seed}");
    }
}

/// Prints the logs of `AQUEDUCT_SIM_SEED`; of the first seed when there is none.
#[test]
fn replay() {
    let seed = std::env::var("AQUEDUCT_SIM_SEED").unwrap_or_else(|_| "0".to_owned());
    let run = run(seed.parse().expect("AQUEDUCT_SIM_SEED is a number"), None);
    for view in &run.views {
        println!("{} {} {:?}, deadline {:?}", view.id, view.status, view.reason, view.deadline_at);
        for entry in &view.timeline {
            println!(
                "{:>4} {} {} {:?} {:?} {} {}",
                entry.seq, entry.at, entry.what, entry.step, entry.op, entry.attempt, entry.detail
            );
        }
    }
    assert_eq!(run.violations, []);
}

/// A broken promise is noticed, and as what it is.
fn notices(mutation: Mutation, expect: fn(&Violation) -> bool) {
    let noticed = |seed: u64| {
        let violations = run(seed, Some(mutation)).violations;
        let noticed = violations.into_iter().find(expect);
        noticed.inspect(|violation| println!("{mutation:?}, seed {seed}: {violation:?}")).is_some()
    };
    assert!((0..500).any(noticed), "nobody noticed {mutation:?}");
}

#[test]
fn a_store_without_epochs_is_noticed() {
    notices(Mutation::IgnoreEpoch, |_| true);
}

#[test]
fn intents_behind_the_calls_are_noticed() {
    notices(Mutation::LateIntent, |violation| matches!(violation, Violation::Sum(_)));
    notices(Mutation::LateIntent, |violation| matches!(violation, Violation::Attempt(_)));
}

#[test]
fn a_barrier_that_forgets_failures_is_noticed() {
    notices(Mutation::ForgetFailure, |violation| matches!(violation, Violation::Sum(_)));
}

#[test]
fn no_barrier_is_noticed() {
    notices(Mutation::WithoutBarrier, |violation| matches!(violation, Violation::Effects(_)));
}

/// The pivot's intent becomes durable only after the deadline: its call is not made.
#[tokio::test(start_paused = true)]
async fn an_intent_that_comes_too_late_is_withdrawn() {
    let site = Site::new(1, 0, None);
    let sagas = Coordinator::open(SimStore::new(&site), Options::default()).unwrap();
    let script = Script::default().on("c0 execute", [Reply::Slow]);
    let submit = Submit { deadline: Some(Duration::from_secs(1)), ..submission("s", "cp") };
    let view = until(&sagas, &script, async {
        sagas.submit(submit).await.unwrap();
        script.called(1).await;
        let now = Instant::now();
        *site.down.lock().unwrap() = Some((now, now + Duration::from_secs(2)));
        tokio::time::sleep(Duration::from_secs(3)).await;
        sagas.wait(&id("s"), LONG).await.unwrap().unwrap()
    })
    .await;
    assert_eq!(view.status, Status::Compensated);
    assert_eq!(script.calls(), ["c0 execute 1", "c0 compensate 1"]);
    let lines = timeline(&view);
    assert_eq!(lines[3..6], ["SENT p1 execute 1", "WITHDRAWN p1 execute 1", "TURNED"]);
}

/// A simulation that never comes to a place proves nothing about it.
#[test]
fn the_seeds_come_everywhere() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        for view in run(seed, None).views {
            seen.insert(view.status.as_str());
            seen.extend(view.timeline.iter().map(|entry| entry.what.as_str()));
            if view.reason.contains("deadline") {
                seen.insert("a deadline");
            }
            let retried = |entry: &crate::Entry| entry.what == What::Sent && entry.attempt > 2;
            seen.extend(view.timeline.iter().any(retried).then_some("a third attempt"));
        }
    }
    let expect = [
        "a deadline",
        "a third attempt",
        "COMPENSATED",
        "COMPLETED",
        "CREATED",
        "DONE",
        "REJECTED",
        "SENT",
        "TURNED",
        "UNKNOWN",
    ];
    assert_eq!(seen, BTreeSet::from(expect));
}
