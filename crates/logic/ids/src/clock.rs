//! The wall clock, injected so that tests can step it in both directions, and the steady one, which nothing steps.

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "shared")]
use std::time::{Duration, Instant};
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of wall-clock time. It may stand still or go backwards: nothing here relies on it being steady.
#[derive(Clone)]
pub struct Clock(Option<Arc<dyn Fn() -> u64 + Send + Sync>>);

impl Clock {
    /// The wall clock of this machine.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that calls `unix_ms`, which answers milliseconds since 1970-01-01T00:00:00Z.
    pub fn from_fn(unix_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(unix_ms)))
    }

    /// Milliseconds since `epoch_ms` (itself Unix time); negative when the clock is before it.
    pub(crate) fn since(&self, epoch_ms: u64) -> i64 {
        let unix_ms = match &self.0 {
            None => system_unix_ms(),
            Some(read) => read(),
        };
        // Both are clamped to i64, so the difference of two non-negative values cannot overflow.
        i64::try_from(unix_ms).unwrap_or(i64::MAX) - i64::try_from(epoch_ms).unwrap_or(i64::MAX)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_none() { "Clock::system" } else { "Clock::from_fn" })
    }
}

/// A source of time that never goes back and runs at the rate of everybody else's: leases that a fleet shares end by it.
#[cfg(feature = "shared")]
#[derive(Clone)]
pub struct Steady(Source);

#[cfg(feature = "shared")]
#[derive(Clone)]
enum Source {
    /// Counted from an instant of the past.
    System(Instant),
    Given(Arc<dyn Fn() -> Duration + Send + Sync>),
}

#[cfg(feature = "shared")]
impl Steady {
    /// The monotonic clock of this machine. It stands still while the machine is suspended, which no lease notices.
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the system clock that owners inject by default"
        )]
        let origin = Instant::now();
        Self(Source::System(origin))
    }

    /// A clock that calls `elapsed`, which answers the time since some instant of the past.
    pub fn from_fn(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Source::Given(Arc::new(elapsed)))
    }

    /// Milliseconds since an instant of the past.
    pub(crate) fn ms(&self) -> u64 {
        let elapsed = match &self.0 {
            Source::System(origin) => origin.elapsed(),
            Source::Given(elapsed) => elapsed(),
        };
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(feature = "shared")]
impl fmt::Debug for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self.0, Source::System(_)) { "Steady::system" } else { "Steady::from_fn" })
    }
}

/// A clock set before 1970 reads as 1970, which is then refused as behind the epoch.
fn system_unix_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the system clock that owners inject by default")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
