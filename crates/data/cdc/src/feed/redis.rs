//! The second level that `aqueduct-cache` keeps in a Redis Cluster (feature `redis`).

use aqueduct_cache::l2::{Backend, Error, Key as L2Key, Store};

use super::{Floors, Master, key_text};
use crate::change::{Key, TableName};

/// The name of a row in the second level: `database.table:key`, the key as [`key_text`] writes it. Those who fill in must use the same.
///
/// # Errors
///
/// When the names are none that the second level takes, or the key is too long: then nobody can have filled it in.
pub fn l2_key(table: &TableName, key: &Key) -> Result<L2Key, Error> {
    L2Key::new(&table.to_string(), &key_text(key))
}

impl<B: Backend> Floors for Store<B> {
    type Error = Error;

    async fn invalidate(&self, table: &TableName, key: &Key, version: u64) -> Result<(), Error> {
        let Ok(key) = l2_key(table, key) else { return Ok(()) };
        Self::invalidate(self, &key, version).await
    }

    async fn delete(&self, table: &TableName, key: &Key, version: u64) -> Result<(), Error> {
        let Ok(key) = l2_key(table, key) else { return Ok(()) };
        Self::delete(self, &key, version).await
    }

    async fn mark(&self, table: &TableName, key: &Key) -> Result<(), Error> {
        let Ok(key) = l2_key(table, key) else { return Ok(()) };
        Self::mark(self, &key).await
    }

    async fn masters(&self) -> Vec<Master> {
        Self::masters(self).await.into_iter().map(|stamp| stamp.0).collect()
    }
}
