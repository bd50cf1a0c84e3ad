//! The second level as a loader for [`Cache::get_with`](crate::Cache::get_with): asks it, takes the lease, reads the primary, fills.

mod audit;
mod error;
mod options;
mod primary;
mod stats;

pub use error::TierError;
pub use options::{Mode, TierOptions};
pub use stats::TierStats;

use super::key::PARTS;
use super::script::Mutation;
use super::{Backend, Cluster, Codec, Entry, Epochs, Error, Found, Key, Leased, Store};
use crate::watermarks::Level2;
use crate::{AsOf, Ask, Loaded, Watermarks, clock::Clock, clock::nanos, stats::count};
use futures_util::future::join_all;
use primary::{Backoff, Read};
use stats::Counters;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

/// Waiting for another's load: from the first pause, each is twice as long up to the last.
const POLL: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

/// The rows of one table, in the second level and below. Clones share everything.
///
/// ```
/// # use aqueduct_cache::{Answer, Cache, Error, Loaded, l2::{Backend, Tier, TierError}};
/// # type Row = Vec<u8>;
/// # async fn read_primary(_id: u64, _at_least: u64) -> Result<Loaded<Row>, String> { Ok(Loaded::new(1, None)) }
/// async fn order<B: Backend>(
///     cache: &Cache<u64, Row, TierError<String>>,
///     tier: &Tier<Row, B>,
///     id: u64,
/// ) -> Result<Answer<Row>, Error<TierError<String>>> {
///     let load = |ask| {
///         let tier = tier.clone();
///         async move { tier.load(&id.to_string(), 0, ask, move |least| read_primary(id, least)).await }
///     };
///     cache.get_with(&id, load).await
/// }
/// ```
pub struct Tier<V, B = Cluster> {
    inner: Arc<Inner<V, B>>,
}

struct Inner<V, B> {
    store: Store<B>,
    table: String,
    codec: Box<dyn Codec<V>>,
    options: TierOptions,
    watermarks: Option<Watermarks>,
    epochs: Epochs,
    beside: Semaphore,
    clock: Clock,
    /// Until when each part of the cluster is not asked.
    paused: [AtomicU64; PARTS],
    counters: Counters,
}

impl<V, B> Clone for Tier<V, B> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<V, B> fmt::Debug for Tier<V, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier").field("table", &self.inner.table).finish_non_exhaustive()
    }
}

/// Why a load passes the second level by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    NotCurrent,
    Replaced,
    Down,
    Impatient,
}

