//! How a coordinator works.

use std::time::Duration;

/// How a coordinator works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long one attempt may last: 5 s.
    pub attempt_timeout: Duration,
    /// The pause after the first attempt without a definite answer: 50 ms. It doubles with each further one, and a random
    /// part, up to half of it, is taken away.
    pub first_backoff: Duration,
    /// The longest pause: 2 s.
    pub most_backoff: Duration,
    /// So many failed attempts of a compensation or a retriable step park the saga: 30.
    pub most_attempts: u32,
    /// How long a saga stays readable after its end: 24 h.
    pub retention: Duration,
    /// How long a saga belongs to the coordinator that claimed it, unless renewed: 10 s. When that one dies, another waits
    /// so long. It is meaningless to the embedded store, which has one.
    pub lease: Duration,
    /// So many sagas are under way at a time at most, waiting ones aside: 16,384.
    pub in_flight: usize,
    /// How often to look for work that others left in a shared store: 200 ms.
    pub poll: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(5),
            first_backoff: Duration::from_millis(50),
            most_backoff: Duration::from_secs(2),
            most_attempts: 30,
            retention: Duration::from_hours(24),
            lease: Duration::from_secs(10),
            in_flight: 16_384,
            poll: Duration::from_millis(200),
        }
    }
}

/// An option is out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidOptions(String);

impl Options {
    /// Says what is wrong, if anything.
    pub fn validate(&self) -> Result<(), InvalidOptions> {
        let hour = Duration::from_hours(1);
        let milli = Duration::from_millis(1);
        duration("attempt_timeout", self.attempt_timeout, milli, hour)?;
        duration("first_backoff", self.first_backoff, milli, self.most_backoff)?;
        duration("most_backoff", self.most_backoff, milli, hour)?;
        duration("retention", self.retention, Duration::ZERO, Duration::from_hours(24 * 3650))?;
        duration("lease", self.lease, Duration::from_millis(100), hour)?;
        duration("poll", self.poll, milli, hour)?;
        number("most_attempts", self.most_attempts as usize, 1_000_000)?;
        number("in_flight", self.in_flight, 1_000_000)
    }
}

fn duration(name: &str, value: Duration, least: Duration, most: Duration) -> Result<(), InvalidOptions> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(InvalidOptions(format!("{name} must be in {least:?}..={most:?}, not {value:?}")))
}

fn number(name: &str, value: usize, most: usize) -> Result<(), InvalidOptions> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(InvalidOptions(format!("{name} must be in 1..={most}, not {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_bounds_are_named() {
        Options::default().validate().unwrap();
        let check = |options: Options, expect: &str| {
            assert_eq!(options.validate().unwrap_err().to_string(), expect);
        };
        let zero = Duration::ZERO;
        let base = Options::default;
        check(Options { lease: zero, ..base() }, "lease must be in 100ms..=3600s, not 0ns");
        check(
            Options { first_backoff: Duration::from_secs(3), ..base() },
            "first_backoff must be in 1ms..=2s, not 3s",
        );
        check(Options { most_attempts: 0, ..base() }, "most_attempts must be in 1..=1000000, not 0");
        check(Options { in_flight: 0, ..base() }, "in_flight must be in 1..=1000000, not 0");
    }
}
