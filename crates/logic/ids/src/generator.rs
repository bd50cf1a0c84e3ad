//! The handle that mints: cloned freely, used from any thread, never blocking.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::IdError;
use crate::layout::{Id, Layout, Route};
use crate::sequence::Sequences;

/// Mints IDs for as long as its [`Lease`](crate::Lease) is renewed. Clones share their sequences.
#[derive(Clone, Debug)]
pub struct Generator(Arc<Source>);

/// What the generators and the lease share.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) layout: Layout,
    pub(crate) worker: u16,
    pub(crate) epoch_ms: u64,
    pub(crate) clock: Clock,
    pub(crate) sequences: Sequences,
}

impl Source {
    /// The wall clock, in ms since the epoch.
    pub(crate) fn now(&self) -> i64 {
        self.clock.since(self.epoch_ms)
    }
}

impl Generator {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self(source)
    }

    /// Mints the next ID of a route: greater than every other this worker minted for it, restarts included.
    ///
    /// Lock-free and without allocation; reading the clock is most of its cost. A millisecond that is full
    /// borrows from the next, up to one second ahead of the wall clock.
    ///
    /// # Errors
    /// [`IdError`]; nothing is used up by a refusal.
    pub fn next_id(&self, route: Route) -> Result<Id, IdError> {
        let source = &*self.0;
        let stamp = source.sequences.next(route, source.now())?;
        Ok(source.layout.encode(stamp, route, source.worker))
    }

    /// Whether every route could mint now, for a health check; takes no ID.
    ///
    /// # Errors
    /// What the worst route would answer.
    pub fn ready(&self) -> Result<(), IdError> {
        self.0.sequences.ready(self.0.now())
    }

    /// How long the clock needs to catch up with the IDs already minted; zero when it need not.
    ///
    /// After a crash this is at most the half second by which the mark ran ahead, unless the clock was set back.
    pub fn ready_in(&self) -> Duration {
        match self.ready() {
            Err(IdError::ClockBehind { by }) => by,
            Ok(()) | Err(IdError::NotReserved | IdError::TimeExhausted | IdError::Closed) => Duration::ZERO,
        }
    }

    /// The layout of the IDs, to decode them.
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// The instant that IDs count from, in ms of Unix time.
    pub fn epoch_ms(&self) -> u64 {
        self.0.epoch_ms
    }
}
