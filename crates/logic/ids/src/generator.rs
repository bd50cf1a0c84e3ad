//! The handle that mints: cloned freely, used from any thread, never blocking.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
#[cfg(feature = "shared")]
use crate::clock::Steady;
use crate::error::IdError;
use crate::layout::{Id, Layout, Route};
use crate::sequence::Sequences;
#[cfg(feature = "shared")]
use crate::{
    sequence::Padded,
    sync::{AtomicU64, Ordering},
};

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
    /// Until when the worker number is this node's, where others may get it.
    #[cfg(feature = "shared")]
    pub(crate) term: Option<Term>,
}

/// The time for which a shared lease was granted. It is read with every ID, because a process that was paused for longer than
/// that must not go on as if nothing had happened, and no task or thread is sure to run before the one that mints.
#[cfg(feature = "shared")]
#[derive(Debug)]
pub(crate) struct Term {
    steady: Steady,
    /// In ms of the steady clock. Alone in its cache lines: every ID reads it.
    ends: Padded,
}

#[cfg(feature = "shared")]
impl Term {
    /// One that has ended already.
    pub(crate) fn new(steady: Steady) -> Self {
        Self { steady, ends: Padded(AtomicU64::new(0)) }
    }

    pub(crate) fn steady_ms(&self) -> u64 {
        self.steady.ms()
    }

    /// Until `ends`, in ms of the steady clock.
    pub(crate) fn set(&self, ends: u64) {
        self.ends.0.store(ends, Ordering::Release);
    }

    fn check(&self) -> Result<(), IdError> {
        if self.steady.ms() < self.ends.0.load(Ordering::Acquire) { Ok(()) } else { Err(IdError::TermEnded) }
    }
}

impl Source {
    /// The wall clock, in ms since the epoch.
    pub(crate) fn now(&self) -> i64 {
        self.clock.since(self.epoch_ms)
    }

    /// Always, under a lease that is no shared one.
    fn in_term(&self) -> Result<(), IdError> {
        #[cfg(feature = "shared")]
        if let Some(term) = &self.term {
            return term.check();
        }
        Ok(())
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
    /// [`IdError`]; nothing is used up by a refusal, but for that of `TermEnded`.
    pub fn next_id(&self, route: Route) -> Result<Id, IdError> {
        let source = &*self.0;
        let stamp = source.sequences.next(route, source.now())?;
        // Afterwards: a thread may be stopped between any two instructions, and an ID that was taken before the term's end
        // is this node's whenever it is used.
        source.in_term()?;
        Ok(source.layout.encode(stamp, route, source.worker))
    }

    /// Whether every route could mint now, for a health check; takes no ID.
    ///
    /// # Errors
    /// What the worst route would answer.
    pub fn ready(&self) -> Result<(), IdError> {
        self.0.in_term()?;
        self.0.sequences.ready(self.0.now())
    }

    /// How long the clock needs to catch up with the IDs already minted; zero when it need not.
    ///
    /// After a crash this is at most the half second by which the mark ran ahead, unless the clock was set back.
    pub fn ready_in(&self) -> Duration {
        match self.ready() {
            Err(IdError::ClockBehind { by }) => by,
            Ok(())
            | Err(IdError::NotReserved | IdError::TermEnded | IdError::TimeExhausted | IdError::Closed) => {
                Duration::ZERO
            }
        }
    }

    /// The layout of the IDs, to decode them.
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// The worker number in the IDs.
    pub fn worker(&self) -> u16 {
        self.0.worker
    }

    /// The instant that IDs count from, in ms of Unix time.
    pub fn epoch_ms(&self) -> u64 {
        self.0.epoch_ms
    }
}
