//! What a loader hands to the cache, and what the cache hands to a reader.

use std::time::Duration;

/// What a loader read: a row, or the knowledge that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded<V> {
    /// The row's version. The versions of one key never go down, over a deletion and a new creation too. An absent
    /// row has the version of its deletion if the store knows it, and 0 otherwise.
    pub version: u64,
    /// The row; `None` when there is none (kept as a negative entry, for a shorter time).
    pub value: Option<V>,
}

/// The answer to a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<V> {
    /// The row; `None` when there is none.
    pub value: Option<V>,
    /// The version the loader gave.
    pub version: u64,
    /// `None`: the answer is current. `Some`: the answer is stale, and this is the time since its load began, so
    /// the row was what the store held at some instant within this age.
    pub age: Option<Duration>,
}

impl<V> Answer<V> {
    /// True when the answer is older than its soft deadline.
    pub fn is_stale(&self) -> bool {
        self.age.is_some()
    }

    pub(crate) fn fresh(loaded: Loaded<V>) -> Self {
        Self { value: loaded.value, version: loaded.version, age: None }
    }
}
