//! The relay of a shard's outbox: brings what was committed to the bus, in order, and removes what is there.
//!
//! Every process has one for each shard, and one of all works: it holds a lease in the shard's database, by that server's clock. Two that
//! both believe they do cannot mix their records: the bus refuses the publisher that another one has followed.
//!
//! **Order.** The version that follows another one of the same order was written under a lock that was had after the other was
//! committed. So it has the higher `seq`, and whoever reads it, reads the other too, or has removed it from the outbox.
//! **At least once.** A row is removed when the bus has it. A relay that ends in between leaves it to the next, which tells it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aqueduct_bus::jetstream::{self, Bus};
use aqueduct_bus::{DedupId, Publish as _};
use aqueduct_fsm::Word;
use aqueduct_shards::{Error, Freshness, Shards};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::changes::{Change, draft};

/// Rows brought to the bus at a time.
const BATCH: usize = 256;
/// How long a lease lasts that is not renewed.
const LEASE_MS: u32 = 3_000;
/// How often it is renewed, and how often another process looks whether it is free.
const RENEW: Duration = Duration::from_secs(1);
/// How often it looks for what other processes have committed.
const LOOK: Duration = Duration::from_millis(20);
/// Rows that wait are counted up to here.
const COUNTED: u32 = 100_000;
/// The pause after an error.
const PAUSE: Duration = Duration::from_millis(200);

/// What the relays of this process have done.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    /// Records on the bus.
    pub(crate) published: AtomicU64,
    /// Times a lease was taken.
    pub(crate) taken: AtomicU64,
    /// Rows in the outboxes of the shards whose lease this process holds.
    backlog: [AtomicU64; aqueduct_shards::SHARDS as usize],
}

impl Relayed {
    /// Rows that wait in the outboxes which this process works for.
    pub(crate) fn backlog(&self) -> u64 {
        self.backlog.iter().map(|rows| rows.load(Relaxed)).sum()
    }
}

/// One shard's relay in this process.
pub(super) struct Relay {
    pub(super) shards: Shards,
    pub(super) shard: u8,
    /// The stream of this shard's orders.
    pub(super) bus: Bus,
    /// This process.
    pub(super) holder: u64,
    /// Told of what this process has committed.
    pub(super) outbox: Arc<Notify>,
    pub(super) relayed: Arc<Relayed>,
}

/// Why a relay lets go for a while.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Database(#[from] Error),
    #[error(transparent)]
    Bus(#[from] jetstream::Error),
    #[error("another process has taken the lease")]
    Lost,
}

/// A row of the outbox.
type Row = (u64, u64, u64, u8);

impl Relay {
    /// Works whenever the lease is free, for as long as it is polled.
    pub(super) async fn run(self) {
        loop {
            let stopped = match self.take().await {
                Ok(true) => {
                    self.relayed.taken.fetch_add(1, Relaxed);
                    tracing::info!(shard = self.shard, "bringing the outbox to the bus");
                    self.lead().await
                }
                Ok(false) => {
                    sleep(RENEW).await;
                    continue;
                }
                Err(error) => error.into(),
            };
            self.backlog().store(0, Relaxed);
            match stopped {
                Stopped::Lost | Stopped::Bus(jetstream::Error::Superseded { .. }) => {
                    tracing::info!(shard = self.shard, %stopped, "another process brings the outbox to the bus");
                }
                stopped => tracing::debug!(shard = self.shard, %stopped, "the outbox cannot be emptied yet"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Empties the outbox until something is in the way.
    async fn lead(&self) -> Stopped {
        let mut publisher = match self.bus.publisher().await {
            Ok(publisher) => publisher,
            Err(error) => return error.into(),
        };
        let mut renewed = Instant::now();
        loop {
            if renewed.elapsed() >= RENEW {
                renewed = Instant::now();
                match self.take().await {
                    Ok(true) => {}
                    Ok(false) => return Stopped::Lost,
                    Err(error) => return error.into(),
                }
            }
            let rows = match self.rows().await {
                Ok(rows) => rows,
                Err(error) => return error.into(),
            };
            if rows.is_empty() {
                drop(timeout(LOOK, self.outbox.notified()).await);
                continue;
            }
            let drafts = rows.iter().filter_map(|(_, id, version, state)| {
                let change = Change { order: id.cast_signed(), word: Word::new(*state, *version)? };
                Some((DedupId::new(format!("{id}/{version}")), draft(change)))
            });
            if let Err(error) = publisher.publish(drafts.collect()).await {
                return error.into();
            }
            self.relayed.published.fetch_add(rows.len() as u64, Relaxed);
            if let Err(error) = self.remove(&rows).await {
                return error.into();
            }
        }
    }

    /// Takes or renews the lease, and counts what waits. False: another process holds it.
    async fn take(&self) -> Result<bool, Error> {
        let mut read = self.shards.read(self.shard, Freshness::Primary, None).await?;
        // Who does not hold it, and cannot have it, has nothing to write.
        let sql = "SELECT holder, until > NOW(3) FROM order_relay WHERE name = 'outbox'";
        let held = read.first::<(u64, bool)>(sql, ()).await?;
        drop(read);
        if held.is_some_and(|(holder, lasts)| lasts && holder != self.holder) {
            return Ok(false);
        }
        let mut write = self.shards.write_read_committed(self.shard, None).await?;
        let until = format!("NOW(3) + INTERVAL {LEASE_MS} * 1000 MICROSECOND");
        // Assigned from left to right: `until` sees the new holder.
        let sql = format!(
            "INSERT INTO order_relay (name, holder, until) VALUES ('outbox', ?, {until}) ON DUPLICATE KEY UPDATE \
             holder = IF(until < NOW(3) OR holder = VALUES(holder), VALUES(holder), holder), \
             until = IF(holder = VALUES(holder), VALUES(until), until)"
        );
        write.exec(&sql, (self.holder,)).await?;
        let sql = "SELECT holder FROM order_relay WHERE name = 'outbox'";
        let holder = write.first::<u64>(sql, ()).await?;
        let sql = format!("SELECT COUNT(*) FROM (SELECT 1 FROM order_outbox LIMIT {COUNTED}) waiting");
        let backlog = write.first::<u64>(&sql, ()).await?.unwrap_or_default();
        write.commit().await?;
        self.backlog().store(backlog, Relaxed);
        Ok(holder == Some(self.holder))
    }

    async fn rows(&self) -> Result<Vec<Row>, Error> {
        let mut read = self.shards.read(self.shard, Freshness::Primary, None).await?;
        let sql = format!("SELECT seq, id, version, state FROM order_outbox ORDER BY seq LIMIT {BATCH}");
        read.rows(&sql, ()).await
    }

    /// By their keys: a row with a lower number may have been committed meanwhile.
    async fn remove(&self, rows: &[Row]) -> Result<(), Error> {
        let numbers: Vec<String> = rows.iter().map(|(seq, ..)| seq.to_string()).collect();
        let sql = format!("DELETE FROM order_outbox WHERE seq IN ({})", numbers.join(","));
        let mut write = self.shards.write_read_committed(self.shard, None).await?;
        write.run_all::<u64>(&[sql], Duration::from_secs(5)).await?;
        write.commit().await.map(drop)
    }

    fn backlog(&self) -> &AtomicU64 {
        &self.relayed.backlog[usize::from(self.shard)]
    }
}
