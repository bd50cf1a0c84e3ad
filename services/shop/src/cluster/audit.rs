//! The auditor: compares what is cached with what the primary has, again and again for a few of the orders that were read last.
//!
//! It is the only defence against changes that the binlog does not tell (`SET sql_log_bin=0`, a primary that lost commits in a
//! failover). What differs is told, counted and repaired.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_cache::Loaded;
use aqueduct_cache::audit::{Audit, Auditor};
use aqueduct_shards::Freshness;
use tokio::time::{MissedTickBehavior, interval};

use crate::book::Book;
use crate::orders::Orders;
use crate::store::ReadError;

/// From sample to sample, at least.
const EVERY: Duration = Duration::from_secs(1);
/// Orders a sample.
const SAMPLE: usize = 8;
/// What a change may take beyond Δ until it is heard of.
const BEYOND: Duration = Duration::from_millis(200);

/// An auditor of orders by id.
pub(crate) fn auditor(seed: u64) -> Auditor<i64> {
    Auditor::new(SAMPLE, seed)
}

/// Audits for as long as it is polled. A change may take `delta` to be heard of.
pub(super) async fn run(orders: Arc<Orders>, delta: Duration) {
    let Book::Sharded(shards) = &*orders.book else { return };
    let stored = |id: i64| {
        let book = Arc::clone(&orders.book);
        async move {
            let Book::Sharded(shards) = &*book else { return Ok(Loaded::new(0, None)) };
            let order = shards.order(id, Freshness::Primary, None).await?;
            let version = order.as_ref().map_or(0, |order| order.version.unsigned_abs());
            Ok::<_, ReadError>(Loaded::new(version, order.map(Arc::new)))
        }
    };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (cache, grace) = (&orders.cache, delta + BEYOND);
        let Audit { differing, repaired, .. } = match shards.tiers() {
            Some(tiers) => orders.auditor.round(cache, tiers, grace, &stored).await,
            None => orders.auditor.round(cache, &(), grace, &stored).await,
        };
        if differing > 0 {
            tracing::error!(
                differing,
                repaired,
                "cached orders differ from the database: were they changed with sql_log_bin=0, or did a failover lose commits? What can be is repaired"
            );
        }
    }
}
