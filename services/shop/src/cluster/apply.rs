//! What this process does with the changes of a source: forgets what they make stale, and tells who watches.

use std::collections::HashMap;

use aqueduct_cache::Stamp;
use aqueduct_cdc::feed::{Epochs, Master};
use aqueduct_cdc::follow::Apply;
use aqueduct_cdc::{Change, EpochBump, KeyPart, Scope, TableName, Version};
use aqueduct_shards::TABLES;
use tokio::time::Instant;

use super::{Parts, orders_table};
use crate::watchers::News;

/// One source's changes, applied.
pub(crate) struct Applied {
    source: usize,
    /// The tables of orders, and what they are called in the second level.
    tables: HashMap<TableName, String>,
    parts: Parts,
}

impl Applied {
    /// For the shards of one source; `databases` are those of all shards.
    pub(crate) fn new(source: usize, shards: &[u8], databases: &[String], parts: Parts) -> Self {
        let of = |shard: &u8| {
            let database = databases[usize::from(*shard)].clone();
            (0..TABLES).map(move |table| TableName { database: database.clone(), table: orders_table(table) })
        };
        let tables = shards.iter().flat_map(of).map(|table| (table.clone(), table.to_string())).collect();
        Self { source, tables, parts }
    }
}

impl Apply for Applied {
    fn fence(&mut self, change: &Change, floor: u64) {
        if !self.tables.contains_key(&*change.table) {
            return;
        }
        let Some(id) = order(change) else {
            tracing::warn!(table = %change.table, "a change of no order: its key is not an id");
            return self.flush();
        };
        // First: a watcher who hears of it reads through the cache.
        self.parts.cache.fence(&id, floor);
        if let Version::Exact(version) = change.version {
            self.parts.watchers.changed(id, News::Version(version));
        }
    }

    fn bump(&mut self, bump: &EpochBump, epoch: u64) {
        tracing::info!(scope = ?bump.scope, reason = bump.reason.label(), epoch, "what is cached of whole tables is forgotten");
        match &bump.scope {
            Scope::All => self.tables.values().for_each(|name| self.parts.epochs.raise(name, epoch)),
            Scope::Table(table) => {
                let Some(name) = self.tables.get(&**table) else { return };
                self.parts.epochs.raise(name, epoch);
            }
        }
        self.flush();
    }

    fn raise(&mut self, epochs: &Epochs) {
        for (table, name) in &self.tables {
            self.parts.epochs.raise(name, epochs.of(table));
        }
    }

    fn flush(&mut self) {
        self.parts.cache.flush();
        self.parts.watchers.missed();
    }

    fn l1(&mut self, at: Instant) {
        self.parts.watermarks.l1(self.source, at);
    }

    fn l2(&mut self, at: Instant, masters: &[Master]) {
        let masters: Vec<_> = masters.iter().copied().map(Stamp).collect();
        self.parts.watermarks.l2(self.source, at, &masters);
    }

    fn lost(&mut self) {
        self.parts.watermarks.lost(self.source);
    }
}

/// The order of a changed row.
fn order(change: &Change) -> Option<i64> {
    match change.key[..] {
        [KeyPart::Uint(id)] => i64::try_from(id).ok(),
        [KeyPart::Int(id)] => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use aqueduct_cache::Watermarks;
    use aqueduct_cache::l2;
    use aqueduct_cdc::{Key, Reason};

    use super::*;
    use crate::watchers::{Subscription, Watchers};
    use crate::{Options, shop};

    struct Site {
        applied: Applied,
        watchers: Arc<Watchers>,
        epochs: l2::Epochs,
        watermarks: Watermarks,
    }

    /// Shards 0 and 2 belong to the source.
    fn site() -> Site {
        let watchers = Watchers::new(8);
        let (epochs, watermarks) = (l2::Epochs::new(), Watermarks::new(2, Duration::from_secs(1)));
        let parts = Parts {
            cache: shop::cache(&Options::default(), |builder| builder).unwrap(),
            watchers: Arc::clone(&watchers),
            watermarks: watermarks.clone(),
            epochs: epochs.clone(),
        };
        let databases = [0, 1, 2, 3].map(|shard| format!("shop_{shard}"));
        Site { applied: Applied::new(1, &[0, 2], &databases, parts), watchers, epochs, watermarks }
    }

    fn table(database: &str, table: &str) -> Arc<TableName> {
        Arc::new(TableName { database: database.to_owned(), table: table.to_owned() })
    }

    fn change(table: Arc<TableName>, key: Key) -> Change {
        Change { table, key, version: Version::Exact(2), tombstone: false }
    }

    async fn heard(subscription: &mut Subscription) -> Option<News> {
        tokio::time::timeout(Duration::ZERO, subscription.next()).await.unwrap_or(None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_an_order_reaches_the_cache_and_its_watchers() {
        let mut site = site();
        let mut watcher = site.watchers.subscribe(7).unwrap();
        let fences = |site: &Site| site.applied.parts.cache.stats().fences;
        for other in [table("shop_1", "orders_00"), table("shop_0", "order_events_00")] {
            site.applied.fence(&change(other, vec![KeyPart::Uint(7)]), 2);
        }
        assert_eq!(fences(&site), 0, "not this source's orders");
        site.applied.fence(&change(table("shop_2", "orders_15"), vec![KeyPart::Uint(7)]), 2);
        assert_eq!(fences(&site), 1);
        assert_eq!(heard(&mut watcher).await, Some(News::Version(2)));
        // What is no order may be any of them: the watcher is let go, and begins anew.
        site.applied.fence(&change(table("shop_2", "orders_15"), vec![KeyPart::Bytes(vec![7])]), 2);
        assert_eq!(heard(&mut watcher).await, None);
    }

    #[test]
    fn a_bump_raises_the_epochs_that_it_covers() {
        let mut site = site();
        let bump = |scope| EpochBump { scope, reason: Reason::Ddl };
        site.applied.bump(&bump(Scope::Table(table("shop_0", "orders_03"))), 5);
        site.applied.bump(&bump(Scope::Table(table("shop_1", "orders_03"))), 6);
        let of = |site: &Site, name| site.epochs.of(name);
        assert_eq!(
            [of(&site, "shop_0.orders_03"), of(&site, "shop_0.orders_04"), of(&site, "shop_1.orders_03")],
            [5, 0, 0]
        );
        site.applied.bump(&bump(Scope::All), 7);
        assert_eq!(
            [of(&site, "shop_0.orders_03"), of(&site, "shop_2.orders_15"), of(&site, "shop_1.orders_03")],
            [7, 7, 0]
        );
        site.applied.raise(&Epochs::new(9));
        assert_eq!(of(&site, "shop_2.orders_00"), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn the_marks_are_those_of_its_source() {
        let mut site = site();
        site.applied.l1(Instant::now());
        site.applied.l2(Instant::now(), &[]);
        let current = |site: &Site| {
            [0, 1].map(|source| (site.watermarks.is_current(source), site.watermarks.l2_is_current(source)))
        };
        assert_eq!(current(&site), [(false, false), (true, true)]);
        site.applied.lost();
        assert_eq!(current(&site), [(false, false); 2]);
    }
}
