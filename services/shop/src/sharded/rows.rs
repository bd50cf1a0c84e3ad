//! The rows of one shard, as the fsm's group committer reads and writes them: what it has decided, in SQL.
//!
//! A few statements for each of the 16 tables, sent together, so that a batch takes six round trips however many changes it has. No
//! value in them is text: ids and versions are numbers, the rest is written in hexadecimal digits.

mod sql;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_fsm::{Database, EventId, Fault, Found, Known, Locking, Row, Transaction, Word, Writes};
use aqueduct_shards::{Error, Shards, Token, Write};
use bytes::Bytes;
use tokio::sync::Notify;

use crate::orders::OrderCache;

/// How long a row that somebody else has locked is waited for. Other committers have it for a few milliseconds.
const LOCK: Duration = Duration::from_millis(250);
/// How long everything else may take; a session of the shards has a limit of its own.
const WITHIN: Duration = Duration::from_secs(5);

/// A new order's row.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) user: i64,
    pub(crate) body: Vec<u8>,
}

/// One shard.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) shards: Shards,
    pub(crate) shard: u8,
    pub(crate) cache: OrderCache,
    /// Told when there is something for the relay.
    pub(crate) outbox: Arc<Notify>,
}

impl Database for Rows {
    type Body = NewRow;
    /// The order's body.
    type Extra = Bytes;
    type Receipt = Token;
    type Error = Error;
    type Transaction = Open;

    async fn begin(&self) -> Result<Open, Fault<Error>> {
        let write = self.shards.write_read_committed(self.shard, None).await.map_err(Fault::Away)?;
        Ok(Open { write, outbox: Arc::clone(&self.outbox) })
    }

    /// Before the callers hear of it, this node's cache has forgotten what was before. The others hear of it from the binlog.
    fn committed(&self, key: u64, after: Word) {
        self.cache.fence(&key.cast_signed(), after.version());
    }

    /// What is cached of it may be old by now, or not; nobody knows the version.
    fn in_doubt(&self, key: u64) {
        self.cache.fence(&key.cast_signed(), 0);
    }
}

/// A row of an event: order, version, state, event and its id.
type Event = (u64, u64, u8, u8, Vec<u8>);

/// A transaction on the shard's primary.
#[derive(Debug)]
pub(crate) struct Open {
    write: Write,
    outbox: Arc<Notify>,
}

/// What an error of reading and locking means for the batch.
fn unread(error: Error) -> Fault<Error> {
    match error {
        // The limit of the lock's statement; that of the session is far behind it.
        Error::Conflict { .. } | Error::Deadline { .. } => Fault::Conflict(error),
        error => unwritten(error),
    }
}

/// What an error of writing means for the batch.
fn unwritten(error: Error) -> Fault<Error> {
    match error {
        Error::Conflict { .. } => Fault::Conflict(error),
        Error::Duplicate { .. } => Fault::Moved(error),
        Error::Unknown { .. } => Fault::Unknown(error),
        Error::Statement { .. } | Error::Row { .. } | Error::Schema { .. } => Fault::Refused(error),
        error => Fault::Away(error),
    }
}

impl Open {
    /// Which of these orders there are, whoever has them locked.
    async fn present(&mut self, keys: &[u64]) -> Result<Vec<u64>, Fault<Error>> {
        let rows = self.write.run_all::<u64>(&sql::present(keys), WITHIN).await.map_err(unread)?;
        Ok(rows.into_iter().flat_map(|(ids, _)| ids).collect())
    }
}

impl Transaction for Open {
    type Body = NewRow;
    type Extra = Bytes;
    type Receipt = Token;
    type Error = Error;

    async fn lock(&mut self, keys: &[u64], locking: Locking) -> Result<Found<Bytes>, Fault<Error>> {
        let statements = sql::lock(keys, locking);
        let rows = self.write.run_all::<(u64, u8, u64, Vec<u8>)>(&statements, LOCK).await.map_err(unread)?;
        let rows = rows.into_iter().flat_map(|(rows, _)| rows);
        let rows: HashMap<u64, Row<Bytes>> =
            rows.map(|(id, state, version, body)| (id, Row { state, version, extra: body.into() })).collect();
        let mut locked = Vec::new();
        let missing: Vec<u64> = keys.iter().filter(|key| !rows.contains_key(key)).copied().collect();
        if locking == Locking::Skip && !missing.is_empty() {
            locked = self.present(&missing).await?;
        }
        let mut events = HashMap::new();
        let here: Vec<u64> = keys.iter().filter(|key| rows.contains_key(key)).copied().collect();
        if !here.is_empty() {
            let statements = sql::events(&here);
            let known = self.write.run_all::<Event>(&statements, WITHIN).await.map_err(unread)?;
            for (id, version, state, event, event_id) in known.into_iter().flat_map(|(rows, _)| rows) {
                if let Some(event_id) = EventId::new(event_id) {
                    events.insert((id, event_id), Known { event, state, version });
                }
            }
        }
        Ok(Found { rows, locked, events })
    }

    async fn write(&mut self, writes: &Writes<'_, NewRow>) -> Result<(), Fault<Error>> {
        for message in sql::write(writes) {
            let (statements, wanted): (Vec<_>, Vec<_>) = message.into_iter().unzip();
            let answers = self.write.run_all::<u64>(&statements, WITHIN).await.map_err(unwritten)?;
            let changed = answers.iter().map(|(_, changed)| changed);
            if wanted.iter().ne(changed) {
                // They are locked, so nobody can have been faster; if one was, nothing is overwritten.
                let (server, message) = (self.write.server().to_owned(), "a version has moved".to_owned());
                return Err(Fault::Moved(Error::Conflict { server, message }));
            }
        }
        Ok(())
    }

    async fn rollback(self) {
        // A connection that breaks now undoes it as well.
        drop(self.write.rollback().await);
    }

    async fn commit(self) -> Result<Token, Fault<Error>> {
        let token = self.write.commit().await.map_err(unwritten)?;
        self.outbox.notify_one();
        Ok(token)
    }
}
