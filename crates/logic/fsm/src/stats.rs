//! What the committer counts, and the snapshot that owners export.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many buckets a histogram has.
pub const BUCKETS: usize = 24;

/// Counts by powers of two: bucket `i` counts the values in `(2^(i-1), 2^i]` (the first also 0), the last everything above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The count of each bucket, not cumulative.
    pub buckets: [u64; BUCKETS],
    /// The sum of the values.
    pub sum: u64,
}

impl Histogram {
    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The upper bound of bucket `i`, inclusive; the last bucket has none.
    pub fn bound(i: usize) -> Option<u64> {
        (i + 1 < BUCKETS).then(|| 1 << i)
    }

    /// The mean, 0 when nothing was counted.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count()).unwrap_or(0)
    }
}

/// A snapshot of one committer. Counters start at 0 with the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Creations made durable.
    pub creates: u64,
    /// Transitions made durable.
    pub transitions: u64,
    /// Batches made durable.
    pub commits: u64,
    /// Calls answered `Failed` by the committer.
    pub failed: u64,
    /// Calls refused with `Busy`.
    pub busy: u64,
    /// Changes in the queue now.
    pub queued: usize,
    /// Callers that wait for a word somebody else holds, now.
    pub waiting: u32,
    /// Changes a batch.
    pub batch_size: Histogram,
    /// Microseconds in `Store::apply`.
    pub apply_micros: Histogram,
}

/// The counters behind a snapshot. Written once a batch, so they need no striping.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) creates: AtomicU64,
    pub(crate) transitions: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) busy: AtomicU64,
    batch_size: Buckets,
    apply_micros: Buckets,
}

impl Counters {
    /// Counts one batch: `creates` of its `size` changes were creations.
    pub(crate) fn committed(&self, creates: u64, size: u64, apply: Duration) {
        self.commits.fetch_add(1, Relaxed);
        self.creates.fetch_add(creates, Relaxed);
        self.transitions.fetch_add(size - creates, Relaxed);
        self.batch_size.record(size);
        self.apply_micros.record(u64::try_from(apply.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn snapshot(&self, queued: usize, waiting: u32) -> Stats {
        Stats {
            creates: self.creates.load(Relaxed),
            transitions: self.transitions.load(Relaxed),
            commits: self.commits.load(Relaxed),
            failed: self.failed.load(Relaxed),
            busy: self.busy.load(Relaxed),
            queued,
            waiting,
            batch_size: self.batch_size.snapshot(),
            apply_micros: self.apply_micros.snapshot(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Buckets {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Buckets {
    pub(crate) fn record(&self, value: u64) {
        let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
        self.buckets[usize::try_from(bits).unwrap_or(BUCKETS).min(BUCKETS - 1)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Relaxed)),
            sum: self.sum.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_bucket_of_its_bound() {
        for (value, bucket) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 22, 22), (u64::MAX, 23)]
        {
            let buckets = Buckets::default();
            buckets.record(value);
            let histogram = buckets.snapshot();
            assert_eq!(histogram.buckets[bucket], 1, "{value}");
            assert!(Histogram::bound(bucket).is_none_or(|bound| value <= bound));
            assert!(bucket == 0 || Histogram::bound(bucket - 1).unwrap() < value);
        }
    }

    #[test]
    fn a_batch_is_counted_by_kind() {
        let counters = Counters::default();
        counters.committed(3, 10, Duration::from_micros(900));
        counters.committed(0, 2, Duration::from_micros(1100));
        let stats = counters.snapshot(5, 1);
        assert_eq!((stats.creates, stats.transitions, stats.commits), (3, 9, 2));
        assert_eq!((stats.batch_size.count(), stats.batch_size.mean()), (2, 6));
        assert_eq!(stats.apply_micros.mean(), 1000);
    }
}
