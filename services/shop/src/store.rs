//! The embedded store: one database a data folder, in which an order, its index row, its word and its event id commit
//! together, and the two halves that the fsm asks for.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `orders` | id, 8 bytes big-endian | `shop.v1.Order` without id, status and version: what never changes |
//! | `by_user` | user, 8 bytes; id inverted, 8 bytes: newest first | nothing |
//! | `words`, `events` | those of `aqueduct_fsm::fjall` | |
//! | `saga_…` | those of `aqueduct_saga::fjall`: the transfers, written by a thread of their own | |

use std::path::Path;
use std::sync::Arc;

use aqueduct_fsm::fjall::{Rows, probe};
use aqueduct_fsm::{Commit, Load as _, Store, StoreError, Word};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Slice};
use prost::Message as _;

use crate::changes::{Change, Publisher};
use crate::folder::Folder;
use crate::order;
use crate::orders::OrderCache;
use crate::proto::shop::Order;

/// One flushes while the other compacts; with one thread a long compaction would hold up the flush, and that the writers.
const WORKERS: usize = 2;
/// The journals are read again at the next start: this bounds how long a start takes.
const MAX_JOURNALS: u64 = 256 << 20;

/// The tables, to be read from any thread. A read takes microseconds when the block is in memory.
#[derive(Clone)]
pub(crate) struct Tables(Arc<Inner>);

struct Inner {
    orders: Keyspace,
    by_user: Keyspace,
    rows: Rows,
    db: Database,
    /// Unlocked when the last user of the database is gone, and not before.
    _folder: Folder,
}

/// Why an order cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the store cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error("the row of order {0} is missing or damaged")]
    Damaged(i64),
    #[error(transparent)]
    Shards(#[from] aqueduct_shards::Error),
    #[error("the database has version {found} of the order, but {least} was committed")]
    Behind { found: u64, least: u64 },
    #[error("{0} loads pass the second level by already")]
    Overloaded(usize),
}

impl From<fjall::Error> for ReadError {
    fn from(error: fjall::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Tables {
    /// Opens the database of a folder, and creates it where there is none.
    pub(crate) fn open(folder: Folder, cache_bytes: u64) -> Result<Self, StoreError> {
        if !folder.store().exists() {
            // Under another name until it is whole: what a crash leaves of a creation cannot be opened, and could not
            // be told from a database that lost a file.
            folder.install_store(|path| open(path, cache_bytes).map(drop))?;
        }
        let (db, orders, by_user) = open(&folder.store(), cache_bytes)?;
        let rows = Rows::open(&db)?;
        Ok(Self(Arc::new(Inner { orders, by_user, rows, db, _folder: folder })))
    }

    /// The order as it is now.
    pub(crate) fn order(&self, id: i64) -> Result<Option<Order>, ReadError> {
        // The word first: it is written after the body, so whoever sees it sees both.
        let Some(word) = self.0.rows.word(id.cast_unsigned())? else { return Ok(None) };
        let mut order = self.body(id)?;
        order::show(&mut order, word.state(), word.version());
        Ok(Some(order))
    }

    /// The order's state and version.
    pub(crate) fn word(&self, id: i64) -> Result<Option<Word>, ReadError> {
        Ok(self.0.rows.word(id.cast_unsigned())?)
    }

    /// What never changes of an order that exists; status and version are 0.
    pub(crate) fn body(&self, id: i64) -> Result<Order, ReadError> {
        let row = self.0.orders.get(id.to_be_bytes())?.ok_or(ReadError::Damaged(id))?;
        let body = Order::decode(&*row).map_err(|_| ReadError::Damaged(id))?;
        Ok(Order { id, ..body })
    }

    /// The ids of a user's orders, newest first, from the one behind `after`.
    pub(crate) fn orders_of(
        &self,
        user: i64,
        after: Option<i64>,
    ) -> impl Iterator<Item = Result<i64, ReadError>> {
        let newest = after.map_or([0; 8], |after| inverted(after.saturating_sub(1)));
        let range = user_key(user, newest)..=user_key(user, [u8::MAX; 8]);
        self.0.by_user.range(range).map(move |row| {
            let key = row.key()?;
            let inverted =
                key.get(8..16).and_then(|id| id.try_into().ok()).ok_or(ReadError::Damaged(user))?;
            Ok(!i64::from_be_bytes(inverted))
        })
    }

    /// The database, for what else is in it.
    pub(crate) fn database(&self) -> Database {
        self.0.db.clone()
    }

    /// Whether the database still takes writes. May wait for a sync in progress.
    pub(crate) fn probe(&self) -> Result<(), StoreError> {
        probe(&self.0.db)
    }
}

fn open(path: &Path, cache_bytes: u64) -> Result<(Database, Keyspace, Keyspace), StoreError> {
    let builder = Database::builder(path).cache_size(cache_bytes).worker_threads(WORKERS);
    let db = builder.max_journaling_size(MAX_JOURNALS).open()?;
    // Only read once the word or the index has told that the row exists, so filters on the last level would be memory
    // for nothing.
    let orders = db.keyspace("orders", || KeyspaceCreateOptions::default().expect_point_read_hits(true))?;
    let by_user = db.keyspace("by_user", KeyspaceCreateOptions::default)?;
    Rows::open(&db)?;
    Ok((db, orders, by_user))
}

/// The last bytes of a key in `by_user`. An id of an order is positive, and so greater ones come first.
fn inverted(id: i64) -> [u8; 8] {
    (!id).to_be_bytes()
}

fn user_key(user: i64, inverted: [u8; 8]) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&user.to_be_bytes());
    key[8..].copy_from_slice(&inverted);
    key
}

