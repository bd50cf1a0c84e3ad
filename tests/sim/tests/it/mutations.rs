//! Promises that are broken on purpose: the checker must notice each, and say which it is.

use aqueduct_cache::Mutation as Level1;
use aqueduct_sim::checker::Rule;
use aqueduct_sim::{Mutation, run};

/// Within how many seeds. Most are noticed in the first ten.
const SEEDS: u64 = 300;

fn check(mutation: Mutation, expect: &[Rule]) {
    let notices = |seed: &u64| {
        let violations = run(*seed, Some(mutation)).violations;
        let noticed = violations.into_iter().find(|violation| expect.contains(&violation.rule));
        noticed.inspect(|violation| println!("{mutation:?}, seed {seed}: {violation:?}")).is_some()
    };
    assert!((0..SEEDS).any(|seed| notices(&seed)), "nobody noticed {mutation:?} in {SEEDS} seeds");
}

#[test]
fn a_bare_delete_instead_of_a_floor_is_noticed() {
    check(Mutation::BareDelete, &[Rule::NeverDown]);
}

#[test]
fn a_fill_without_a_lease_is_noticed() {
    check(Mutation::NoLease, &[Rule::OneLoader]);
}

#[test]
fn versions_as_numbers_of_lua_are_noticed() {
    check(Mutation::ToNumber, &[Rule::NeverDown]);
}

#[test]
fn entries_without_a_masters_stamp_are_noticed() {
    check(Mutation::NoStamp, &[Rule::Current, Rule::NeverDown]);
}

#[test]
fn what_a_replaced_master_answers_is_noticed() {
    check(Mutation::AnyMaster, &[Rule::Current]);
}

#[test]
fn a_checkpoint_before_the_acknowledgement_is_noticed() {
    check(Mutation::CheckpointBeforeAcknowledge, &[Rule::Checkpoint]);
    check(Mutation::CheckpointBeforeAcknowledge, &[Rule::NothingLost]);
}

#[test]
fn rows_of_a_prepared_transaction_that_are_told_are_noticed() {
    check(Mutation::XaReleasedAtPrepare, &[Rule::NothingLost]);
}

#[test]
fn instances_that_share_a_place_in_the_stream_are_noticed() {
    check(Mutation::QueueGroup, &[Rule::Current]);
}

#[test]
fn a_load_that_is_kept_despite_a_fence_is_noticed() {
    check(Mutation::Level1(Level1::FillDespiteFence), &[Rule::Current, Rule::ReadYourWrites]);
}

#[test]
fn other_broken_promises_of_the_first_level_are_noticed() {
    check(Mutation::Level1(Level1::FenceKeepsEntry), &[Rule::ReadYourWrites]);
    check(Mutation::Level1(Level1::JoinDespiteFence), &[Rule::ReadYourWrites]);
    check(Mutation::Level1(Level1::FlushForgetsLoads), &[Rule::Current]);
    check(Mutation::Level1(Level1::NoWatermark), &[Rule::Current]);
}
