//! Rows for `fjall`: words and events, written into a batch that the owner opened and commits.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `words` | entity, 8 bytes big-endian | the word's bits, 8 bytes big-endian |
//! | `events` | entity, 8 bytes big-endian; event id, 1 to 64 bytes | version, 8 bytes big-endian; event code, 1 byte |
//!
//! **What the owner must do.** Commit each batch with `PersistMode::SyncData`; without it nothing is durable. Call [`probe`] now
//! and then from a thread that may block, and [`Fsm::fail`](crate::Fsm::fail) when it errs: fjall's own threads can fail on a full disk
//! while nobody writes, or while `commit` waits in a loop, for as long as it takes, for a flush that will never come. Such a
//! failure poisons the database; a commit that starts after it errs, one that is inside that loop never returns.

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Slice};

use crate::event::{EventId, EventRow};
use crate::store::{Commit, Load, StoreError};
use crate::word::Word;

/// The keyspaces `words` and `events` of one database; the read half of a store on it. Cheap to clone.
#[derive(Clone)]
pub struct Rows {
    words: Keyspace,
    events: Keyspace,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows")
    }
}

impl Rows {
    /// Opens the two keyspaces, creating them in a new database.
    pub fn open(database: &Database) -> ::fjall::Result<Self> {
        Ok(Self {
            words: database.keyspace("words", KeyspaceCreateOptions::default)?,
            events: database.keyspace("events", KeyspaceCreateOptions::default)?,
        })
    }

    /// Puts the word and the event row of a change into `batch`.
    pub fn put<B>(&self, batch: &mut OwnedWriteBatch, commit: &Commit<B>) {
        batch.insert(&self.words, commit.key.to_be_bytes(), commit.after.bits().to_be_bytes());
        if let Some((id, row)) = commit.event_row() {
            batch.insert(&self.events, event_key(commit.key, id), event_value(row));
        }
    }
}

impl Load for Rows {
    fn word(&self, key: u64) -> Result<Option<Word>, StoreError> {
        let Some(row) = self.words.get(key.to_be_bytes())? else {
            return Ok(None);
        };
        let bits = <[u8; 8]>::try_from(&*row).ok().map(u64::from_be_bytes);
        let word = bits.and_then(Word::from_bits).ok_or_else(|| format!("the word of {key} is damaged"))?;
        Ok(Some(word))
    }

    fn event(&self, key: u64, id: &EventId) -> Result<Option<EventRow>, StoreError> {
        let Some(row) = self.events.get(event_key(key, id))? else {
            return Ok(None);
        };
        let Ok([version @ .., event]) = <[u8; 9]>::try_from(&*row) else {
            return Err(format!("the row of {id:?} of {key} is damaged").into());
        };
        Ok(Some(EventRow { event, version: u64::from_be_bytes(version) }))
    }
}

/// Whether the database still takes writes. It may wait for a sync in progress, so not on a request task.
pub fn probe(database: &Database) -> Result<(), StoreError> {
    Ok(database.persist(PersistMode::Buffer)?)
}

fn event_key(key: u64, id: &EventId) -> Slice {
    let mut bytes = [0; 8 + EventId::MAX_LEN];
    let len = 8 + id.as_bytes().len();
    bytes[..8].copy_from_slice(&key.to_be_bytes());
    bytes[8..len].copy_from_slice(id.as_bytes());
    Slice::from(&bytes[..len])
}

fn event_value(row: EventRow) -> [u8; 9] {
    let mut bytes = [0; 9];
    bytes[..8].copy_from_slice(&row.version.to_be_bytes());
    bytes[8] = row.event;
    bytes
}