impl<V, B> Tier<V, B>
where
    V: Clone + Send + Sync + 'static,
    B: Backend,
{
    /// A table's tier, which nobody follows: the second level is believed without a bound on its lag, and what it gives is as old as
    /// its load. [`Tier::following`] is what makes it keep the promise of Δ.
    ///
    /// # Errors
    ///
    /// When the table's name cannot be part of a key, or the options are wrong.
    pub fn new(
        store: Store<B>,
        table: &str,
        codec: impl Codec<V>,
        options: TierOptions,
    ) -> Result<Self, Error> {
        Self::build(store, (table, Box::new(codec), options), None, Epochs::new())
    }

    /// A table's tier that uses the second level only while its watermark is current, in the table's epoch.
    ///
    /// # Errors
    ///
    /// As [`Tier::new`].
    pub fn following(
        store: Store<B>,
        (table, codec, options): (&str, impl Codec<V>, TierOptions),
        watermarks: Watermarks,
        epochs: Epochs,
    ) -> Result<Self, Error> {
        Self::build(store, (table, Box::new(codec), options), Some(watermarks), epochs)
    }

    fn build(
        store: Store<B>,
        (table, codec, options): (&str, Box<dyn Codec<V>>, TierOptions),
        watermarks: Option<Watermarks>,
        epochs: Epochs,
    ) -> Result<Self, Error> {
        options.validate()?;
        Key::new(table, "")?;
        let inner = Inner {
            store,
            table: table.to_owned(),
            codec,
            watermarks,
            epochs,
            beside: Semaphore::new(options.bypass.min(Semaphore::MAX_PERMITS)),
            clock: Clock::new(),
            paused: std::array::from_fn(|_| AtomicU64::new(0)),
            counters: Counters::default(),
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Loads the row with the primary key `pk`, whose changes come from `source`.
    ///
    /// `primary` reads the primary, or a replica that has caught up with the version it is given; in the bounded mode it is a locking
    /// read at the primary. It may be called several times. Of a row that is absent it tells the version of the deletion, or 0.
    ///
    /// The answer is [`AsOf::Load`] if the primary was read, [`AsOf::Since`] if the second level had it, and [`AsOf::Stale`] if
    /// another loads it, or the primary failed, and an entry within its hard deadline was there.
    ///
    /// # Errors
    ///
    /// See [`TierError`].
    pub async fn load<E, F, R>(
        &self,
        pk: &str,
        source: usize,
        ask: Ask,
        primary: F,
    ) -> Result<Loaded<V>, TierError<E>>
    where
        F: Fn(u64) -> R + Send + Sync,
        R: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Send,
    {
        let inner = &*self.inner;
        let (epoch, raised) = inner.epochs.get(&inner.table);
        let least = if inner.is_bounded() { 0 } else { ask.least };
        let Ok(key) = Key::new(&inner.table, pk) else {
            // A primary key that is too long for a key of Redis.
            return inner.beside(&Read { key: None, least, since: ask.since, raised, primary }, None).await;
        };
        let read = Read { key: Some(key.epoch(epoch)), least, since: ask.since, raised, primary };
        match inner.usable(&read, source) {
            Ok(as_of) => inner.through(&read, as_of).await,
            Err(reason) => inner.pass_by(&read, reason, None).await,
        }
    }

    /// Loads many rows, each as [`load`](Self::load) does; `primary` is also told which of them, by its place. Those that the second level
    /// has come by one pipeline a slot.
    pub async fn load_many<E, F, R>(
        &self,
        rows: &[(String, usize, Ask)],
        primary: F,
    ) -> Vec<Result<Loaded<V>, TierError<E>>>
    where
        F: Fn(usize, u64) -> R + Send + Sync,
        R: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Send,
    {
        let mut found = self.inner.find_many(rows).await;
        let missing = rows.iter().enumerate().zip(&found).filter(|(_, found)| found.is_none());
        let loads = missing.map(async |((place, (pk, source, ask)), _)| {
            (place, self.load(pk, *source, *ask, |least| primary(place, least)).await)
        });
        let mut loaded: Vec<_> = join_all(loads).await;
        loaded.reverse();
        let next = |(place, found): (usize, &mut Option<Loaded<V>>)| match found.take() {
            Some(found) => Some(Ok(found)),
            None => loaded.pop_if(|(loaded, _)| *loaded == place).map(|(_, loaded)| loaded),
        };
        found.iter_mut().enumerate().filter_map(next).collect()
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> TierStats {
        self.inner.counters.snapshot()
    }

    /// What lies below.
    pub fn store(&self) -> &Store<B> {
        &self.inner.store
    }
}

impl<V, B> Inner<V, B>
where
    V: Clone + Send + Sync + 'static,
    B: Backend,
{
    fn is_bounded(&self) -> bool {
        self.options.mode == Mode::Bounded
    }

    /// What the second level has of many rows and may answer; the rest is `None`.
    async fn find_many(&self, rows: &[(String, usize, Ask)]) -> Vec<Option<Loaded<V>>> {
        let (epoch, raised) = self.epochs.get(&self.table);
        let mut found: Vec<_> = rows.iter().map(|_| None).collect();
        let asked = Instant::now();
        let (mut reads, mut keys) = (Vec::new(), Vec::new());
        for (place, (pk, source, ask)) in rows.iter().enumerate() {
            let Ok(key) = Key::new(&self.table, pk) else { continue };
            let least = if self.is_bounded() { 0 } else { ask.least };
            let read = Read { key: Some(key.epoch(epoch)), least, since: ask.since, raised, primary: () };
            if let (Ok(watermark), Some(key)) = (self.usable(&read, *source), &read.key) {
                keys.push(key.clone());
                reads.push((place, read, watermark));
            }
        }
        for ((place, read, watermark), answer) in reads.into_iter().zip(self.store.get_many(&keys).await) {
            let entry = match answer {
                Ok(Found::Live(entry)) if !entry.fresh.is_zero() => entry,
                // It is fresh for as long as it is there; how old it is, only a watermark tells.
                Ok(Found::Negative(entry)) if watermark.is_some() => entry,
                Ok(_) => continue,
                Err(error) => {
                    self.trouble(&read, &error);
                    continue;
                }
            };
            found[place] = self.found(&read, entry, watermark.as_ref(), asked);
        }
        found
    }

    /// How current the second level is if it may answer now, `None` if nobody follows; or why it may not.
    fn usable<F>(&self, read: &Read<F>, source: usize) -> Result<Option<Level2>, Reason> {
        let Some(watermarks) = &self.watermarks else {
            // Nobody tells when an announced change has reached it.
            let fresh = read.since.is_some_and(|since| since.elapsed() < Watermarks::DELTA);
            return if fresh { Err(Reason::NotCurrent) } else { self.reachable(read).map(|()| None) };
        };
        let Some(level2) = watermarks.level2(source).filter(|it| it.at.elapsed() < watermarks.delta()) else {
            return Err(Reason::NotCurrent);
        };
        if read.since.is_some_and(|since| level2.at < since) {
            return Err(Reason::NotCurrent);
        }
        self.reachable(read).map(|()| Some(level2))
    }

    fn reachable<F>(&self, read: &Read<F>) -> Result<(), Reason> {
        let paused = read.part().is_some_and(|part| self.clock.now() < self.paused[part].load(Relaxed));
        if paused { Err(Reason::Down) } else { Ok(()) }
    }

    /// Asks the second level until it has the row, gives the lease, or has taken too long.
    async fn through<E, F, R>(
        &self,
        read: &Read<F>,
        watermark: Option<Level2>,
    ) -> Result<Loaded<V>, TierError<E>>
    where
        F: Fn(u64) -> R + Send + Sync,
        R: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Send,
    {
        let Some(key) = &read.key else { return self.beside(read, None).await };
        let until = Instant::now() + self.options.wait;
        let mut poll = Backoff::new(POLL);
        // Once each: a floor that it lacks is told to it, and bytes that are no row are taken out.
        let mut amended = 0;
        loop {
            let asked = Instant::now();
            let leased = match self.store.lease(key).await {
                Ok(leased) => leased,
                Err(error) => return self.failed(read, &error).await,
            };
            match leased {
                Leased::Load { token, least, stale } => {
                    count(&self.counters.leases);
                    let stale = self.stale(read, stale, asked);
                    return self.fill(read, (key, &token), least, stale).await;
                }
                Leased::Wait { at_most, stale } => {
                    if let Some(stale) = self.stale(read, stale, asked) {
                        count(&self.counters.stale);
                        return Ok(stale);
                    }
                    if asked >= until {
                        return self.pass_by(read, Reason::Impatient, None).await;
                    }
                    count(&self.counters.waits);
                    // A lease that ends is not announced: look again right after it.
                    sleep(poll.next().min(at_most + Duration::from_millis(1))).await;
                }
                Leased::Entry(entry) => {
                    if self.is_replaced(&entry, watermark.as_ref()) {
                        return self.pass_by(read, Reason::Replaced, None).await;
                    }
                    let version = entry.version;
                    if let Some(found) = self.found(read, entry, watermark.as_ref(), asked) {
                        return Ok(found);
                    }
                    amended += 1;
                    let amend = if version < read.least {
                        self.store.invalidate(key, read.least).await
                    } else {
                        count(&self.counters.undecodable);
                        self.store.discard(key, version).await
                    };
                    match amend {
                        Err(error) => return self.failed(read, &error).await,
                        Ok(()) if amended > 2 => return self.pass_by(read, Reason::Impatient, None).await,
                        Ok(()) => {}
                    }
                }
            }
        }
    }

    /// A fresh entry as an answer; `None` if it is older than what is known, or no row.
    fn found<F>(
        &self,
        read: &Read<F>,
        entry: Entry,
        watermark: Option<&Level2>,
        asked: Instant,
    ) -> Option<Loaded<V>> {
        if entry.version < read.least || self.is_replaced(&entry, watermark) {
            return None;
        }
        let at = watermark.map(|level2| level2.at).or_else(|| asked.checked_sub(entry.age)).unwrap_or(asked);
        let value = match entry.data {
            Some(bytes) => Some(self.codec.decode(bytes)?),
            None => None,
        };
        count(&self.counters.hits);
        Some(Loaded { version: self.shown(entry.version), value, as_of: AsOf::Since(at) })
    }

    /// Whether the master that answered is none of those that are known to have the floors up to the watermark.
    fn is_replaced(&self, entry: &Entry, watermark: Option<&Level2>) -> bool {
        let replaced = watermark.is_some_and(|level2| !level2.masters.contains(&entry.master));
        replaced && !self.store.is_broken(Mutation::AnyMaster)
    }

    /// An entry past its soft deadline as a stale answer, if it may be one.
    fn stale<F>(&self, read: &Read<F>, entry: Option<Entry>, asked: Instant) -> Option<Loaded<V>> {
        let entry = entry.filter(|entry| entry.version >= read.least && entry.age < self.options.hard)?;
        let at = asked.checked_sub(entry.age)?;
        // What a fence of unknown version condemned is not answered, stale or not.
        if read.since.is_some_and(|since| at < since) {
            return None;
        }
        let value = Some(self.codec.decode(entry.data?)?);
        Some(Loaded { version: self.shown(entry.version), value, as_of: AsOf::Stale(at) })
    }

    /// The version that callers see: the master's clock, which orders a bounded table's entries, means nothing to them.
    fn shown(&self, version: u64) -> u64 {
        if self.is_bounded() { 0 } else { version }
    }

    /// The second level did not answer: that part of it is left alone for a while.
    async fn failed<E, F, R>(&self, read: &Read<F>, error: &Error) -> Result<Loaded<V>, TierError<E>>
    where
        F: Fn(u64) -> R + Send + Sync,
        R: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Send,
    {
        self.trouble(read, error);
        self.pass_by(read, Reason::Down, None).await
    }

    fn trouble<F>(&self, read: &Read<F>, error: &Error) {
        tracing::debug!(table = self.table, kind = error.kind(), %error, "the second level did not answer");
        if let Some(part) = read.part() {
            let until = self.clock.now().saturating_add(nanos(self.options.pause));
            self.paused[part].fetch_max(until, Relaxed);
        }
    }

    /// Loads without the second level.
    async fn pass_by<E, F, R>(
        &self,
        read: &Read<F>,
        reason: Reason,
        stale: Option<Loaded<V>>,
    ) -> Result<Loaded<V>, TierError<E>>
    where
        F: Fn(u64) -> R + Send + Sync,
        R: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Send,
    {
        count(match reason {
            Reason::NotCurrent => &self.counters.not_current,
            Reason::Replaced => &self.counters.replaced,
            Reason::Down => &self.counters.down,
            Reason::Impatient => &self.counters.impatient,
        });
        self.beside(read, stale).await
    }

    /// One of the bounded number of loads that pass the second level by.
    async fn beside<E, F, R>(
        &self,
        read: &Read<F>,
        stale: Option<Loaded<V>>,
    ) -> Result<Loaded<V>, TierError<E>>
    where
        F: Fn(u64) -> R + Send + Sync,
        R: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Send,
    {
        let loaded = if let Ok(Ok(_place)) = timeout(self.options.queue, self.beside.acquire()).await {
            self.read_primary(read, read.least).await
        } else {
            count(&self.counters.overloaded);
            Err(TierError::Overloaded(self.options.bypass))
        };
        match loaded {
            Ok(loaded) => Ok(loaded),
            Err(error) => self.rescue(read, stale).await.ok_or(error),
        }
    }

    /// After a failure: what is better than an error.
    async fn rescue<F>(&self, read: &Read<F>, stale: Option<Loaded<V>>) -> Option<Loaded<V>> {
        let found = match (stale, &read.key) {
            (Some(stale), _) => Some(stale),
            (None, Some(key)) if self.reachable(read).is_ok() => {
                let asked = Instant::now();
                let entry = self.store.get_stale(key).await;
                entry
                    .inspect_err(|error| self.trouble(read, error))
                    .ok()
                    .and_then(|entry| self.stale(read, entry, asked))
            }
            _ => None,
        };
        found.inspect(|_| count(&self.counters.stale))
    }
}

#[cfg(test)]
mod tests;
