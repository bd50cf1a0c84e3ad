//! Up to which instant invalidations are known to have been applied: what lets an answer go out unmarked.

use crate::{
    Stamp,
    clock::{Clock, Nanos, nanos},
};
use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};
use tokio::time::Instant;

/// For each source of changes (a database server whose log is followed) two instants on this process's monotonic clock:
/// every change committed before the first has been applied to the caches in memory, every one before the second to the
/// second level. Who follows the changes raises them; caches ([`Builder::watermarks`](crate::Builder::watermarks)) and the second
/// level's tiers read them. One per process; a clone is another handle to the same.
///
/// A watermark is *current* while it is no more than Δ ago. How they are found: the process writes a number into a row of its own
/// through the primary, and remembers the instant *before* it sent it. When the number comes back in the stream of changes, all
/// that was committed before that instant came before it.
#[derive(Debug, Clone)]
pub struct Watermarks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Clock,
    delta: Nanos,
    sources: Box<[Source]>,
}

/// What the second level has, and where.
#[cfg_attr(
    not(feature = "l2"),
    allow(dead_code, reason = "only the second level's tiers ask for its masters")
)]
#[derive(Debug, Clone)]
pub(crate) struct Level2 {
    /// Everything that was committed before has been applied.
    pub(crate) at: Instant,
    /// At these masters.
    pub(crate) masters: Arc<[Stamp]>,
}

/// The first as the last instant at which the watermark is still current: one comparison with a clock that was read already is all a hit
/// pays. 0: nothing is known. A cache line each, since hits on all cores read what the follower writes.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Source {
    l1: AtomicU64,
    l2: RwLock<Option<Level2>>,
}

impl Watermarks {
    /// The usual Δ.
    pub const DELTA: Duration = Duration::from_secs(1);

    /// Nothing is known yet of any of the `sources`, so nothing is current.
    pub fn new(sources: usize, delta: Duration) -> Self {
        let sources = (0..sources).map(|_| Source::default()).collect();
        Self { inner: Arc::new(Inner { clock: Clock::new(), delta: nanos(delta), sources }) }
    }

    /// How old what an unmarked answer shows may be.
    pub fn delta(&self) -> Duration {
        Duration::from_nanos(self.inner.delta)
    }

    /// All that a source committed before `at` has been applied to the caches in memory. It only goes up. A source that does
    /// not exist is never current, and raising it does nothing.
    pub fn l1(&self, source: usize, at: Instant) {
        let until = self.inner.clock.nanos_at(at).saturating_add(self.inner.delta);
        if let Some(source) = self.inner.sources.get(source) {
            source.l1.fetch_max(until, Release);
        }
    }

    /// All that a source committed before `at` has been applied to the second level: `masters` are those that have it, or need not. What
    /// another one says is not answered unmarked. It only goes up.
    pub fn l2(&self, source: usize, at: Instant, masters: &[Stamp]) {
        let Some(source) = self.inner.sources.get(source) else { return };
        let mut held = source.l2.write().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|held| held.at <= at) {
            *held = Some(Level2 { at, masters: masters.into() });
        }
    }

    /// Nothing is known any more of a source: a gap in its changes, or a connection that was lost. Flush the caches first.
    pub fn lost(&self, source: usize) {
        if let Some(source) = self.inner.sources.get(source) {
            source.l1.store(0, Release);
            *source.l2.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Whether the caches in memory are at most Δ behind the source.
    pub fn is_current(&self, source: usize) -> bool {
        self.inner.clock.now() < self.l1_until(source)
    }

    /// Whether the second level is at most Δ behind the source.
    pub fn l2_is_current(&self, source: usize) -> bool {
        self.l2_at(source).is_some_and(|at| at.elapsed() < self.delta())
    }

    /// How far the caches in memory may be behind the source, at most; `None` when nothing is known.
    pub fn lag(&self, source: usize) -> Option<Duration> {
        self.at(self.l1_until(source)).map(|at| at.elapsed())
    }

    /// How far the second level may be behind the source, at most; `None` when nothing is known.
    pub fn l2_lag(&self, source: usize) -> Option<Duration> {
        self.l2_at(source).map(|at| at.elapsed())
    }

    /// The second level's watermark; `None` when nothing is known.
    pub fn l2_at(&self, source: usize) -> Option<Instant> {
        self.level2(source).map(|level2| level2.at)
    }

    pub(crate) fn level2(&self, source: usize) -> Option<Level2> {
        self.inner.sources.get(source)?.l2.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many sources there are.
    pub fn sources(&self) -> usize {
        self.inner.sources.len()
    }

    /// The clock by which [`Watermarks::l1_until`] counts.
    pub(crate) fn clock(&self) -> Clock {
        self.inner.clock
    }

    pub(crate) fn delta_nanos(&self) -> Nanos {
        self.inner.delta
    }

    /// Until when the caches in memory are current.
    // To be read *before* the table. The follower removes what an invalidation condemns, and raises the watermark then; so who sees
    // the watermark cannot find the entry any more. The other way round a reader could hold an old entry while both happen.
    #[inline]
    pub(crate) fn l1_until(&self, source: usize) -> Nanos {
        self.inner.sources.get(source).map_or(0, |source| source.l1.load(Acquire))
    }

    /// The watermark that is current until then.
    fn at(&self, until: Nanos) -> Option<Instant> {
        (until != 0).then(|| self.inner.clock.instant(until.saturating_sub(self.inner.delta)))
    }
}
