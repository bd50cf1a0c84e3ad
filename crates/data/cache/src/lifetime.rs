//! How long an entry lives: soft, hard and negative lifetimes, and the jitter that keeps entries which were loaded
//! together from expiring together.

use crate::clock::{Nanos, nanos};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The two deadlines of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadlines {
    pub(crate) soft: Nanos,
    pub(crate) hard: Nanos,
}

/// Lifetimes as configured, and the source of jitter.
#[derive(Debug)]
pub(crate) struct Lifetimes {
    pub(crate) soft: Duration,
    pub(crate) hard: Duration,
    pub(crate) negative: Duration,
    pub(crate) jitter: f64,
    pub(crate) seed: u64,
    pub(crate) drawn: AtomicU64,
}

impl Lifetimes {
    /// Deadlines for what a load that began at `began` has read. The soft and the negative lifetime vary both ways;
    /// the hard one is a promise ("never older than"), so jitter only shortens it.
    pub(crate) fn deadlines(&self, began: Nanos, negative: bool) -> Deadlines {
        let draw = self.draw();
        let around = |lifetime: Duration| nanos(lifetime.mul_f64(1.0 + self.jitter * (2.0 * draw - 1.0)));
        if negative {
            // No stale phase: "there is no such row" is cheap to ask again and costly to get wrong.
            let end = began.saturating_add(around(self.negative));
            return Deadlines { soft: end, hard: end };
        }
        let hard = began.saturating_add(nanos(self.hard.mul_f64(1.0 - self.jitter * draw)));
        let soft = began.saturating_add(around(self.soft)).min(hard);
        Deadlines { soft, hard }
    }

    /// The next number in `0.0..1.0`: SplitMix64 (Steele, Lea, Flood 2014) over a counter, so that it is seedable and
    /// needs no lock.
    fn draw(&self) -> f64 {
        let n = self.drawn.fetch_add(1, Relaxed).wrapping_add(1);
        let mut z = self.seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(top) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn lifetimes(jitter: f64, seed: u64) -> Lifetimes {
        let [soft, hard, negative] = [10, 60, 1].map(Duration::from_secs);
        Lifetimes { soft, hard, negative, jitter, seed, drawn: AtomicU64::new(0) }
    }

    fn draws(jitter: f64, seed: u64) -> Vec<Deadlines> {
        let lifetimes = lifetimes(jitter, seed);
        (0..1000).map(|_| lifetimes.deadlines(0, false)).collect()
    }

    #[test]
    fn without_jitter_deadlines_are_exact() {
        let lifetimes = lifetimes(0.0, 1);
        assert_eq!(lifetimes.deadlines(5, false), Deadlines { soft: 10 * SECOND + 5, hard: 60 * SECOND + 5 });
        assert_eq!(lifetimes.deadlines(5, true), Deadlines { soft: SECOND + 5, hard: SECOND + 5 });
    }

    #[test]
    fn jitter_spreads_the_soft_deadline_both_ways_and_never_extends_the_hard_one() {
        let draws = draws(0.1, 1);
        for Deadlines { soft, hard } in &draws {
            assert!((9 * SECOND..11 * SECOND).contains(soft), "{soft}");
            assert!((54 * SECOND..=60 * SECOND).contains(hard), "{hard}");
        }
        let early = draws.iter().filter(|d| d.soft < 10 * SECOND).count();
        assert!((400..600).contains(&early), "{early} of 1000 expire early");
        let mut soft: Vec<_> = draws.iter().map(|d| d.soft / (SECOND / 100)).collect();
        soft.sort_unstable();
        soft.dedup();
        assert!(soft.len() > 190, "entries crowd into {} of 200 slices of 10 ms", soft.len());
    }

    #[test]
    fn a_seed_repeats_and_another_differs() {
        assert_eq!(draws(0.1, 7), draws(0.1, 7));
        assert_ne!(draws(0.1, 7), draws(0.1, 8));
    }
}
