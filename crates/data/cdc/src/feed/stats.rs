//! What a feed counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::change::Reason;

/// A feed at one moment. Counters begin at 0 with each feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions that it took.
    pub transactions: u64,
    /// Of these, how many the bus and the second level have: what the checkpoint may pass.
    pub settled: u64,
    /// Rows that were told.
    pub changes: u64,
    /// Heartbeats that were told.
    pub beats: u64,
    /// Bumps that were told, by [`Reason::label`].
    pub bumps: BTreeMap<&'static str, u64>,
    /// Records that the bus acknowledged.
    pub records: u64,
    /// The bus's epoch.
    pub epoch: u64,
    /// Floors that wait for the second level.
    pub queue: u64,
    /// Floors that the second level has acknowledged.
    pub floors: u64,
    /// Floors that were let go, for which the epochs of their tables were or will be raised.
    pub let_go: u64,
    /// Attempts that the second level did not acknowledge.
    pub failures: u64,
    /// Whether the last attempt was one of them.
    pub failing: bool,
    /// Tables whose epoch must still be raised.
    pub pending: u64,
}

/// Reads a feed's figures from anywhere.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Inner>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) transactions: AtomicU64,
    pub(crate) settled: AtomicU64,
    pub(crate) changes: AtomicU64,
    pub(crate) beats: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) epoch: AtomicU64,
    pub(crate) queue: AtomicU64,
    pub(crate) floors: AtomicU64,
    pub(crate) let_go: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) failing: AtomicBool,
    pub(crate) pending: AtomicU64,
    bumps: Mutex<BTreeMap<&'static str, u64>>,
}

impl Inner {
    pub(crate) fn bump(&self, reason: &Reason) {
        *self.bumps.lock().unwrap_or_else(PoisonError::into_inner).entry(reason.label()).or_default() += 1;
    }
}

impl Gauge {
    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The figures now.
    pub fn stats(&self) -> Stats {
        let inner = &*self.0;
        Stats {
            transactions: inner.transactions.load(Relaxed),
            settled: inner.settled.load(Relaxed),
            changes: inner.changes.load(Relaxed),
            beats: inner.beats.load(Relaxed),
            bumps: inner.bumps.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            records: inner.records.load(Relaxed),
            epoch: inner.epoch.load(Relaxed),
            queue: inner.queue.load(Relaxed),
            floors: inner.floors.load(Relaxed),
            let_go: inner.let_go.load(Relaxed),
            failures: inner.failures.load(Relaxed),
            failing: inner.failing.load(Relaxed),
            pending: inner.pending.load(Relaxed),
        }
    }
}
