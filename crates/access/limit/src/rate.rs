//! What a limit is, and the arithmetic of one decision.

use std::time::Duration;

/// The finest part of a nanosecond in which time is counted. With it a limiter's clock lasts for 9 years; a rate whose
/// emission interval is a whole number of nanoseconds is counted in those, for 292 years.
const FINEST: u64 = 32;
/// Time stops here, so that nothing that is added to it can overflow or reach [`Rate::NEVER`].
const LAST: u64 = u64::MAX >> 1;
/// The most that a whole burst may take to refill.
const LONGEST: u64 = 1 << 62;

/// How often, and how much at once. Compiled: it is `Copy` and cheap to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Units of time in a nanosecond.
    scale: u64,
    /// The emission interval, in units.
    interval: u64,
    /// The interval times the burst.
    tolerance: u64,
    burst: u64,
}

/// Why a rate is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// Nothing would ever be admitted.
    #[error("a rate of 0 admits nothing: at least 1 a period")]
    Zero,
    /// Without a burst of 1 not even a single request would be admitted.
    #[error("a burst of 0 admits nothing: at least 1")]
    NoBurst,
    /// More than a thousand million a second.
    #[error("more than one a nanosecond cannot be counted")]
    TooFast,
    /// The burst takes longer to refill than the clock can tell.
    #[error("a burst that takes more than 4 years to refill cannot be counted")]
    TooLong,
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may go on. Only then was the key charged.
    pub allowed: bool,
    /// How many may come at once: the burst.
    pub limit: u64,
    /// How many more would be admitted at this instant.
    pub remaining: u64,
    /// Until `remaining` is `limit` again, if nothing more comes.
    pub reset_after: Duration,
    /// Until a request would be admitted; zero when this one was.
    pub retry_after: Duration,
    /// Whether the key has an entry of its own. If not, it shared one with other keys, because the table was full.
    pub resident: bool,
}

impl Rate {
    /// What the word of a key never is.
    pub(crate) const NEVER: u64 = u64::MAX;

    /// `count` in each `period` on average, and at most `burst` at once.
    ///
    /// Over a time t from a full bucket exactly `burst + t·count/period` (rounded down) are admitted. That holds to the
    /// nanosecond when `period/count`, reduced, is a multiple of 1/32 ns or coarser; all else is rounded up to that, which
    /// makes the rate a little lower: by 1 in 32 million at 1,000 a second.
    ///
    /// # Errors
    /// [`RateError`].
    pub fn new(count: u64, period: Duration, burst: u64) -> Result<Self, RateError> {
        let period = u64::try_from(period.as_nanos()).map_err(|_| RateError::TooLong)?;
        if count == 0 || period == 0 {
            return Err(if count == 0 { RateError::Zero } else { RateError::TooFast });
        }
        if burst == 0 {
            return Err(RateError::NoBurst);
        }
        if count > period {
            return Err(RateError::TooFast);
        }
        let divisor = gcd(count, period);
        let (mut scale, mut interval) = (count / divisor, period / divisor);
        if scale > FINEST {
            let units = u128::from(period) * u128::from(FINEST);
            interval = u64::try_from(units.div_ceil(u128::from(count))).map_err(|_| RateError::TooLong)?;
            scale = FINEST;
        }
        let tolerance = interval.checked_mul(burst).filter(|it| *it <= LONGEST).ok_or(RateError::TooLong)?;
        Ok(Self { scale, interval, tolerance, burst })
    }

    /// A clock's nanoseconds in units.
    pub(crate) fn units(self, nanos: u64) -> u64 {
        nanos.saturating_mul(self.scale).min(LAST)
    }

    /// Decides on a key whose bucket is full again at `word`. An admitted request comes with the key's next word, which
    /// is always greater than the last.
    pub(crate) fn decide(self, word: u64, now: u64, resident: bool) -> (Decision, Option<u64>) {
        let next = word.max(now).saturating_add(self.interval);
        let end = now.saturating_add(self.tolerance);
        let allowed = next <= end;
        let full = if allowed { next } else { word.max(now) };
        let decision = Decision {
            allowed,
            limit: self.burst,
            remaining: end.saturating_sub(full) / self.interval,
            reset_after: self.duration(full - now),
            retry_after: self.duration(if allowed { 0 } else { next - end }),
            resident,
        };
        (decision, allowed.then_some(next))
    }

