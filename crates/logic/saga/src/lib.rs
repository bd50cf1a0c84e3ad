//! Runs steps and compensations durably against a store.
//!
//! A saga is a plan of steps, each at a participant of its own: compensable ones, at most one pivot, then retriable ones. A
//! [`Coordinator`] keeps what happened to it as a log in a [`Store`] and decides from that alone, so that
//!
//! - a submission that was answered is never lost, and ends: completed, or compensated in reverse order;
//! - the intent of every call is durable before the call, and so is the turn to compensation;
//! - of several coordinators one has a saga, under a lease; one that lost it cannot write any more;
//! - what cannot go on is parked for somebody to decide, and slows nothing else.
//!
//! Participants keep their half of the bargain with a [`barrier`]. The steps are those of a plan that somebody sends
//! ([`Definition::Dynamic`]), carried by an [`Executor`], or Rust code ([`typed`]). Stores are [`Memory`], `fjall` and `mysql`, by the features
//! of these names. The README has an example.
//!
//! The way of a saga through the crate: `coordinator` (submit) → `run` (claim) → `drive` (write, send, hear) ⇄ `decide` and
//! `state` (what follows, without I/O) → `log`.

mod backoff;
pub mod barrier;
mod clock;
mod coordinator;
mod decide;
mod drive;
mod error;
mod executor;
#[cfg(feature = "fjall")]
pub mod fjall;
mod held;
mod id;
pub mod log;
mod memory;
#[cfg(test)]
mod model;
#[cfg(feature = "mysql")]
pub mod mysql;
mod options;
mod owned;
mod plan;
mod run;
mod shared;
mod show;
#[cfg(test)]
mod sim;
mod state;
pub mod store;
mod table;
#[cfg(test)]
mod tests;
pub mod typed;
mod view;
mod waiters;
mod wire;

pub use clock::Clock;
pub use coordinator::{Coordinator, Submit, Submitted};
pub use error::{OperateError, StoreError, SubmitError};
pub use executor::{Call, Executor, Outcome};
pub use id::{InvalidId, SagaId};
pub use memory::Memory;
pub use options::{InvalidOptions, Options};
pub use plan::{Definition, Kind, MOST_BYTES, MOST_STEPS, Op, Plan, PlanStep};
pub use shared::Snapshot;
pub use store::Store;
pub use view::{Entry, Filter, Millis, Phase, Progress, Status, StepView, Summary, View, What};

#[cfg(all(doctest, feature = "fjall"))]
#[doc = include_str!("../README.md")]
struct Readme;
