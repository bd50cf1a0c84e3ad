//! What callers are told.

use crate::view::Status;

/// A store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// For now: the same may work later. Whether it was done is unknown.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// For good: only a restart tells what is stored.
    #[error("the store has failed: {0}")]
    Failed(String),
    /// This saga's rows make no sense; other sagas are well.
    #[error("damaged: {0}")]
    Damaged(String),
}

/// A submission that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Another saga has this id.
    #[error("a saga with this id and another content exists")]
    Conflict,
    /// The client's fault, and what it is.
    #[error("{0}")]
    Invalid(String),
    /// The coordinator takes no more.
    #[error("the coordinator is closed")]
    Closed,
    /// It may have been stored; the same submission again finds out.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an operator asked for was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// There is no such saga, or not any more.
    #[error("there is no such saga")]
    NotFound,
    /// It waits for nobody's decision.
    #[error("only a parked saga can be {wanted}, and this one is {status}")]
    NotParked {
        /// `retried`, `skipped` or `abandoned`.
        wanted: &'static str,
        /// How it is.
        status: Status,
    },
    /// It is parked, but not because of a call: its log is damaged, say, or its definition unknown.
    #[error(
        "the saga is stuck at no call that could be skipped; retry it once what its reason names is mended, or abandon it"
    )]
    NothingToSkip,
    /// It may have been done; look again.
    #[error(transparent)]
    Store(#[from] StoreError),
}
