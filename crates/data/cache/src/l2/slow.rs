//! Counters, and the last slow commands.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many slow commands are remembered.
const RING: usize = 256;

/// A command that took longer than [`Options::slow`](super::Options::slow). There is no pool to wait for: all commands to a
/// node share one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slow {
    /// What was asked.
    pub command: &'static str,
    /// Of how many keys.
    pub keys: usize,
    /// How long it took, retries and redirections included.
    pub took: Duration,
    /// Whether it was answered.
    pub ok: bool,
}

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commands, a pipeline being one.
    pub commands: u64,
    /// Those that were slow.
    pub slow: u64,
    /// Those that failed, the timed out ones among them.
    pub failed: u64,
    /// Entries that were no entries.
    pub poisoned: u64,
    /// Entries that another master or an earlier epoch had stamped: the misses of a failover.
    pub stamped: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    commands: AtomicU64,
    slow: AtomicU64,
    failed: AtomicU64,
    pub(crate) poisoned: AtomicU64,
    pub(crate) stamped: AtomicU64,
    // A std Mutex: held for a push, and only for slow commands.
    ring: Mutex<VecDeque<Slow>>,
}

impl Counters {
    pub(crate) fn record(&self, slow: Slow, limit: Duration) {
        self.commands.fetch_add(1, Relaxed);
        if !slow.ok {
            self.failed.fetch_add(1, Relaxed);
        }
        if slow.took <= limit {
            return;
        }
        self.slow.fetch_add(1, Relaxed);
        let took_us = u64::try_from(slow.took.as_micros()).unwrap_or(u64::MAX);
        tracing::warn!(command = slow.command, keys = slow.keys, took_us, ok = slow.ok, "slow Redis command");
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == RING {
            ring.pop_front();
        }
        ring.push_back(slow);
    }

    pub(crate) fn last(&self) -> Vec<Slow> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            commands: self.commands.load(Relaxed),
            slow: self.slow.load(Relaxed),
            failed: self.failed.load(Relaxed),
            poisoned: self.poisoned.load(Relaxed),
            stamped: self.stamped.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counters, RING, Slow};
    use std::time::Duration;

    #[test]
    fn the_last_slow_commands_are_remembered() {
        let counters = Counters::default();
        let limit = Duration::from_millis(5);
        let slow = |keys, took| Slow { command: "get", keys, took, ok: keys != 0 };
        counters.record(slow(0, limit), limit);
        for keys in 1..=RING + 1 {
            counters.record(slow(keys, limit * 2), limit);
        }
        let last = counters.last();
        assert_eq!((last.len(), last[0].keys, last[RING - 1].keys), (RING, 2, RING + 1));
        let stats = counters.stats();
        assert_eq!((stats.commands, stats.slow, stats.failed), (258, 257, 1));
    }
}
