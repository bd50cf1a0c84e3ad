//! The second level's side of a feed: a bounded queue of floors, and a worker that brings them there, however often it takes.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::stats::{Gauge, Inner};
use super::{FeedOptions, floor};
use crate::change::{Change, Key, TableName, Version};

/// Floors that are brought to the second level before the queue is looked at again.
const AT_ONCE: usize = 2048;

/// A server of the second level: the replication id of a master.
pub type Master = [u8; 20];

/// The second level, as far as a feed needs it. Everything may be repeated, and is until it succeeds.
pub trait Floors: Send + Sync {
    /// Why it was not done, or may not have been.
    type Error: Display + Send;

    /// The row has a version that is not older than `version`: what is older goes, and is not taken in any more.
    fn invalidate(
        &self,
        table: &TableName,
        key: &Key,
        version: u64,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// There is no such row since it had `version`.
    fn delete(
        &self,
        table: &TableName,
        key: &Key,
        version: u64,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The row, of a table without versions, has changed: what is there goes, and so does what is being loaded.
    fn mark(&self, table: &TableName, key: &Key) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The servers that answer now: those have what has been written until now. A reader does not believe others, which may have been
    /// replaced without knowing it.
    fn masters(&self) -> impl Future<Output = Vec<Master>> + Send;
}

/// For those who have no second level.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLevel2;

impl Floors for NoLevel2 {
    type Error = Infallible;

    async fn invalidate(&self, _: &TableName, _: &Key, _: u64) -> Result<(), Infallible> {
        Ok(())
    }

    async fn delete(&self, _: &TableName, _: &Key, _: u64) -> Result<(), Infallible> {
        Ok(())
    }

    async fn mark(&self, _: &TableName, _: &Key) -> Result<(), Infallible> {
        Ok(())
    }

    async fn masters(&self) -> Vec<Master> {
        Vec::new()
    }
}

/// Where in the stream something stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
}

/// The floors of a record.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    place: Option<Place>,
    /// See [`Packed::settles`](super::pack::Packed::settles).
    pub(crate) settles: u64,
    floors: Vec<Arc<Change>>,
    beat: bool,
}

impl Entry {
    pub(crate) fn new(place: Place, settles: u64, changes: Vec<Change>, beat: bool) -> Self {
        let floors = changes.into_iter().map(Arc::new).collect();
        Self { place: Some(place), settles, floors, beat }
    }

    pub(crate) fn empty(settles: u64) -> Self {
        Self { settles, ..Self::default() }
    }
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Entry>,
    /// In the queue and under way.
    floors: usize,
    /// Up to where which servers have everything, if a beat in it was not yet answered.
    announcement: Option<(Place, Vec<Master>)>,
    closed: bool,
}

/// What both sides share.
#[derive(Debug)]
pub(crate) struct Level2 {
    state: Mutex<State>,
    pushed: Notify,
    applied: Notify,
    limit: usize,
    gauge: Gauge,
}

impl Level2 {
    pub(crate) fn new(options: &FeedOptions, gauge: Gauge) -> Arc<Self> {
        let (pushed, applied) = (Notify::new(), Notify::new());
        Arc::new(Self { state: Mutex::default(), pushed, applied, limit: options.queue, gauge })
    }

    pub(crate) fn gauge(&self) -> &Inner {
        self.gauge.inner()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many floors more are too many while others wait.
    pub(crate) fn overflows(&self, more: usize) -> bool {
        let state = self.lock();
        !state.queue.is_empty() && state.floors + more > self.limit
    }

    /// The tables of the floors that wait.
    pub(crate) fn tables(&self) -> HashSet<Arc<TableName>> {
        let state = self.lock();
        let floors = state.queue.iter().flat_map(|entry| &entry.floors);
        floors.map(|floor| Arc::clone(&floor.table)).collect()
    }

    /// Takes the floors that wait out of the queue, and leaves one entry, which settles what they would have.
    pub(crate) fn let_go(&self) -> usize {
        let mut state = self.lock();
        let mut rest = Entry::default();
        let mut gone = 0;
        for entry in state.queue.drain(..) {
            gone += entry.floors.len();
            rest = Entry {
                floors: Vec::new(),
                beat: rest.beat || entry.beat,
                place: entry.place.or(rest.place),
                ..entry
            };
        }
        state.queue.push_back(rest);
        state.floors -= gone;
        self.gauge().queue.store(state.floors as u64, Relaxed);
        self.gauge().let_go.fetch_add(gone as u64, Relaxed);
        gone
    }

    pub(crate) fn push(&self, entries: Vec<Entry>) {
        let mut state = self.lock();
        state.floors += entries.iter().map(|entry| entry.floors.len()).sum::<usize>();
        self.gauge().queue.store(state.floors as u64, Relaxed);
        state.queue.extend(entries);
        drop(state);
        self.pushed.notify_one();
    }

    /// Nothing more will be pushed.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.pushed.notify_one();
    }

