//! The bus side of a feed: takes what came in, publishes it, and puts its floors into the queue of the second level.
//!
//! One batch at a time; what comes in meanwhile is the next. `docs/adr/0018-one-batch-at-a-time.md` has what two at a time would cost.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use aqueduct_bus::Publish;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::keep::{Keep, Kept};
use super::level2::{Entry, Level2, Master, Place};
use super::message::Message;
use super::pack::{self, Packed};
use super::{FeedError, FeedOptions, Stats};
use crate::change::{Change, EpochBump};
use crate::checkpoint::CheckpointError;
use crate::gtid::Gtid;

/// Transactions that are published at once.
const AT_ONCE: usize = 1024;

/// A transaction under way.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its place among all that were taken, from 1.
    pub(crate) number: u64,
    pub(crate) gtid: Option<Gtid>,
    pub(crate) bumps: Vec<EpochBump>,
    pub(crate) changes: Vec<Change>,
    pub(crate) _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(crate) struct Bus<B, K> {
    publish: B,
    keep: Arc<K>,
    kept: Kept,
    /// The instances of which a beat was seen since floors were last let go.
    seen: HashSet<u64>,
    inbox: mpsc::UnboundedReceiver<Item>,
    level2: Arc<Level2>,
    options: FeedOptions,
}

impl<B: Publish, K: Keep> Bus<B, K> {
    pub(crate) async fn new(
        publish: B,
        keep: K,
        inbox: mpsc::UnboundedReceiver<Item>,
        level2: Arc<Level2>,
        options: FeedOptions,
    ) -> Result<Self, FeedError> {
        let keep = Arc::new(keep);
        let kept = blocking(&keep, K::load).await?;
        let known = kept.is_some();
        // What nobody remembers may have been anything: the bus's epoch is above all earlier ones.
        let kept =
            kept.unwrap_or_else(|| Kept { epochs: super::Epochs::new(publish.epoch()), ..Kept::default() });
        let bus = Self { publish, keep, kept, seen: HashSet::new(), inbox, level2, options };
        if !known {
            bus.save().await?;
        }
        bus.level2.gauge().pending.store(bus.kept.pending.len() as u64, Relaxed);
        bus.level2.gauge().epoch.store(bus.publish.epoch(), Relaxed);
        Ok(bus)
    }

    /// Until the inbox is closed and empty.
    pub(crate) async fn run(mut self) -> Result<(), FeedError> {
        let mut items = Vec::new();
        loop {
            tokio::select! {
                biased;
                taken = self.inbox.recv_many(&mut items, AT_ONCE) => {
                    if taken == 0 {
                        self.level2.close();
                        return Ok(());
                    }
                    self.tell(&items).await?;
                    items.clear();
                }
                () = self.level2.announceable(), if self.kept.pending.is_empty() => {}
            }
            if self.kept.pending.is_empty()
                && let Some((place, masters)) = self.level2.announcement()
            {
                self.announce(place, masters).await?;
            }
        }
    }

    async fn tell(&mut self, items: &[Item]) -> Result<(), FeedError> {
        let epochs = self.raise(items).await?;
        let mut counted = Stats::default();
        let packed = pack::pack(items, epochs.into_iter(), &self.options, &mut counted);
        let last = items.last().map_or(0, |item| item.number);
        let first = self.publish_all(&packed).await?;
        let gauge = self.level2.gauge();
        gauge.transactions.store(last, Relaxed);
        gauge.changes.fetch_add(counted.changes, Relaxed);
        gauge.beats.fetch_add(counted.beats, Relaxed);
        pack::bumps(items).for_each(|bump| gauge.bump(&bump.reason));
        self.queue(packed, first, last).await
    }

    /// Draws the epochs of the bumps, and keeps them before anybody can hear of them.
    async fn raise(&mut self, items: &[Item]) -> Result<Vec<u64>, FeedError> {
        let mut drawn = Vec::new();
        for bump in pack::bumps(items) {
            let epoch = self.next_epoch();
            self.kept.epochs.raise(&bump.scope, epoch);
            drawn.push(epoch);
        }
        if !drawn.is_empty() {
            self.save().await?;
        }
        Ok(drawn)
    }

