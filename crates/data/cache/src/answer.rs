//! What a loader hands to the cache, and what the cache hands to a reader.

use std::time::Duration;
use tokio::time::Instant;

/// What the cache tells a loader that reads through a lower level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The least version that may be answered: the key's floor. 0 when nothing is known. A lower level that has less must be
    /// passed by.
    pub least: u64,
    /// The key changed at this instant to a version that is not known: a lower level may answer only if it was current then
    /// or later.
    pub since: Option<Instant>,
}

/// Until when a loaded row is known to be the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AsOf {
    /// The loader read the store itself, after the load began.
    #[default]
    Load,
    /// It found the row in a lower level, where it was what the store held at this instant or later.
    Since(Instant),
    /// It found nothing better than this, which the store held at this instant or later. It is answered as stale, and not
    /// kept.
    Stale(Instant),
}

/// What a loader read: a row, or the knowledge that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded<V> {
    /// The row's version. The versions of one key never go down, over a deletion and a new creation too. An absent
    /// row has the version of its deletion if the store knows it, and 0 otherwise.
    pub version: u64,
    /// The row; `None` when there is none (kept as a negative entry, for a shorter time).
    pub value: Option<V>,
    /// Where it was read, and so how old it is.
    pub as_of: AsOf,
}

impl<V> Loaded<V> {
    /// What a loader read from the store itself.
    pub fn new(version: u64, value: Option<V>) -> Self {
        Self { version, value, as_of: AsOf::Load }
    }
}

/// The answer to a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<V> {
    /// The row; `None` when there is none.
    pub value: Option<V>,
    /// The version the loader gave.
    pub version: u64,
    /// `None`: the answer is current. `Some`: the answer is stale, and this is the time since its load began (or since a lower
    /// level knew it to be current), so the row was what the store held at some instant within this age.
    pub age: Option<Duration>,
}

impl<V> Answer<V> {
    /// True when the answer is older than its soft deadline, or than what is promised of an unmarked answer.
    pub fn is_stale(&self) -> bool {
        self.age.is_some()
    }
}