    /// Waits until there is something to announce.
    pub(crate) async fn announceable(&self) {
        while self.lock().announcement.is_none() {
            self.applied.notified().await;
        }
    }

    pub(crate) fn announcement(&self) -> Option<(Place, Vec<Master>)> {
        self.lock().announcement.take()
    }

    /// The next entries; none when it is closed and empty.
    async fn next(&self) -> Vec<Entry> {
        loop {
            {
                let mut state = self.lock();
                let mut taken = Vec::new();
                let mut floors = 0;
                while floors < AT_ONCE
                    && let Some(entry) = state.queue.pop_front()
                {
                    floors += entry.floors.len();
                    taken.push(entry);
                }
                if !taken.is_empty() || state.closed {
                    return taken;
                }
            }
            self.pushed.notified().await;
        }
    }

    fn done(&self, entries: &[Entry], masters: Option<Vec<Master>>) {
        let mut state = self.lock();
        state.floors -= entries.iter().map(|entry| entry.floors.len()).sum::<usize>();
        self.gauge().queue.store(state.floors as u64, Relaxed);
        if let Some(last) = entries.last() {
            self.gauge().settled.store(last.settles, Relaxed);
        }
        if let Some(masters) = masters {
            state.announcement =
                entries.iter().rev().find_map(|entry| entry.place).map(|place| (place, masters));
            self.applied.notify_one();
        }
    }
}

/// Brings the floors there.
#[derive(Debug)]
pub(crate) struct Worker<F> {
    floors: F,
    level2: Arc<Level2>,
    concurrent: usize,
    retry: Duration,
}

impl<F: Floors> Worker<F> {
    pub(crate) fn new(floors: F, level2: Arc<Level2>, options: &FeedOptions) -> Self {
        Self { floors, level2, concurrent: options.concurrent.max(1), retry: options.retry }
    }

    /// Until it is closed and everything is there.
    pub(crate) async fn run(self) {
        loop {
            let entries = self.level2.next().await;
            if entries.is_empty() {
                return;
            }
            self.bring(latest(&entries)).await;
            // Only after all floors are there.
            let beat = entries.iter().any(|entry| entry.beat);
            let masters = if beat { Some(self.floors.masters().await) } else { None };
            self.level2.done(&entries, masters);
        }
    }

    async fn bring(&self, floors: Vec<Arc<Change>>) {
        let gauge = self.level2.gauge();
        let count = floors.len() as u64;
        let mut left = floors;
        while !left.is_empty() {
            let mut failed = Vec::new();
            let mut attempts =
                stream::iter(left).map(|change| self.attempt(change)).buffer_unordered(self.concurrent);
            while let Some(attempt) = attempts.next().await {
                failed.extend(attempt);
            }
            gauge.failures.fetch_add(failed.len() as u64, Relaxed);
            gauge.failing.store(!failed.is_empty(), Relaxed);
            drop(attempts);
            left = failed;
            if !left.is_empty() {
                sleep(self.retry).await;
            }
        }
        gauge.floors.fetch_add(count, Relaxed);
    }

    /// Returns what must be attempted again.
    async fn attempt(&self, change: Arc<Change>) -> Option<Arc<Change>> {
        let Change { table, key, version, tombstone } = &*change;
        let done = match version {
            Version::Exact(version) if *tombstone => self.floors.delete(table, key, *version).await,
            Version::Exact(version) => self.floors.invalidate(table, key, *version).await,
            Version::Bounded => self.floors.mark(table, key).await,
        };
        let error = done.err()?;
        if !self.level2.gauge().failing.swap(true, Relaxed) {
            tracing::warn!(%error, "the second level did not take a floor; trying again until it does");
        }
        Some(change)
    }
}

/// One a key: the last, which is the highest unless a row was created again below its tombstone.
fn latest(entries: &[Entry]) -> Vec<Arc<Change>> {
    // Ordered, so that a simulation does the same in each run.
    let mut latest: BTreeMap<(&TableName, &Key), &Arc<Change>> = BTreeMap::new();
    for change in entries.iter().flat_map(|entry| &entry.floors) {
        let held = latest.entry((&change.table, &change.key)).or_insert(change);
        if floor(change) >= floor(held) {
            *held = change;
        }
    }
    latest.into_values().map(Arc::clone).collect()
}