    /// Rounded up: whoever waits that long has waited long enough.
    fn duration(self, units: u64) -> Duration {
        Duration::from_nanos(units.div_ceil(self.scale))
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
#[cfg(not(aqueduct_loom))]
mod tests {
    use super::*;
    use proptest::prelude::{Just, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let check = |count, seconds, burst, expect| {
            let rate = Rate::new(count, Duration::from_secs(seconds), burst);
            assert_eq!(rate.err(), expect, "{count} a {seconds} s, burst {burst}");
        };
        check(0, 1, 1, Some(RateError::Zero));
        check(1, 1, 0, Some(RateError::NoBurst));
        check(1, 0, 1, Some(RateError::TooFast));
        check(SECOND, 1, 1, None);
        check(SECOND + 1, 1, 1, Some(RateError::TooFast));
        check(1, 3600, 1_000_000, None);
        check(1, 3600, 2_000_000, Some(RateError::TooLong));
        check(1, u64::MAX, 1, Some(RateError::TooLong));
    }

    #[test]
    fn a_rate_that_no_nanosecond_divides_is_rounded_to_the_slower_side() {
        let rate = Rate::new(999_983, Duration::from_secs(1), 1).unwrap();
        let exact = u128::from(SECOND) * u128::from(FINEST);
        let taken = u128::from(rate.interval) * 999_983;
        assert!(taken >= exact && taken - exact < 999_983, "{rate:?}");
    }

    #[test]
    fn at_the_end_of_time_nothing_overflows_and_no_word_is_the_reserved_one() {
        for (count, burst) in [(1, 4), (999_983, 1000)] {
            let rate = Rate::new(count, Duration::from_secs(1), burst).unwrap();
            let (decision, word) = rate.decide(0, rate.units(u64::MAX), true);
            assert!(decision.allowed && word.is_some_and(|word| word < Rate::NEVER));
        }
    }

    /// A bucket of tokens in exact fractions, which refills continuously: what GCRA must be the same as.
    struct Bucket {
        count: u128,
        period: u128,
        burst: u128,
        /// Tokens times the period.
        level: u128,
        then: u128,
    }

    impl Bucket {
        fn ask(&mut self, now: u64) -> (bool, u128) {
            let now = u128::from(now);
            let full = self.burst * self.period;
            self.level = full.min(self.level + (now - self.then) * self.count);
            self.then = now;
            let allowed = self.level >= self.period;
            if allowed {
                self.level -= self.period;
            }
            (allowed, self.level / self.period)
        }
    }

    fn countable() -> impl Strategy<Value = (u64, u64)> {
        let periods = prop_oneof![Just(1), Just(60), Just(3600)];
        let counts = prop_oneof![1..=32u64, Just(100), Just(1_000), Just(50_000), Just(1_000_000)];
        (counts, periods)
    }
    proptest! {
        #[test]
        fn it_is_a_token_bucket_to_the_nanosecond(
            (count, seconds) in countable(),
            burst in 1..50u64,
            steps in prop::collection::vec(0..400u64, 1..300),
        ) {
            let period = seconds * SECOND;
            let rate = Rate::new(count, Duration::from_secs(seconds), burst).unwrap();
            let (c, p, b) = (count.into(), period.into(), burst.into());
            let mut bucket = Bucket { count: c, period: p, burst: b, level: b * p, then: 0 };
            let (mut word, mut now) = (0, 0);
            for step in steps {
                // In hundredths of the interval, and a nanosecond around whole ones.
                now += period / count * step / 100 + step % 3;
                let (decision, next) = rate.decide(word, rate.units(now), true);
                word = next.unwrap_or(word);
                let (allowed, left) = bucket.ask(now);
                prop_assert_eq!((decision.allowed, u128::from(decision.remaining)), (allowed, left));
                if !allowed {
                    let then = now + u64::try_from(decision.retry_after.as_nanos()).unwrap();
                    prop_assert!(rate.decide(word, rate.units(then), true).0.allowed);
                    prop_assert!(!rate.decide(word, rate.units(then - 1), true).0.allowed);
                }
                let full = now + u64::try_from(decision.reset_after.as_nanos()).unwrap();
                prop_assert_eq!(rate.decide(word, rate.units(full), true).0.remaining, burst - 1);
            }
        }

        /// Whoever asks all the time gets what the limit says, not one more or less.
        #[test]
        fn over_a_time_exactly_the_rate_and_the_burst_are_admitted(
            (count, seconds) in countable(),
            burst in 1..50u64,
            looks in prop::collection::vec(1..500u64, 1..40),
        ) {
            let period = seconds * SECOND;
            let rate = Rate::new(count, Duration::from_secs(seconds), burst).unwrap();
            // Not from 0: a clock has no beginning.
            let start = 77_777_777_777_777;
            let (mut word, mut now, mut admitted) = (0, start, 0u128);
            for look in looks {
                while let (_, Some(next)) = rate.decide(word, rate.units(now), true) {
                    word = next;
                    admitted += 1;
                }
                let expect = u128::from(burst) + u128::from(now - start) * u128::from(count) / u128::from(period);
                prop_assert_eq!(admitted, expect);
                // Not after the bucket is full, or what it cannot hold would be lost.
                let until_full = (word - rate.units(now)) / rate.scale;
                now += (period / count * burst * look / 500).min(until_full);
            }
        }
    }
}
