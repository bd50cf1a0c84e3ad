//! The keyspaces, and what is in them.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `saga_headers` | id | header |
//! | `saga_log` | id, 0, number of the transition as 8 bytes big-endian | row |
//! | `saga_open` | id of a saga that has not ended | nothing |
//! | `saga_ended` | when it ended, 8 bytes big-endian; id | nothing |

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};

use super::header;
use crate::error::StoreError;
use crate::id::SagaId;
use crate::show;
use crate::store::{Header, Stored};
use crate::view::{Filter, Millis, Summary};

#[derive(Clone)]
pub(super) struct Rows {
    headers: Keyspace,
    log: Keyspace,
    open: Keyspace,
    ended: Keyspace,
}

impl Rows {
    pub(super) fn open(database: &Database) -> ::fjall::Result<Self> {
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Self {
            headers: keyspace("saga_headers")?,
            log: keyspace("saga_log")?,
            open: keyspace("saga_open")?,
            ended: keyspace("saga_ended")?,
        })
    }

    /// A header. One that cannot be read is made again from the log.
    pub(super) fn header(&self, id: &SagaId) -> Result<Option<Header>, StoreError> {
        Ok(self.read(id)?.map(|(header, _)| header))
    }

    /// A header, and whether it could be read.
    pub(super) fn read(&self, id: &SagaId) -> Result<Option<(Header, bool)>, StoreError> {
        let Some(bytes) = self.headers.get(id.as_str()).map_err(unreadable)? else { return Ok(None) };
        match header::decode(id.clone(), &bytes) {
            Some(header) => Ok(Some((header, true))),
            None => Ok(Some((self.rebuilt(id)?, false))),
        }
    }

    /// The header that belongs to a log. If the log cannot be read either, it is that of a parked saga.
    fn rebuilt(&self, id: &SagaId) -> Result<Header, StoreError> {
        let mut log = Vec::new();
        for row in self.log.prefix(log_prefix(id)) {
            let (key, value) = row.into_inner().map_err(unreadable)?;
            let seq = key.last_chunk::<8>().map_or(0, |seq| u64::from_be_bytes(*seq));
            log.push((seq, value.to_vec()));
        }
        tracing::error!(saga = %id, "its header is damaged: made again from its log");
        Ok(show::header(id, &log))
    }

    /// The log that belongs to a header: never more than that, though more may have been written meanwhile.
    pub(super) fn stored(&self, header: Header) -> Result<Stored, StoreError> {
        let id = &header.summary.id;
        let mut log = Vec::new();
        for row in self.log.range(log_key(id, 0)..=log_key(id, header.seq)) {
            let (key, value) = row.into_inner().map_err(unreadable)?;
            let seq = key.last_chunk::<8>().map_or(0, |seq| u64::from_be_bytes(*seq));
            log.push((seq, value.to_vec()));
        }
        Ok(Stored { header, log })
    }

    /// The ids of all that have not ended.
    pub(super) fn open_ids(&self) -> Result<Vec<SagaId>, StoreError> {
        let ids = self.open.iter().map(|row| Ok(id_of(&row.key().map_err(unreadable)?)));
        Ok(ids.collect::<Result<Vec<_>, StoreError>>()?.into_iter().flatten().collect())
    }

    /// Headers of any status.
    pub(super) fn list(&self, filter: &Filter) -> Result<Vec<Summary>, StoreError> {
        let from = filter.after.as_ref().map_or("", SagaId::as_str);
        let mut found = Vec::new();
        for row in self.headers.range(from..) {
            if found.len() >= filter.limit {
                break;
            }
            let (key, value) = row.into_inner().map_err(unreadable)?;
            let Some(id) = id_of(&key).filter(|id| Some(id) != filter.after.as_ref()) else { continue };
            let header = match header::decode(id.clone(), &value) {
                Some(header) => header,
                None => self.rebuilt(&id)?,
            };
            if filter.wanted().is_none_or(|status| status == header.summary.status) {
                found.push(header.summary);
            }
        }
        Ok(found)
    }

    pub(super) fn put(&self, batch: &mut OwnedWriteBatch, header: &Header, row: &[u8]) {
        let Header { summary, seq, .. } = header;
        let id = &summary.id;
        batch.insert(&self.headers, id.as_str(), header::encode(header));
        batch.insert(&self.log, log_key(id, *seq), row);
        if *seq == 1 {
            batch.insert(&self.open, id.as_str(), "");
        }
        if let Some(at) = summary.finished_at {
            batch.remove(&self.open, id.as_str());
            batch.insert(&self.ended, ended_key(at, id), "");
        }
    }

    /// Removes rows of a log.
    pub(super) fn drop_rows(&self, batch: &mut OwnedWriteBatch, id: &SagaId, drops: &[u64]) {
        for seq in drops {
            batch.remove(&self.log, log_key(id, *seq));
        }
    }

    pub(super) fn put_header(&self, batch: &mut OwnedWriteBatch, header: &Header) {
        batch.insert(&self.headers, header.summary.id.as_str(), header::encode(header));
    }

    /// Removes what ended before `before`, and says how many.
    pub(super) fn forget(
        &self,
        batch: &mut OwnedWriteBatch,
        before: Millis,
        most: usize,
    ) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        for row in self.ended.range([0; 8]..before.to_be_bytes()).take(most) {
            let key = row.key().map_err(unreadable)?;
            if let Some(id) = key.get(8..).and_then(id_of) {
                for row in self.log.prefix(log_prefix(&id)) {
                    batch.remove(&self.log, row.key().map_err(unreadable)?);
                }
                batch.remove(&self.headers, id.as_str());
            }
            batch.remove(&self.ended, key);
            forgotten += 1;
        }
        Ok(forgotten)
    }
}

/// Visible ASCII, so a 0 is the end of it, and no id is the beginning of another one's rows.
fn log_prefix(id: &SagaId) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.as_str().len() + 9);
    key.extend_from_slice(id.as_str().as_bytes());
    key.push(0);
    key
}

fn log_key(id: &SagaId, seq: u64) -> Vec<u8> {
    let mut key = log_prefix(id);
    key.extend(seq.to_be_bytes());
    key
}

fn ended_key(at: Millis, id: &SagaId) -> Vec<u8> {
    [&at.to_be_bytes(), id.as_str().as_bytes()].concat()
}

fn id_of(key: &[u8]) -> Option<SagaId> {
    SagaId::new(std::str::from_utf8(key).ok()?).ok()
}

/// A read that fails is the disk's fault, or the database is poisoned.
#[expect(clippy::needless_pass_by_value, reason = "that is how errors are mapped")]
pub(super) fn unreadable(error: ::fjall::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}
