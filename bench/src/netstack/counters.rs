//! What a server counts while it runs: written by its one thread, read by the harness.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts and delays since the server began.
#[derive(Debug)]
pub(super) struct Counters {
    counts: [AtomicU64; Count::ALL],
    /// Messages by their delay in microseconds; the last place is for all longer ones.
    delays: Vec<AtomicU64>,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Messages,
    /// System calls that wait for events; of io_uring all there are.
    Waits,
    Reads,
    Writes,
    /// Bytes that the server copied from one buffer to another.
    Copied,
    /// Sends without a copy, and those of them that the kernel copied all the same.
    ZeroCopies,
    ZeroCopiesCopied,
}

impl Count {
    const ALL: usize = 7;
}

/// Delays from 0 to 32 ms.
const DELAYS: usize = 1 << 15;

/// All counts at one time.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    counts: [u64; Count::ALL],
    delays: Vec<u64>,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self { counts: Default::default(), delays: (0..DELAYS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn add(&self, what: Count, count: u64) {
        add(&self.counts[what as usize], count);
    }

    /// A message is complete, so many nanoseconds after it was sent.
    pub(super) fn message(&self, delay: u64) {
        self.add(Count::Messages, 1);
        let place = usize::try_from(delay / 1000).unwrap_or(DELAYS).min(DELAYS - 1);
        add(&self.delays[place], 1);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let read = |count: &AtomicU64| count.load(Relaxed);
        Snapshot { counts: self.counts.each_ref().map(read), delays: self.delays.iter().map(read).collect() }
    }
}

/// There is one writer, so that no locked instruction is needed.
fn add(to: &AtomicU64, count: u64) {
    to.store(to.load(Relaxed) + count, Relaxed);
}

impl Snapshot {
    /// What was counted since an earlier time.
    pub(super) fn since(mut self, before: &Self) -> Self {
        let all = self.counts.iter_mut().chain(&mut self.delays);
        for (now, then) in all.zip(before.counts.iter().chain(&before.delays)) {
            *now -= then;
        }
        self
    }

    pub(super) fn of(&self, what: Count) -> u64 {
        self.counts[what as usize]
    }

    /// The delay in microseconds that this part of the messages had at most.
    pub(super) fn delay(&self, part: f64) -> f64 {
        let wanted = self.of(Count::Messages) as f64 * part;
        let mut seen = 0;
        let place = self.delays.iter().position(|count| {
            seen += count;
            seen as f64 > wanted
        });
        place.map_or(f64::NAN, |place| place as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Counters};

    #[test]
    fn only_what_came_since_is_counted() {
        let counters = Counters::new();
        counters.message(500_000);
        let before = counters.snapshot();
        for delay in 1..=100 {
            counters.message(delay * 1000);
        }
        counters.add(Count::Copied, 9);
        let since = counters.snapshot().since(&before);
        assert_eq!((since.of(Count::Messages), since.of(Count::Copied)), (100, 9));
        assert!((since.delay(0.5) - 51.0).abs() < 1e-9 && (since.delay(0.99) - 100.0).abs() < 1e-9);
    }
}
