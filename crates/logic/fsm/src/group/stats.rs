//! What a group committer counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::stats::{Buckets, Histogram};

/// A snapshot of one group committer. Counters start at 0 with the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupStats {
    /// Creations committed.
    pub creates: u64,
    /// Transitions committed.
    pub transitions: u64,
    /// Known event ids.
    pub repeated: u64,
    /// Changes that were tried again.
    pub retried: u64,
    /// Changes given up since others were in the way at each attempt. It should stay 0: alert on it.
    pub aborted: u64,
    /// Changes given up since the database could not be used.
    pub unavailable: u64,
    /// Changes that the database refused by themselves.
    pub refused: u64,
    /// Batches that were split to find those.
    pub split: u64,
    /// Changes whose commit's reply was lost, and whose outcome was then read back.
    pub resolved: u64,
    /// Those whose outcome could not be read back in time.
    pub unknown: u64,
    /// Changes refused with `Busy`.
    pub busy: u64,
    /// Changes that wait or are under way now.
    pub pending: usize,
    /// Changes a transaction.
    pub batch_size: Histogram,
    /// Microseconds from the beginning of a transaction to its end.
    pub commit_micros: Histogram,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) creates: AtomicU64,
    pub(super) transitions: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) aborted: AtomicU64,
    pub(super) unavailable: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) split: AtomicU64,
    pub(super) resolved: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) busy: AtomicU64,
    batch_size: Buckets,
    commit_micros: Buckets,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    pub(super) fn committed(&self, size: usize, took: Duration) {
        self.batch_size.record(size as u64);
        self.commit_micros.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn snapshot(&self, pending: usize) -> GroupStats {
        GroupStats {
            creates: self.creates.load(Relaxed),
            transitions: self.transitions.load(Relaxed),
            repeated: self.repeated.load(Relaxed),
            retried: self.retried.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
            unavailable: self.unavailable.load(Relaxed),
            refused: self.refused.load(Relaxed),
            split: self.split.load(Relaxed),
            resolved: self.resolved.load(Relaxed),
            unknown: self.unknown.load(Relaxed),
            busy: self.busy.load(Relaxed),
            pending,
            batch_size: self.batch_size.snapshot(),
            commit_micros: self.commit_micros.snapshot(),
        }
    }
}
