//! Promises that are broken on purpose: the checker must notice each.

use aqueduct_sim::checker::Rule;
use aqueduct_sim::{Mutation, run};

/// Within how many seeds.
const SEEDS: u64 = 60;

fn check(mutation: Mutation) {
    let mut all = Vec::new();
    for seed in 0..SEEDS {
        let violations = run(seed, Some(mutation)).violations;
        let mut rules: Vec<Rule> = violations.iter().map(|violation| violation.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        if !rules.is_empty() {
            all.push((seed, rules, violations[0].clone()));
        }
    }
    println!("{mutation:?}: {} of {SEEDS}", all.len());
    for (seed, rules, first) in all.iter().take(10) {
        println!("  {seed} {rules:?} {first:?}");
    }
}

#[test]
fn all() {
    for mutation in Mutation::ALL {
        check(mutation);
    }
}
