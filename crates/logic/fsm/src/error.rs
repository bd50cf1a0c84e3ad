//! What a call can answer besides success.

use crate::machine::MachineError;
use crate::store::StoreError;

/// Why a creation or a transition did not take place. `S` is the machine's state.
#[derive(Debug, thiserror::Error)]
pub enum Error<S: std::fmt::Debug> {
    /// There is no such entity. The caller's fault.
    #[error("no such entity")]
    NotFound,
    /// A creation of an entity that exists. The caller's fault: keys are minted once.
    #[error("the entity exists")]
    Exists,
    /// The event is not legal in the present state. The caller's fault.
    #[error("illegal in state {state:?} (version {version})")]
    Illegal {
        /// The present state.
        state: S,
        /// The present version.
        version: u64,
    },
    /// The event id belongs to another event of this entity. The caller's fault.
    #[error("the event id was used for another event, which led to version {version}")]
    EventReused {
        /// The version that the other event led to.
        version: u64,
    },
    /// The queue or the table of words is full. Nothing was done; a later attempt may succeed.
    #[error("busy: too many changes are waiting")]
    Busy,
    /// The store could not be read. Nothing was done.
    #[error("the store cannot be read")]
    Read(#[source] StoreError),
    /// The store failed, now or before; [`Fsm::failed`](crate::Fsm::failed) knows why. Whether this change is on disk is unknown
    /// until a restart; nobody was told that it is.
    #[error("the store failed")]
    Failed,
    /// The committer was closed.
    #[error("closed")]
    Closed,
}

/// Why a committer could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The machine's table is broken.
    #[error("the machine is broken: {0}")]
    Machine(#[from] MachineError),
    /// An option is out of its bounds.
    #[error("{option} must be in {min}..={max}, not {value}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it was.
        value: usize,
        /// The least value.
        min: usize,
        /// The greatest value.
        max: usize,
    },
    /// The thread could not be started.
    #[error("start the committer's thread: {0}")]
    Thread(#[from] std::io::Error),
}
