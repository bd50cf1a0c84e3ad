//! SplitMix64 (Steele, Lea, Flood 2014), a stream for each purpose.

use std::cell::Cell;
use std::ops::Range;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Random(Cell<u64>);

impl Random {
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        Self(Cell::new(purpose.bytes().fold(mix(seed), |sum, byte| mix(sum ^ u64::from(byte)))))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        mix(self.0.get())
    }

    pub(super) fn range(&self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start).max(1)
    }

    pub(super) fn percent(&self, percent: u64) -> bool {
        self.range(0..100) < percent
    }

    pub(super) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.range(range))
    }

    /// One of some.
    pub(super) fn pick<const N: usize>(&self, of: [u64; N]) -> u64 {
        of[usize::try_from(self.range(0..N as u64)).unwrap()]
    }

    /// Mostly short, now and then long.
    pub(super) fn delay(&self, long: u64) -> Duration {
        if self.percent(10) { self.millis(0..long) } else { self.millis(0..5) }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
