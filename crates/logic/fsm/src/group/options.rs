//! The bounds of one group committer.

use std::time::Duration;

use crate::error::StartError;

/// The bounds of one group committer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// Its name, in logs.
    pub name: String,
    /// The most changes that wait or are under way: 1..=1,048,576. More are `Busy`.
    pub queue: usize,
    /// The most changes in one transaction: 1..=65,536.
    pub max_batch: usize,
    /// How often a change is tried again that others were in the way of, or that the database was away for.
    pub retries: u32,
    /// The pause before the first of these, twice as long before each further one, less a random part of up to a half.
    pub backoff: Duration,
    /// How long the outcome of a commit is looked for whose reply was lost.
    pub look: Duration,
    /// Another one for each process and start: ids of events that their callers gave none are made of it.
    pub seed: u64,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            name: "group".into(),
            queue: 8_192,
            max_batch: 1_024,
            retries: 3,
            backoff: Duration::from_millis(20),
            look: Duration::from_secs(2),
            seed: 0,
        }
    }
}

impl GroupOptions {
    /// Checks the bounds.
    ///
    /// # Errors
    /// The first option that is out of them.
    pub fn validate(&self) -> Result<(), StartError> {
        let bounds = [("queue", self.queue, 1, 1 << 20), ("max_batch", self.max_batch, 1, 1 << 16)];
        for (option, value, min, max) in bounds {
            if !(min..=max).contains(&value) {
                return Err(StartError::Option { option, value, min, max });
            }
        }
        Ok(())
    }
}
