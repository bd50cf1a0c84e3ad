//! What a tier counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A snapshot of a tier's counters; all of them only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TierStats {
    /// Loads that the second level answered, with a row or its absence.
    pub hits: u64,
    /// Loads that were answered stale.
    pub stale: u64,
    /// Leases that were granted: each is one load of the primary.
    pub leases: u64,
    /// Times somebody else's load was waited for.
    pub waits: u64,
    /// Reads of the primary, repeated ones included.
    pub reads: u64,
    /// Those that answered less than what is known.
    pub behind: u64,
    /// Rows that were stored.
    pub fills: u64,
    /// Rows that were not: a change overtook them, the lease was over, or the second level did not answer.
    pub refused: u64,
    /// Loads that passed the second level by because it was not current.
    pub not_current: u64,
    /// Loads that passed it by because the master that answered is not known to have all floors: it was replaced, or is new.
    pub replaced: u64,
    /// Loads that passed it by because it did not answer, or had not a moment ago.
    pub down: u64,
    /// Loads that passed it by because another's load did not come to an end.
    pub impatient: u64,
    /// Loads for which there was no place beside it.
    pub overloaded: u64,
    /// Entries whose bytes the codec refused.
    pub undecodable: u64,
}

macro_rules! counters {
    ($($name:ident),*) => {
        #[derive(Debug, Default)]
        pub(super) struct Counters { $(pub(super) $name: AtomicU64),* }

        impl Counters {
            pub(super) fn snapshot(&self) -> TierStats {
                TierStats { $($name: self.$name.load(Relaxed)),* }
            }
        }
    };
}

counters!(
    hits,
    stale,
    leases,
    waits,
    reads,
    behind,
    fills,
    refused,
    not_current,
    replaced,
    down,
    impatient,
    overloaded,
    undecodable
);
