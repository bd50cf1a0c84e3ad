//! What this process does with the changes of a source: forgets what they make stale, and tells who watches.

use std::collections::HashMap;

use aqueduct_cdc::feed::Epochs;
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

    fn l2(&mut self, at: Instant) {
        self.parts.watermarks.l2(self.source, at);
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
