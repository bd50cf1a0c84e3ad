//! Seeds that must break no promise: 500, or as many as `AQUEDUCT_SIM_SEEDS` says, in five tests that run side by side.

use aqueduct_sim::run;

const TESTS: usize = 5;

/// How many seeds there are.
fn count() -> u64 {
    match std::env::var("AQUEDUCT_SIM_SEEDS") {
        Ok(text) => text.parse().ok().filter(|n| *n > 0).expect("AQUEDUCT_SIM_SEEDS is a positive number"),
        Err(_) => 500,
    }
}

/// Every fifth seed from this one on.
fn check(first: u64) {
    let mut broken = 0;
    for seed in (first..count()).step_by(TESTS) {
        let run = run(seed, None);
        for violation in run.violations.iter().take(3) {
            println!("seed {seed}: {violation:?}");
        }
        if !run.violations.is_empty() {
            broken += 1;
            println!("AQUEDUCT_SIM_SEED={seed} cargo nextest run -p aqueduct-sim replay --no-capture");
        }
    }
    assert_eq!(broken, 0, "seeds that break a promise, listed above");
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
fn part_4_breaks_no_promise() {
    check(4);
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..10 {
        assert_eq!(run(seed, None).history, run(seed, None).history, "seed {seed}");
    }
}

/// Prints the history of `AQUEDUCT_SIM_SEED`; of the first seed when there is none.
#[test]
fn replay() {
    let seed = std::env::var("AQUEDUCT_SIM_SEED").unwrap_or_else(|_| "0".to_owned());
    let run = run(seed.parse().expect("AQUEDUCT_SIM_SEED is a number"), None);
    for (number, event) in run.history.iter().enumerate() {
        println!("{number:>5} {event:?}");
    }
    assert_eq!(run.violations, []);
}
