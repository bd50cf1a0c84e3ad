//! How long to wait before the next attempt.

use std::time::Duration;

use crate::options::Options;

/// The pause after so many failures before this one: doubling, up to the most. Up to half of it is taken away, by a hash of
/// `seed`, so that what failed together does not come back together; a generator would make no run like another.
pub(crate) fn pause(options: &Options, failures: u32, seed: u64) -> Duration {
    jittered(doubled(options, failures), mix(seed))
}

fn doubled(options: &Options, failures: u32) -> Duration {
    options.first_backoff.saturating_mul(1 << failures.min(20)).min(options.most_backoff)
}

/// Between half of it and all of it.
fn jittered(pause: Duration, random: u64) -> Duration {
    let half = pause / 2;
    let span = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
    pause.saturating_sub(Duration::from_micros(random % span))
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most_and_differ() {
        let options = Options::default();
        let doubles: Vec<_> = (0..8).map(|failures| doubled(&options, failures).as_millis()).collect();
        assert_eq!(doubles, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(doubled(&options, u32::MAX), options.most_backoff);
        let all: std::collections::HashSet<_> = (0..100).map(|seed| pause(&options, 0, seed)).collect();
        assert!(all.len() > 90, "{all:?}");
        let first = options.first_backoff;
        assert!(all.iter().all(|all| (first / 2..=first).contains(all)), "{all:?}");
    }
}
