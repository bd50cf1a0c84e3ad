//! How long to wait before the next attempt.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use crate::options::Options;

/// The pause after so many failures before this one: doubling, up to the most, and up to half of it taken away at random, so
/// that what failed together does not come back together.
pub(crate) fn pause(options: &Options, failures: u32) -> Duration {
    jittered(doubled(options, failures), random())
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

/// Good enough for jitter, without a generator to carry around: the keys that the standard library draws for hash maps.
fn random() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
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
        let pause = Duration::from_millis(50);
        let all: std::collections::HashSet<_> = (0..100).map(|_| jittered(pause, random())).collect();
        assert!(all.len() > 10, "{all:?}");
        assert!(all.iter().all(|all| (pause / 2..=pause).contains(all)), "{all:?}");
    }
}
