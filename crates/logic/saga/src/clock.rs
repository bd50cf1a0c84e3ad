//! The clock of a store that has none of its own.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::view::Millis;

/// Milliseconds of Unix time: read from the system once, and counted by the monotonic clock from then on, so that setting the
/// system's clock moves no timer of a running process.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Millis + Send + Sync>);

impl Clock {
    /// The system's.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place where this crate reads the wall clock")]
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::from(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX))
    }

    /// One that shows `now` now, and runs with tokio's, which a test can pause.
    pub fn from(now: Millis) -> Self {
        let start = Instant::now();
        Self(Arc::new(move || now.saturating_add(millis(start.elapsed()))))
    }

    /// What it shows.
    pub fn now(&self) -> Millis {
        (self.0)()
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: std::time::Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