/// What a creation adds to the word.
#[derive(Debug, Clone)]
pub(crate) struct NewOrder {
    user: i64,
    row: Slice,
}

impl NewOrder {
    /// The row of `order`, which has no id, status and version yet.
    pub(crate) fn new(order: &Order) -> Self {
        debug_assert!(
            order.id == 0 && order.status == 0 && order.version == 0,
            "these are not part of the row"
        );
        Self { user: order.user_id, row: order.encode_to_vec().into() }
    }
}

/// Makes a batch durable. Not always the same, so that tests can have a disk that fails.
pub(crate) type Sync = Box<dyn FnMut(OwnedWriteBatch) -> Result<(), StoreError> + Send>;

/// The write half, owned by the committer's thread.
pub(crate) struct Writer {
    tables: Tables,
    cache: OrderCache,
    publisher: Publisher,
    sync: Sync,
}

impl Writer {
    pub(crate) fn new(tables: Tables, cache: OrderCache, publisher: Publisher) -> Self {
        let sync = |batch: OwnedWriteBatch| Ok(batch.commit()?);
        Self { tables, cache, publisher, sync: Box::new(sync) }
    }

    /// The same with another disk.
    #[cfg(test)]
    pub(crate) fn with_sync(self, sync: Sync) -> Self {
        Self { sync, ..self }
    }
}

impl Store for Writer {
    type Body = NewOrder;
    type Reader = Rows;

    fn reader(&self) -> Rows {
        self.tables.0.rows.clone()
    }

    fn apply(&mut self, batch: &[Commit<NewOrder>]) -> Result<(), StoreError> {
        let Inner { orders, by_user, rows, db, .. } = &*self.tables.0;
        let mut writes = OwnedWriteBatch::with_capacity(db.clone(), 3 * batch.len());
        for commit in batch {
            // In this order they become visible, one by one: the body before the word, the word before the index.
            if let Some(new) = &commit.body {
                writes.insert(orders, commit.key.to_be_bytes(), new.row.clone());
            }
            rows.put(&mut writes, commit);
            if let Some(new) = &commit.body {
                writes.insert(by_user, user_key(new.user, inverted(commit.key.cast_signed())), []);
            }
        }
        (self.sync)(writes.durability(Some(PersistMode::SyncData)))
    }

    fn committed(&mut self, batch: &[Commit<NewOrder>]) {
        // A creation too: somebody may have asked for the id too early, and the cache remembers that there was nothing.
        for commit in batch {
            self.cache.fence(&commit.key.cast_signed(), commit.after.version());
        }
        let changes =
            batch.iter().map(|commit| Change { order: commit.key.cast_signed(), word: commit.after });
        if self.publisher.publish(changes).is_err() {
            tracing::debug!("orders changed after the bus was closed");
        }
    }
}
