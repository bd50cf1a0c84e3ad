//! The auditor: compares what is cached with what the primary has, again and again for a few of the orders that were read last.
//!
//! It is the only defence against changes that the binlog does not tell (`SET sql_log_bin=0`, a primary that lost commits in a
//! failover). What differs is told, counted and repaired.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use aqueduct_shards::Freshness;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::book::Book;
use crate::orders::Orders;
use crate::proto::shop::Order;

/// From sample to sample.
const EVERY: Duration = Duration::from_secs(1);
/// Orders a sample.
const SAMPLE: usize = 8;
/// Orders that are remembered: so many read last.
const REMEMBERED: usize = 256;

/// The orders that were read last, and what the audits came to.
#[derive(Debug)]
pub(crate) struct Audit {
    ids: Box<[AtomicI64]>,
    next: AtomicUsize,
    same: AtomicU64,
    differs: AtomicU64,
}

impl Audit {
    pub(crate) fn new() -> Self {
        let ids = (0..REMEMBERED).map(|_| AtomicI64::new(0)).collect();
        Self { ids, next: AtomicUsize::new(0), same: AtomicU64::new(0), differs: AtomicU64::new(0) }
    }

    /// An order was read.
    pub(crate) fn read(&self, id: i64) {
        let at = self.next.fetch_add(1, Relaxed) % REMEMBERED;
        self.ids[at].store(id, Relaxed);
    }

    /// Orders that were the same, and that differed.
    pub(crate) fn stats(&self) -> [u64; 2] {
        [self.same.load(Relaxed), self.differs.load(Relaxed)]
    }
}

/// Audits for as long as it is polled. A change may take `delta` to be heard of.
pub(super) async fn run(orders: Arc<Orders>, delta: Duration) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut at = 0;
    loop {
        ticks.tick().await;
        for _ in 0..SAMPLE {
            at = (at + 1) % REMEMBERED;
            let id = orders.audit.ids[at].load(Relaxed);
            if id > 0 {
                compare(&orders, id, delta).await;
            }
        }
    }
}

/// What differs is looked at twice: a change that is under way is no fault.
async fn compare(orders: &Orders, id: i64, delta: Duration) {
    let Some(first) = look(orders, id).await else { return };
    if first.is_same() {
        orders.audit.same.fetch_add(1, Relaxed);
        return;
    }
    sleep(delta + Duration::from_millis(200)).await;
    let Some(found) = look(orders, id).await else { return };
    // It was read anew, or both have moved on: then there is nothing to tell.
    if found.is_same() || found.cached.version != first.cached.version {
        return;
    }
    orders.audit.differs.fetch_add(1, Relaxed);
    tracing::error!(
        id,
        cached = found.cached.version,
        primary = found.primary.as_ref().map(|order| order.version),
        "a cached order differs from the database: was it changed with sql_log_bin=0, or did a failover lose commits? It is repaired"
    );
    if let Book::Sharded(shards) = &*orders.book
        && let Some(tiers) = shards.tiers()
        && let Err(error) = tiers.discard(id, found.cached.version.unsigned_abs()).await
    {
        tracing::warn!(%error, "the second level could not be repaired; trying again later");
    }
    orders.cache.fence(&id, 0);
}

/// An order as it is cached, and as it is.
struct Seen {
    cached: Arc<Order>,
    primary: Option<Order>,
}

impl Seen {
    fn is_same(&self) -> bool {
        self.primary.as_ref() == Some(&*self.cached)
    }
}

/// `None` where there is nothing to compare: an answer that says it is stale, or a server that is away.
async fn look(orders: &Orders, id: i64) -> Option<Seen> {
    let Book::Sharded(shards) = &*orders.book else { return None };
    let answer = crate::orders::get::cached(orders, id).await.ok()?;
    let cached = answer.value.filter(|_| answer.age.is_none())?;
    let primary = shards.order(id, Freshness::Primary, None).await.ok()?;
    Some(Seen { cached, primary })
}
