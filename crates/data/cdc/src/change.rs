//! What the binlog is turned into.

use std::sync::Arc;

use crate::gtid::{Gtid, Position};

/// A table by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The database.
    pub database: String,
    /// The table in it.
    pub table: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// One column of a primary key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyPart {
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer of any width.
    Uint(u64),
    /// The bytes of a VARCHAR or VARBINARY, in the column's character set.
    Bytes(Vec<u8>),
}

/// The columns of a primary key, in the key's own order.
pub type Key = Vec<KeyPart>;

/// How far a version can be trusted to order the states of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The table's version column. Of a deleted row it is the last it had: a tombstone stands above it.
    Exact(u64),
    /// The table has no version column: changes tell *that* a row changed, and only a lease and a locking read bound how stale
    /// a reader may be.
    Bounded,
}

/// A row that was written or deleted. A changed primary key makes two: a tombstone of the old, a change of the new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose row.
    pub table: Arc<TableName>,
    /// Which row.
    pub key: Key,
    /// Its version after the change, or the last before it was deleted.
    pub version: Version,
    /// Whether there is no such row any more.
    pub tombstone: bool,
}

/// What an epoch bump covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every watched table.
    All,
    /// One table.
    Table(Arc<TableName>),
}

/// Why single keys cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// TRUNCATE or a change of the table itself, or of its database.
    Ddl,
    /// A statement in statement format, whose triggers, views and cascades may reach tables that it does not name.
    Statement,
    /// More changes in one transaction than [`Options::max_keys`](crate::Options::max_keys).
    BigTransaction,
    /// A row event of a kind that is not read, compressed ones among them. The number is the event's type.
    UnknownRows(u8),
    /// An event of an unknown kind, which may be anything.
    UnknownEvent(u8),
    /// Rows that contradict the table's description, or lack columns: `binlog_row_image` was not FULL in that session.
    UnreadableRows,
    /// The table lost its primary key or its version column, or `binlog_row_metadata` is not FULL any more.
    NoKeyOrVersion,
    /// The server says that it lost events.
    Incident,
    /// A distributed transaction was committed whose rows were prepared before the reader began, or were too many to hold.
    UnknownXa,
    /// There was no checkpoint: a first start, or one whose file was removed.
    NoCheckpoint,
    /// The position is not in the server's binlog: it was purged, or the server lost or never had it. With its words.
    PositionLost(String),
}

impl Reason {
    /// A word for metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Ddl => "ddl",
            Self::Statement => "statement",
            Self::BigTransaction => "big_transaction",
            Self::UnknownRows(_) => "unknown_rows",
            Self::UnknownEvent(_) => "unknown_event",
            Self::UnreadableRows => "unreadable_rows",
            Self::NoKeyOrVersion => "no_key_or_version",
            Self::Incident => "incident",
            Self::UnknownXa => "unknown_xa",
            Self::NoCheckpoint => "no_checkpoint",
            Self::PositionLost(_) => "position_lost",
        }
    }
}

/// "Whatever you know of these tables may be stale": what takes the place of silence.
///
/// It leaves no version behind that would refuse an older read. So, unlike a change, it is not told before its transaction is
/// visible to every SELECT: who acts on it need only refuse what was read before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EpochBump {
    /// Which tables.
    pub scope: Scope,
    /// Why.
    pub reason: Reason,
}

/// One committed transaction, as far as it concerns watched tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its place in the history; `None` for what stands in no transaction, such as a lost position.
    pub gtid: Option<Gtid>,
    /// What is to be invalidated as a whole.
    pub bumps: Vec<EpochBump>,
    /// The rows, in the order in which they were changed.
    pub changes: Vec<Change>,
    /// From where a reader may begin once this is acknowledged, without missing anything.
    pub resume: Position,
}

/// Takes transactions, in order, one at a time.
pub trait Sink: Send {
    /// Why a transaction could not be taken. It ends the reader.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Takes a transaction. With `Ok` it is the sink's: the reader will not tell it again unless the process ends, or the server's
    /// history makes it.
    fn deliver(&mut self, transaction: &Transaction) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// How many of the transactions that it took are safe, counted from the first. The checkpoint passes no other. A sink that
    /// answers `Ok` only when a transaction is safe need not say.
    fn settled(&self) -> u64 {
        u64::MAX
    }
}
