//! Reading the primary until it has what is known, and filling in what it said.

use super::{Inner, Mode, TierError};
use crate::l2::{Backend, Entry, Filled, Key, Refused, Token};
use crate::{AsOf, Loaded, Stamp, stats::count};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// One load.
pub(super) struct Read<F> {
    /// In the epoch that was known when it began; `None` if it cannot be one of Redis.
    pub(super) key: Option<Key>,
    /// The least version that may be answered.
    pub(super) least: u64,
    /// When the row changed to an unknown version.
    pub(super) since: Option<Instant>,
    /// When the table's epoch was raised.
    pub(super) raised: Option<Instant>,
    pub(super) primary: F,
}

impl<F> Read<F> {
    /// Which part of the cluster has the key.
    pub(super) fn part(&self) -> Option<usize> {
        self.key.as_ref().map(Key::part)
    }
}

/// Pauses that double.
pub(super) struct Backoff {
    next: Duration,
    last: Duration,
}

impl Backoff {
    pub(super) fn new([first, last]: [Duration; 2]) -> Self {
        Self { next: first, last }
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.last);
        pause
    }
}

impl<V, B> Inner<V, B>
where
    V: Clone + Send + Sync + 'static,
    B: Backend,
{
    /// Loads under a lease, and fills in. A row that the second level refuses because a change overtook it is read again.
    pub(super) async fn fill<E, F, R>(
        &self,
        read: &Read<F>,
        (key, token): (&Key, &Token),
        floor: u64,
        stale: Option<Loaded<V>>,
    ) -> Result<Loaded<V>, TierError<E>>
    where
        F: Fn(u64) -> R + Send + Sync,
        R: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Send,
    {
        let mut least = if self.is_bounded() { 0 } else { floor.max(read.least) };
        let mut attempts = self.options.attempts;
        loop {
            let began = Instant::now();
            let loaded = match self.read_primary(read, least).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    // Nobody need wait for the end of the lease. Should this fail, it ends by itself.
                    self.store.release(key, token).await.ok();
                    return self.rescue(read, stale).await.ok_or(error);
                }
            };
            // A bump can be announced before what it covers is visible, and leaves no floor.
            if read.raised.is_some_and(|raised| began < raised + self.options.visible_lag) {
                self.store.release(key, token).await.ok();
                count(&self.counters.refused);
                return Ok(loaded);
            }
            match self.store_row(key, token, &loaded, began).await {
                Ok(Filled::Refused(Refused::Behind { least: known })) if attempts > 1 => {
                    count(&self.counters.refused);
                    least = least.max(known);
                    attempts -= 1;
                }
                Ok(Filled::Stored) => {
                    count(&self.counters.fills);
                    return Ok(loaded);
                }
                // It was read at the primary after the load began: it is an answer, stored or not.
                Ok(Filled::Refused(_)) => {
                    count(&self.counters.refused);
                    return Ok(loaded);
                }
                Err(error) => {
                    count(&self.counters.refused);
                    self.trouble(read, &error);
                    return Ok(loaded);
                }
            }
        }
    }

    async fn store_row(
        &self,
        key: &Key,
        token: &Token,
        loaded: &Loaded<V>,
        began: Instant,
    ) -> Result<Filled, crate::l2::Error> {
        let data = loaded.value.as_ref().map(|value| self.codec.encode(value));
        let fresh = if data.is_some() { self.options.fresh } else { self.options.negative };
        let entry =
            Entry { version: loaded.version, data, fresh, age: began.elapsed(), master: Stamp::default() };
        let ttl = if entry.data.is_some() { self.options.hard.saturating_sub(entry.age) } else { fresh };
        match self.options.mode {
            Mode::Exact => self.store.fill(key, token, &entry, ttl).await,
            Mode::Bounded => self.store.fill_bounded(key, token, &entry, ttl).await,
        }
    }

    /// Reads the primary until it answers `least` or more.
    pub(super) async fn read_primary<E, F, R>(
        &self,
        read: &Read<F>,
        least: u64,
    ) -> Result<Loaded<V>, TierError<E>>
    where
        F: Fn(u64) -> R + Send + Sync,
        R: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Send,
    {
        let mut pauses = Backoff::new([self.options.retry, self.options.retry * 64]);
        for attempt in 1.. {
            count(&self.counters.reads);
            let mut loaded = (read.primary)(least).await.map_err(TierError::Primary)?;
            loaded.as_of = AsOf::Load;
            if self.is_bounded() {
                loaded.version = 0;
                return Ok(loaded);
            }
            if loaded.version >= least {
                return Ok(loaded);
            }
            count(&self.counters.behind);
            if attempt == self.options.attempts {
                if loaded.value.is_some() {
                    return Err(TierError::Behind { found: loaded.version, least });
                }
                // No row for longer than a change stays invisible: it was deleted, and its version is not known.
                loaded.version = least;
                return Ok(loaded);
            }
            sleep(pauses.next()).await;
        }
        unreachable!("the loop ends at the last attempt")
    }
}
