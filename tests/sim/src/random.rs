//! Everything that is drawn comes from here: SplitMix64 (Steele, Lea, Flood 2014), a stream for each purpose, so that a
//! change in one part of a run does not shift what the others draw.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of numbers.
#[derive(Debug)]
pub struct Random {
    state: AtomicU64,
}

impl Random {
    /// The stream of a run for one purpose.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mixed = purpose.bytes().fold(mix(seed), |sum, byte| mix(sum ^ u64::from(byte)));
        Self { state: AtomicU64::new(mixed) }
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        mix(self.state.fetch_add(GAMMA, Relaxed).wrapping_add(GAMMA))
    }

    /// A number in the range.
    pub fn range(&self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start).max(1)
    }

    /// True so many times in a hundred.
    pub fn percent(&self, percent: u64) -> bool {
        self.range(0..100) < percent
    }

    /// Whole milliseconds: the simulation's clock has no finer ones.
    pub fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.range(range))
    }

    /// One of some.
    pub fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        let at = self.range(0..of.len() as u64);
        &of[usize::try_from(at).unwrap_or(0)]
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_and_a_purpose_make_a_stream() {
        let draw = |seed, purpose| {
            let random = Random::new(seed, purpose);
            (0..100).map(|_| random.range(3..7)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert!(draw(1, "a").iter().all(|number| (3..7).contains(number)));
    }
}
