//! What happened in a run, in order: all that the checker knows.
//!
//! An event stands where it was seen. The simulation sees each at its instant; who watches real servers sees that something happened
//! between two instants. So that the checker is right about those too, what a master of the second level did has the instant
//! from which on it may have done it (`asked`; the event itself says by when), and a change of a row two events: [`What::Committed`] is noted
//! before the commit is sent, [`What::Visible`] when it is acknowledged.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A row's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// One of the tables.
    pub table: Table,
    /// The primary key.
    pub id: u64,
}

/// The tables of the simulated database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "their names are all there is")]
pub enum Table {
    Orders,
    Items,
    Heartbeat,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.table, self.id)
    }
}

/// A row as somebody saw it: its version, or `None` where there is none.
pub type Row = Option<u64>;

/// How a read ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Current.
    Unmarked(Row),
    /// Stale, of at most this age.
    Marked(Row, Duration),
    /// Refused, and why.
    Refused(String),
}

impl Answer {
    /// The row that was answered.
    pub fn row(&self) -> Option<Row> {
        match self {
            Self::Unmarked(row) | Self::Marked(row, _) => Some(*row),
            Self::Refused(_) => None,
        }
    }
}

/// What the second level holds of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in the cache")]
pub enum Kind {
    Live,
    Negative,
    Floor,
}

/// Which master of the second level, by a number that each promotion raises.
pub type Master = u32;

/// One change of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// A row, with the version it has now, or had when it was deleted.
    Row {
        /// Which.
        key: Key,
        /// See above.
        version: u64,
        /// Whether it was deleted.
        tombstone: bool,
    },
    /// A whole table.
    Table(Table),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A transaction stands in the binlog, under this number. For a distributed one the number under which it was
    /// prepared as well.
    Committed {
        /// In which database.
        source: usize,
        /// Its number.
        gtid: u64,
        /// That of its PREPARE.
        prepared: Option<u64>,
        /// What it changed.
        writes: Vec<Write>,
    },
    /// A row can be read at the primary.
    Visible(Key, Row),
    /// The bus acknowledged.
    Published(Vec<Write>),
    /// The second level acknowledged.
    Floored(Vec<Write>),
    /// The checkpoint of a database stands behind this transaction.
    Saved {
        /// Which database.
        source: usize,
        /// The number of the transaction.
        to: u64,
    },
    /// The epoch of a table in the second level was told to all readers: whatever it held of the table counts no more.
    Raised(Table),
    /// It is safely noted that a table's epoch must be raised.
    Owed(Table),
    /// It was raised.
    Paid(Table),
    /// A master gave a lease, until then unless it is used.
    Granted {
        /// Of which key.
        key: Key,
        /// By whom.
        master: Master,
        /// To whom, by the order in which they were first seen.
        holder: u64,
        /// Not before.
        asked: Duration,
        /// When it ends by itself, if it was given at once.
        until: Duration,
    },
    /// A lease may have ended before its time: it was used or given back, or the change of a row ended it, whoever held it.
    Released {
        /// Of which key.
        key: Key,
        /// By whom it was given.
        master: Master,
        /// To whom; `None`: everybody's.
        holder: Option<u64>,
    },
    /// A master took a fill or an invalidation.
    Stored {
        /// Of which key.
        key: Key,
        /// By whom.
        master: Master,
        /// For a fill, whose.
        fill: Option<u64>,
        /// The version that it has now.
        version: u64,
        /// Not before.
        asked: Duration,
        /// When it will be forgotten, at the earliest.
        until: Duration,
    },
    /// A master served an entry.
    Served {
        /// Of which key.
        key: Key,
        /// By whom.
        master: Master,
        /// Live or negative.
        kind: Kind,
        /// Its version.
        version: u64,
        /// Not before.
        asked: Duration,
    },
    /// An instance began to load a key.
    Loading {
        /// Who.
        instance: usize,
        /// What.
        key: Key,
    },
    /// A read ended.
    Read {
        /// At which instance.
        instance: usize,
        /// Of what.
        key: Key,
        /// When it began.
        began: Duration,
        /// When the caller's own write, of which it shows a token, was acknowledged.
        token: Option<Duration>,
        /// What came.
        answer: Answer,
    },
    /// A fault.
    Fault(String),
    /// From here on nobody writes, nothing fails, and all that was late has arrived.
    Quiet,
    /// At the end: what the second level's master would serve of a key.
    Held(Key, Kind, u64),
    /// At the end: whether an instance's first and second level are current.
    Current(usize, bool, bool),
    /// For those who read the history.
    Note(String),
}

/// An event.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the start.
    pub at: Duration,
    /// What.
    pub what: What,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} ms  {:?}", self.at.as_millis(), self.what)
    }
}

/// The events of a run.
#[derive(Debug)]
pub struct History {
    began: Instant,
    /// Whether nothing unusual happens any more.
    calm: AtomicBool,
    events: Mutex<Vec<Event>>,
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// One that begins now.
    pub fn new() -> Self {
        Self { began: Instant::now(), calm: AtomicBool::new(false), events: Mutex::default() }
    }

    /// Since it began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Relaxed)
    }

    pub(crate) fn calm(&self) {
        self.calm.store(true, Relaxed);
    }

    /// Notes what happens now.
    pub fn add(&self, what: What) {
        // Within the lock, so that the events are in the order of their times.
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(Event { at: self.now(), what });
    }

    /// For those who read it.
    pub fn note(&self, text: impl Into<String>) {
        self.add(What::Note(text.into()));
    }

    /// What goes wrong now.
    pub fn fault(&self, text: impl Into<String>) {
        self.add(What::Fault(text.into()));
    }

    /// What happened since the last time that this was asked.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
