//! The store of the simulation: the one in memory, over a bad network, with outages. What it has acknowledged it keeps, but for
//! the promises that are broken on purpose.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Mutation;
use super::check::Violation;
use crate::error::StoreError;
use crate::log::{Event, Row};
use crate::store::{Append, Change, Creation, Figures, New, Store, Stored};
use crate::view::{Filter, Millis, Summary};
use crate::{Clock, Memory, SagaId};

/// One store, seen by all nodes.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) memory: Memory,
    state: AtomicU64,
    /// In percent; 0 in calm times.
    pub(super) faults: AtomicU64,
    pub(super) down: Mutex<Option<(Instant, Instant)>>,
    pub(super) violations: Mutex<Vec<Violation>>,
    mutation: Option<Mutation>,
}

impl Site {
    pub(super) fn new(seed: u64, faults: u64, mutation: Option<Mutation>) -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(Clock::from(1_764_244_800_000)),
            state: AtomicU64::new(seed ^ 0x5eed),
            faults: AtomicU64::new(faults),
            down: Mutex::default(),
            violations: Mutex::default(),
            mutation,
        })
    }

    fn random(&self, below: u64) -> u64 {
        let state = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 29)) % below.max(1)
    }

    fn fails(&self) -> bool {
        let down = *self.down.lock().unwrap();
        down.is_some_and(|(from, until)| (from..until).contains(&Instant::now()))
            || self.random(100) < self.faults.load(Relaxed)
    }
}

/// A node's connection. A new one after each crash, since intents that are written behind are the process's.
#[derive(Clone, Debug)]
pub(super) struct SimStore {
    pub(super) site: Arc<Site>,
    behind: Arc<Mutex<HashMap<SagaId, Vec<Change>>>>,
}

impl SimStore {
    pub(super) fn new(site: &Arc<Site>) -> Self {
        Self { site: Arc::clone(site), behind: Arc::default() }
    }

    /// To the store and back: before and behind the work there is time to crash in, or for the reply to get lost.
    async fn trip<T>(&self, work: impl AsyncFnOnce(&Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let lost = || StoreError::Unavailable("lost".into());
        sleep(Duration::from_millis(self.site.random(4))).await;
        if self.site.fails() {
            sleep(Duration::from_millis(self.site.random(300))).await;
            return Err(lost());
        }
        let result = work(self).await;
        sleep(Duration::from_millis(self.site.random(4))).await;
        if self.site.fails() { Err(lost()) } else { result }
    }

    async fn write(&self, mut change: Change) -> Result<Append, StoreError> {
        let before = self.site.memory.load(&change.id).await?;
        if let (Some(Mutation::IgnoreEpoch), Some(before)) = (self.site.mutation, &before) {
            let last = before.log.last().is_some_and(|(_, row)| *row == change.row);
            if !last {
                (change.epoch, change.seq) = (before.header.epoch, before.header.seq);
            }
        }
        let (id, status) = (change.id.clone(), change.status);
        let seq = change.seq;
        let applied = self.site.memory.append(change).await?;
        let ended = before.filter(|before| before.header.summary.status.is_terminal());
        if let (Append::Applied, Some(ended)) = (applied, ended)
            && ended.header.seq == seq
        {
            let what = format!("{id} was {}, and then {status}", ended.header.summary.status);
            self.site.violations.lock().unwrap().push(Violation::Terminal(what));
        }
        Ok(applied)
    }

    /// With intents that are written behind: they reach the store together with what comes next.
    async fn write_behind(&self, change: Change) -> Result<Append, StoreError> {
        let id = change.id.clone();
        let row = Row::decode(&change.row).unwrap();
        if row.events.iter().any(|event| matches!(event, Event::Sent { .. })) {
            self.behind.lock().unwrap().entry(id).or_default().push(change);
            return Ok(Append::Applied);
        }
        let earlier = self.behind.lock().unwrap().remove(&id).unwrap_or_default();
        for change in earlier {
            self.write(change).await?;
        }
        self.write(change).await
    }
}

impl Store for SimStore {
    fn now(&self) -> Millis {
        self.site.memory.now()
    }

    async fn create(&self, new: New) -> Result<Creation, StoreError> {
        self.trip(async |store| store.site.memory.create(new).await).await
    }

    async fn append(&self, change: Change) -> Result<Append, StoreError> {
        if self.site.mutation == Some(Mutation::LateIntent) {
            return self.trip(async |store| store.write_behind(change).await).await;
        }
        self.trip(async |store| store.write(change).await).await
    }

    async fn claim(&self, most: usize, lease: Duration) -> Result<Vec<Stored>, StoreError> {
        self.trip(async |store| store.site.memory.claim(most, lease).await).await
    }

    fn next_due(&self) -> Millis {
        self.site.memory.next_due()
    }

    async fn renew(&self, held: Vec<(SagaId, u64)>, due_at: Millis) -> Result<(), StoreError> {
        self.trip(async |store| store.site.memory.renew(held, due_at).await).await
    }

    async fn load(&self, id: &SagaId) -> Result<Option<Stored>, StoreError> {
        self.trip(async |store| store.site.memory.load(id).await).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Summary>, StoreError> {
        self.trip(async |store| store.site.memory.list(filter).await).await
    }

    async fn forget(&self, before: Millis, most: usize) -> Result<usize, StoreError> {
        self.trip(async |store| store.site.memory.forget(before, most).await).await
    }

    async fn figures(&self) -> Result<Figures, StoreError> {
        self.trip(async |store| store.site.memory.figures().await).await
    }
}
