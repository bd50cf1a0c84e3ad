//! What the owner of a table decides.

use crate::l2::Error;
use std::time::Duration;

/// How the versions of a table's rows are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Every row has a version that goes up with each change: floors order everything.
    #[default]
    Exact,
    /// There is no version column. A change ends the lease of the load under way, so what that load read is not filled in; a load that
    /// begins later must be a *locking read at the primary* (`SELECT … LOCK IN SHARE MODE`, `FOR SHARE`), which waits for a transaction that is in
    /// the log already but not visible yet. Then an unmarked answer is at most Δ old, as in the exact mode. But versions
    /// are all 0, so nothing can ask for "at least this version": a reader that must see a write asks the cache after a
    /// `fence(key, 0)`, and two answers cannot be told apart by age. Every announcement costs the entry, repeated ones too.
    Bounded,
}

/// How a tier behaves.
#[derive(Debug, Clone)]
pub struct TierOptions {
    /// How the versions of rows are known. Exact.
    pub mode: Mode,
    /// How long an entry is fresh in the second level. 5 min.
    pub fresh: Duration,
    /// How long it may be answered stale, and after which Redis forgets it, from when its load began. 30 min.
    pub hard: Duration,
    /// How long the absence of a row is fresh. 5 s.
    pub negative: Duration,
    /// How often the primary is asked when it answers less than what is known. 6. Together with [`retry`](Self::retry) it should cover the
    /// time for which an announced change may be invisible.
    pub attempts: u32,
    /// The pause before the second attempt; each further one is twice as long. 5 ms.
    pub retry: Duration,
    /// The longest time to wait for another's load. 3 s.
    pub wait: Duration,
    /// How many loads may pass the second level by at once. 64.
    pub bypass: usize,
    /// How long such a load waits for its turn. 100 ms.
    pub queue: Duration,
    /// For how long a part of the cluster that did not answer is not asked again. 250 ms.
    pub pause: Duration,
    /// How long after a table's epoch was raised its loads are not filled in. 100 ms.
    pub visible_lag: Duration,
}

impl Default for TierOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Exact,
            fresh: Duration::from_mins(5),
            hard: Duration::from_mins(30),
            negative: Duration::from_secs(5),
            attempts: 6,
            retry: Duration::from_millis(5),
            wait: Duration::from_secs(3),
            bypass: 64,
            queue: Duration::from_millis(100),
            pause: Duration::from_millis(250),
            visible_lag: Duration::from_millis(100),
        }
    }
}

impl TierOptions {
    /// Whether they can hold together.
    ///
    /// # Errors
    ///
    /// When a lifetime is zero or the soft one exceeds the hard one, or nothing could ever be loaded.
    pub fn validate(&self) -> Result<(), Error> {
        if self.fresh.is_zero() || self.negative.is_zero() || self.fresh.max(self.negative) > self.hard {
            return Err(Error::Options("fresh and negative must be above zero, and hard not below them"));
        }
        if self.attempts == 0 || self.bypass == 0 {
            return Err(Error::Options("attempts and bypass must be 1 at least, or nothing could be loaded"));
        }
        Ok(())
    }
}
