//! The bounds of one committer.

use crate::error::StartError;
use crate::table::{Table, WAYS};
use crate::waiters::Waiters;

/// Stripes of waiters: a power of two, so many that two busy entities seldom share one.
const STRIPES: usize = 1024;

/// The bounds of one committer. Everything it holds is within them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The name of the thread, and in logs. The kernel shows 15 bytes of it.
    pub name: String,
    /// The most changes in the queue, and the most callers waiting for a word somebody else holds: 1..=1,048,576. More are `Busy`.
    pub queue: usize,
    /// The most changes in one commit: 1..=65,536.
    pub max_batch: usize,
    /// The least number of words in memory: 16..=67,108,864, rounded up to a power of two; 24 bytes each. At least 8 times
    /// `queue`, so that a set is hardly ever full of pinned words.
    pub words: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { name: "committer".into(), queue: 8_192, max_batch: 2_048, words: 65_536 }
    }
}

impl Options {
    /// Checks the bounds.
    ///
    /// # Errors
    ///
    /// The first option that is out of them.
    pub fn validate(&self) -> Result<(), StartError> {
        let bounds = [
            ("queue", self.queue, 1, 1 << 20),
            ("max_batch", self.max_batch, 1, 1 << 16),
            ("words", self.words, WAYS as usize, 1 << 26),
        ];
        for (option, value, min, max) in bounds {
            if !(min..=max).contains(&value) {
                return Err(StartError::Option { option, value, min, max });
            }
        }
        Ok(())
    }

    pub(crate) fn table(&self) -> Table {
        Table::new(self.words, Waiters::new(STRIPES, u32::try_from(self.queue).unwrap_or(u32::MAX)))
    }
}
