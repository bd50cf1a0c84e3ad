//! The real engine in a simulation: a seed decides what is lost, doubled, delayed and reordered, when a coordinator crashes or
//! stands still past its lease, and when the store is down. Afterwards a checker looks for broken promises.
//!
//! 500 seeds, or as many as `AQUEDUCT_SIM_SEEDS` says. A seed that breaks a promise is printed;
//! `AQUEDUCT_SIM_SEED=7 cargo test -p aqueduct-saga --lib sim::runs::replay -- --nocapture` runs it again and prints its logs.

mod bank;
mod check;
mod net;
mod node;
mod random;
mod runs;
mod store;
mod world;

/// A promise, broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// The store takes what a coordinator writes that has lost the saga.
    IgnoreEpoch,
    /// Intents are written behind the calls, and lost in a crash.
    LateIntent,
    /// The barrier does not record definite failures.
    ForgetFailure,
    /// There is no barrier.
    WithoutBarrier,
}
