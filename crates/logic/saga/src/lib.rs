//! Runs steps and compensations durably against a store.

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
