//! The tables' epochs in the second level.
//!
//! An entry there carries the epoch in which its loader believed its table to be, and counts only for readers who
//! believe the same or an earlier one ([`Key::epoch`] of the cache). An [`EpochBump`](crate::EpochBump) has no version of
//! its own, so the feed draws one: above every earlier epoch of any table, and never below the bus's epoch, which is a time
//! in milliseconds. It is kept beside the checkpoint before the bump is published, so that the feed that comes next knows it.
//!
//! Readers learn it from the stream, never from Redis, which may lose its latest writes at a failover: those who are there
//! from the bump itself; those who come later, or missed records, from [`Message::Applied`](super::Message::Applied), without
//! which they do not use the second level.
//!
//! [`Key::epoch`]: https://docs.rs/aqueduct-cache

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::change::{Scope, TableName};

/// An epoch for all tables, and later ones of single tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    all: u64,
    tables: BTreeMap<Arc<TableName>, u64>,
}

impl Epochs {
    /// The same for all tables.
    pub fn new(all: u64) -> Self {
        Self { all, tables: BTreeMap::new() }
    }

    /// The epoch of a table.
    pub fn of(&self, table: &TableName) -> u64 {
        self.tables.get(table).copied().unwrap_or(self.all)
    }

    /// The epoch of the tables that have none of their own.
    pub fn all(&self) -> u64 {
        self.all
    }

    /// The tables that have one of their own, which is later, in the order of their names.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = (&Arc<TableName>, u64)> {
        self.tables.iter().map(|(name, epoch)| (name, *epoch))
    }

    /// The latest.
    pub fn latest(&self) -> u64 {
        self.tables.values().copied().fold(self.all, u64::max)
    }

    /// Raises what a bump covers. An epoch never goes down.
    pub fn raise(&mut self, scope: &Scope, epoch: u64) {
        match scope {
            Scope::Table(table) => self.raise_table(table, epoch),
            Scope::All => {
                self.all = self.all.max(epoch);
                let all = self.all;
                self.tables.retain(|_, own| *own > all);
            }
        }
    }

    /// Raises one table.
    pub fn raise_table(&mut self, table: &Arc<TableName>, epoch: u64) {
        if epoch > self.of(table) {
            self.tables.insert(Arc::clone(table), epoch);
        }
    }

    /// Raises all that `other` has higher.
    pub fn merge(&mut self, other: &Self) {
        self.raise(&Scope::All, other.all);
        for (table, epoch) in other.tables() {
            self.raise_table(table, epoch);
        }
    }
}
