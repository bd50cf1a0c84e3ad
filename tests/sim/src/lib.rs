//! The data layer in a simulation: everything that can fail, in one thread, from one seed.
//!
//! What runs is the real code: the first level ([`aqueduct_cache::Cache`]), the tier, the scripts of the second level under a real
//! Lua 5.1, the assembler, the feed and the followers of `aqueduct_cdc`. What is modelled is what is outside: databases whose
//! events come before their rows, Redis with a replica that is behind, a bus, and the network. Tokio's paused clock is the
//! only one, and everything that is drawn is drawn from the seed, so a seed is a history. [`checker`] says which promises it
//! breaks; [`Mutation`]s break one on purpose.

mod bus;
mod cdc;
pub mod checker;
pub mod history;
mod instance;
mod mutation;
mod plan;
pub mod random;
mod redis;
mod store;
mod workload;
mod world;

pub use mutation::Mutation;
pub use world::{Run, run};
