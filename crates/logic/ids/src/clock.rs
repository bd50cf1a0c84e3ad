//! The wall clock, injected so that tests can step it in both directions.

use std::fmt;
use std::sync::Arc;
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

/// A clock set before 1970 reads as 1970, which is then refused as behind the epoch.
fn system_unix_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the system clock that owners inject by default")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
