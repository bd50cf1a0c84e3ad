//! Runs of the simulation.

use aqueduct_sim::run;

#[test]
fn replay() {
    let Some(seed) = std::env::var("AQUEDUCT_SIM_SEED").ok() else { return };
    let run = run(seed.parse().expect("AQUEDUCT_SIM_SEED is a number"), None);
    for event in &run.history {
        println!("{event:?}");
    }
    assert_eq!(run.violations, []);
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..5 {
        assert_eq!(run(seed, None).history, run(seed, None).history, "seed {seed}");
    }
}

#[test]
fn seeds() {
    let mut bad = 0;
    for seed in 0..100 {
        let run = run(seed, None);
        if let Some(first) = run.violations.first() {
            println!("seed {seed}: {} violations, {first:?}", run.violations.len());
            bad += 1;
        }
    }
    assert_eq!(bad, 0);
}