    fn next_epoch(&self) -> u64 {
        self.kept.epochs.latest().saturating_add(1).max(self.publish.epoch())
    }

    /// Returns the number of the first.
    async fn publish_all(&mut self, packed: &[Packed]) -> Result<u64, FeedError> {
        let drafts: Vec<_> = packed.iter().map(|it| (it.id.clone(), it.draft.clone())).collect();
        let count = drafts.len() as u64;
        if count == 0 {
            return Ok(0);
        }
        let seqs = self.publish.publish(drafts).await.map_err(|error| FeedError::Bus(Box::new(error)))?;
        let gauge = self.level2.gauge();
        gauge.records.fetch_add(count, Relaxed);
        gauge.epoch.store(self.publish.epoch(), Relaxed);
        Ok(seqs.start)
    }

    async fn queue(&mut self, packed: Vec<Packed>, first: u64, last: u64) -> Result<(), FeedError> {
        let floors = packed.iter().map(|it| it.changes.len()).sum();
        if self.level2.overflows(floors) {
            self.let_go().await?;
        }
        let mut visible = false;
        if !self.kept.pending.is_empty() {
            for instance in packed.iter().flat_map(|it| &it.beats) {
                visible |= !self.seen.insert(*instance);
            }
        }
        let epoch = self.publish.epoch();
        let mut entries: Vec<_> = (first..)
            .zip(packed)
            .map(|(seq, it)| Entry::new(Place { epoch, seq }, it.settles, it.changes, !it.beats.is_empty()))
            .collect();
        if let Some(entry) = entries.last_mut() {
            entry.settles = last;
        } else {
            entries.push(Entry::empty(last));
        }
        self.level2.push(entries);
        if visible {
            self.raise_pending().await?;
        }
        Ok(())
    }

    /// Forgets the floors that wait, and remembers their tables instead.
    async fn let_go(&mut self) -> Result<(), FeedError> {
        let before = self.kept.pending.len();
        self.kept.pending.extend(self.level2.tables());
        if self.kept.pending.len() > before {
            self.save().await?;
        }
        self.seen.clear();
        let floors = self.level2.let_go();
        tracing::warn!(
            floors,
            tables = self.kept.pending.len(),
            "the second level is out of reach for too long: its entries of these tables will not be used"
        );
        Ok(())
    }

    /// What was let go is visible to every reader by now.
    async fn raise_pending(&mut self) -> Result<(), FeedError> {
        let epoch = self.next_epoch();
        for table in std::mem::take(&mut self.kept.pending) {
            self.kept.epochs.raise_table(&table, epoch);
        }
        self.seen.clear();
        self.save().await
    }

    async fn save(&self) -> Result<(), FeedError> {
        let kept = self.kept.clone();
        self.level2.gauge().pending.store(kept.pending.len() as u64, Relaxed);
        Ok(blocking(&self.keep, move |keep| keep.save(&kept)).await?)
    }

    async fn announce(&mut self, place: Place, masters: Vec<Master>) -> Result<(), FeedError> {
        let Place { epoch, seq } = place;
        if epoch != self.publish.epoch() {
            return Ok(());
        }
        let message = Message::Applied { epoch, seq, epochs: self.kept.epochs.clone(), masters };
        let (id, draft) = pack::lone(&message, format!("applied/{seq}"), &self.options);
        self.publish_all(&[Packed { id, draft, ..Packed::default() }]).await.map(drop)
    }
}

async fn blocking<K: Keep, T: Send + 'static>(
    keep: &Arc<K>,
    call: impl FnOnce(&K) -> Result<T, CheckpointError> + Send + 'static,
) -> Result<T, CheckpointError> {
    if !keep.blocks() {
        return call(keep);
    }
    let keep = Arc::clone(keep);
    match tokio::task::spawn_blocking(move || call(&keep)).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
