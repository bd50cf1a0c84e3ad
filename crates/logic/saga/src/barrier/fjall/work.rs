//! Changes that see each other, with savepoints, and that become durable together.

use std::collections::BTreeMap;

use ::fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};

/// Where a value is: keyspace by its place in `keyspaces`, and key.
type Place = (usize, Vec<u8>);
/// `None` is a removal.
type Value = Option<Vec<u8>>;

/// A transaction: reads see its own writes. Dropped without [`commit`](Self::commit) it has done nothing.
#[derive(Default)]
pub struct Work {
    keyspaces: Vec<Keyspace>,
    values: BTreeMap<Place, Value>,
    /// What each write has replaced, so that it can be taken back.
    undo: Vec<(Place, Option<Value>)>,
}

/// A state of a [`Work`] to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savepoint(usize);

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

impl Work {
    /// One without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value as it will be after these changes.
    pub fn get(&self, keyspace: &Keyspace, key: &[u8]) -> ::fjall::Result<Option<Vec<u8>>> {
        let own = self.number(keyspace).and_then(|number| self.values.get(&(number, key.to_vec())));
        match own {
            Some(value) => Ok(value.clone()),
            None => Ok(keyspace.get(key)?.map(|value| value.to_vec())),
        }
    }

    /// Writes a value.
    pub fn insert(&mut self, keyspace: &Keyspace, key: &[u8], value: &[u8]) {
        self.set(keyspace, key, Some(value.to_vec()));
    }

    /// Removes a value.
    pub fn remove(&mut self, keyspace: &Keyspace, key: &[u8]) {
        self.set(keyspace, key, None);
    }

    fn set(&mut self, keyspace: &Keyspace, key: &[u8], value: Value) {
        let number = self.number(keyspace).unwrap_or_else(|| {
            self.keyspaces.push(keyspace.clone());
            self.keyspaces.len() - 1
        });
        let place = (number, key.to_vec());
        let before = self.values.insert(place.clone(), value);
        self.undo.push((place, before));
    }

    fn number(&self, keyspace: &Keyspace) -> Option<usize> {
        self.keyspaces.iter().position(|known| known.name() == keyspace.name())
    }

    /// The present state.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint(self.undo.len())
    }

    /// Takes back all changes since then.
    pub fn rollback_to(&mut self, savepoint: Savepoint) {
        while self.undo.len() > savepoint.0 {
            let Some((place, before)) = self.undo.pop() else { return };
            match before {
                Some(value) => _ = self.values.insert(place, value),
                None => _ = self.values.remove(&place),
            }
        }
    }

    /// Puts all changes into a batch that the caller has opened and commits, with `PersistMode::SyncData`.
    pub fn put_into(self, batch: &mut OwnedWriteBatch) {
        for ((number, key), value) in self.values {
            let Some(keyspace) = self.keyspaces.get(number) else { continue };
            match value {
                Some(value) => batch.insert(keyspace, key, value),
                None => batch.remove(keyspace, key),
            }
        }
    }

    /// Makes all changes durable: answer nobody before this returns. Blocks on the disk.
    pub fn commit(self, database: &Database) -> ::fjall::Result<()> {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        self.put_into(&mut batch);
        batch.commit()
    }
}
