//! Why a read has no answer.

use std::{sync::Arc, time::Duration};

/// Why a read has no answer. One error is shared by all callers that waited for the same load.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// The loader failed, and nothing usable is cached.
    #[error("the load failed: {0}")]
    Load(Arc<E>),
    /// Too many loads are running ([`Builder::max_loads`](crate::Builder::max_loads)). Worth a retry with back-off.
    #[error("{max_loads} loads are running already")]
    Overloaded {
        /// The bound.
        max_loads: usize,
    },
    /// The load took longer than [`Builder::load_timeout`](crate::Builder::load_timeout) and was dropped.
    #[error("the load took longer than {0:?}")]
    TimedOut(Duration),
    /// The loader read a version older than one already announced: the store it reads from lags behind. Worth a
    /// retry, best at the primary.
    #[error("the load returned version {loaded}, but {floor} is known")]
    Behind {
        /// What the loader returned.
        loaded: u64,
        /// The least version that may be answered.
        floor: u64,
    },
    /// The loader panicked.
    #[error("the load panicked")]
    Panicked,
    /// The load's task was dropped before it ended: the owner's runtime is shutting down.
    #[error("the load was dropped before it ended")]
    Dropped,
}

impl<E> Error<E> {
    /// A stable word for metric labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Load(_) => "load",
            Self::Overloaded { .. } => "overloaded",
            Self::TimedOut(_) => "timed_out",
            Self::Behind { .. } => "behind",
            Self::Panicked => "panicked",
            Self::Dropped => "dropped",
        }
    }
}

// Derived, this would ask `E: Clone`, which few errors are; the `Arc` is what makes sharing possible.
impl<E> Clone for Error<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Load(error) => Self::Load(Arc::clone(error)),
            Self::Overloaded { max_loads } => Self::Overloaded { max_loads: *max_loads },
            Self::TimedOut(limit) => Self::TimedOut(*limit),
            Self::Behind { loaded, floor } => Self::Behind { loaded: *loaded, floor: *floor },
            Self::Panicked => Self::Panicked,
            Self::Dropped => Self::Dropped,
        }
    }
}
