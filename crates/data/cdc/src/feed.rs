//! Hands what the binlog says on: first to the bus, from which every first level reads, then to the second level.
//!
//! [`Feed`] is a [`Sink`]. It takes transactions faster than either acknowledges; [`Work`] brings them there, in order,
//! many at a time. The checkpoint passes a transaction when both have it ([`Sink::settled`]), so the lesser of the two holds it.
//!
//! **The second level may fail without the first noticing.** Its floors wait in a queue, and [`Message::Applied`], without which
//! nobody uses the second level, waits with them. The queue is bounded: beyond that its floors are let go and their
//! tables remembered, on disk too. When it can be reached again the epochs of these tables are raised
//! ([`Epochs`]), which makes everything that is in it older than that a miss. Not at once, though: an event can arrive before its row is
//! visible, and a reader who knew the new epoch could fill in the old row. It waits until two beats of one instance
//! were seen behind what was let go. The second could only be written when the first was visible, since both change the same row, and
//! everything before the first in the binlog became visible before it.

mod bus;
mod epochs;
mod keep;
mod level2;
mod message;
mod pack;
#[cfg(feature = "redis")]
mod redis;
mod stats;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aqueduct_bus::Publish;
use tokio::sync::{Semaphore, mpsc};

pub use epochs::Epochs;
pub use keep::{Keep, KeepFile, KeepMemory, Kept};
pub use level2::{Floors, Master, NoLevel2};
pub use message::{MAX_PAYLOAD, Malformed, Message, decode, encode};
pub use pack::key_text;
#[cfg(feature = "redis")]
pub use redis::l2_key;
pub use stats::{Gauge, Stats};

use crate::change::{Change, Sink, TableName, Transaction, Version};
use crate::checkpoint::CheckpointError;
use bus::Item;
use level2::Level2;

/// How the feed behaves.
#[derive(Clone, Debug)]
pub struct FeedOptions {
    /// The table of the instances' heartbeats. Without it nobody's caches are ever current.
    pub heartbeat: Option<TableName>,
    /// The topic of all records.
    pub topic: Arc<str>,
    /// Changes that are taken before the bus has them.
    pub inbox: u32,
    /// The payload from which on a record is full. A single message may be longer.
    pub record_bytes: usize,
    /// Floors that wait for the second level before they are let go.
    pub queue: usize,
    /// Floors that are under way to the second level at a time.
    pub concurrent: usize,
    /// How long to wait before the second level is tried again.
    pub retry: Duration,
}

impl Default for FeedOptions {
    fn default() -> Self {
        Self {
            heartbeat: None,
            topic: "changes".into(),
            inbox: 50_000,
            record_bytes: 64 << 10,
            queue: 100_000,
            concurrent: 64,
            retry: Duration::from_millis(50),
        }
    }
}

/// The least version that is not stale after a change; 0 when its table has none, and what is cached tells nothing.
pub fn floor(change: &Change) -> u64 {
    match change.version {
        Version::Exact(version) => version.saturating_add(u64::from(change.tombstone)),
        Version::Bounded => 0,
    }
}

/// Why a feed ended.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// What must be kept cannot be.
    #[error(transparent)]
    Keep(#[from] CheckpointError),
    /// The bus takes no more.
    #[error("the bus failed: {0}")]
    Bus(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The work was dropped, or had ended.
    #[error("the feed's work has ended")]
    Ended,
}

/// The end of the feed where transactions go in.
#[derive(Debug)]
pub struct Feed {
    inbox: mpsc::UnboundedSender<Item>,
    room: Arc<Semaphore>,
    most: u32,
    taken: u64,
    gauge: Gauge,
}

/// What brings them to the bus and to the second level, as long as it is polled.
#[derive(Debug)]
pub struct Work<B, F, K> {
    bus: bus::Bus<B, K>,
    level2: level2::Worker<F>,
}

impl Feed {
    /// A feed and its work. What was kept must be that of the same source.
    pub async fn new<B: Publish, F: Floors, K: Keep>(
        publish: B,
        floors: F,
        keep: K,
        options: FeedOptions,
    ) -> Result<(Self, Work<B, F, K>), FeedError> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let gauge = Gauge::default();
        let level2 = Level2::new(&options, gauge.clone());
        let room = Arc::new(Semaphore::new(options.inbox as usize));
        let worker = level2::Worker::new(floors, Arc::clone(&level2), &options);
        let most = options.inbox;
        let bus = bus::Bus::new(publish, keep, inbox, level2, options).await?;
        let feed = Self { inbox: sender, room, most, taken: 0, gauge };
        Ok((feed, Work { bus, level2: worker }))
    }

    /// How many transactions it took.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Its figures, to be read from elsewhere.
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }
}

impl<B: Publish, F: Floors, K: Keep> Work<B, F, K> {
    /// The side of the bus and that of the second level, for a task each: many floors at a time do not hold up what goes to the bus
    /// then. The second goes on until all is there; without it nothing settles.
    pub fn sides(self) -> (impl Future<Output = Result<(), FeedError>>, impl Future<Output = ()>) {
        (self.bus.run(), self.level2.run())
    }

    /// Works until the feed is dropped and all that it took is acknowledged, or the bus fails.
    pub async fn run(self) -> Result<(), FeedError> {
        let (bus, level2) = self.sides();
        let (mut bus, mut level2) = (std::pin::pin!(bus), std::pin::pin!(level2));
        tokio::select! {
            biased;
            done = &mut bus => done?,
            () = &mut level2 => return Ok(()),
        }
        level2.await;
        Ok(())
    }
}

impl Sink for Feed {
    type Error = FeedError;

    async fn deliver(&mut self, transaction: &Transaction) -> Result<(), FeedError> {
        let size = u32::try_from(transaction.changes.len()).unwrap_or(u32::MAX).clamp(1, self.most);
        let room = Arc::clone(&self.room).acquire_many_owned(size).await.map_err(|_| FeedError::Ended)?;
        let number = self.taken + 1;
        let item = Item {
            number,
            gtid: transaction.gtid,
            bumps: transaction.bumps.clone(),
            changes: transaction.changes.clone(),
            _room: room,
        };
        self.inbox.send(item).map_err(|_| FeedError::Ended)?;
        self.taken = number;
        Ok(())
    }

    fn settled(&self) -> u64 {
        self.gauge.inner().settled.load(Relaxed)
    }
}

#[cfg(test)]
mod tests;
