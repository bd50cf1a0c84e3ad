//! From the bytes of one event to what it says, without I/O.
//!
//! MariaDB's own events (160 to 171) are unknown to the driver, and of rows only the keys and the version are wanted: so all of
//! it is read here, by hand, and cannot panic. What cannot be read is a [`Fact::Lost`].

mod rows;
mod table;

use std::collections::HashMap;
use std::sync::Arc;

use crate::bytes::{Bytes, Malformed};
use crate::change::{Change, EpochBump, Reason, Scope};
use crate::gtid::Gtid;
use crate::options::Watched;
use crate::statement::{self, Meaning};
use table::TableMap;

/// The name of a distributed transaction: its format, and the bytes of both parts with the length of the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Xid {
    format: u32,
    first: u8,
    data: Vec<u8>,
}

impl Xid {
    /// Of a format, and both parts.
    pub fn new(format: u32, transaction: &[u8], branch: &[u8]) -> Self {
        // The protocol has a byte for it, and a part 64 bytes at most.
        let first = u8::try_from(transaction.len()).unwrap_or(u8::MAX);
        Self { format, first, data: [transaction, branch].concat() }
    }
}

/// What the first event of a group says of distributed transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Xa {
    /// An ordinary group.
    None,
    /// The group prepares this one: rows, but no commit yet.
    Prepare(Xid),
    /// The group commits it or rolls it back: no rows.
    Complete(Xid),
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A group of events begins.
    Begin {
        /// Its place.
        gtid: Gtid,
        /// Whether it is a single statement, without an event that ends it.
        standalone: bool,
        /// Its part in a distributed transaction.
        xa: Xa,
    },
    /// A row of a watched table changed.
    Row(Change),
    /// Single keys cannot be told.
    Lost(EpochBump),
    /// A statement ended: it is the last event of a standalone group.
    StatementEnd,
    /// The group ends, and its changes are in force (or prepared).
    Commit,
    /// The group ends, and nothing of it is in force.
    Rollback,
}

/// The state that decoding needs: the watched tables, and the descriptions of tables in the group at hand.
#[derive(Debug)]
pub struct Decoder {
    watched: Vec<Watched>,
    /// `None` for a table that is not watched. A row event whose table is not here is an error of the stream.
    tables: HashMap<u64, Option<TableMap>>,
}

/// The first event of a group has no readable position: the stream cannot be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the binlog has an event of type {kind} that cannot be read")]
pub struct Unreadable {
    /// The event's type.
    pub kind: u8,
}

/// The event may be skipped by those who do not know it (`LOG_EVENT_IGNORABLE_F`).
const IGNORABLE: u16 = 0x80;

const STANDALONE: u8 = 1;
const GROUP_COMMIT_ID: u8 = 2;
const PREPARED_XA: u8 = 64;
const COMPLETED_XA: u8 = 128;

impl Decoder {
    /// For these tables.
    pub fn new(watched: Vec<Watched>) -> Self {
        Self { watched, tables: HashMap::new() }
    }

    /// Appends to `facts` what an event says: its type, the flags and the server of its header, and what follows the header without
    /// the checksum.
    pub fn decode(
        &mut self,
        (kind, flags, server): (u8, u16, u32),
        body: &[u8],
        facts: &mut Vec<Fact>,
    ) -> Result<(), Unreadable> {
        match kind {
            2 => match query(body) {
                Ok((database, sql)) => self.statement(database, sql, facts),
                Err(Malformed) => return Err(Unreadable { kind }),
            },
            // LOAD DATA in statement format, and a statement that is compressed: at least 256 bytes, so no COMMIT.
            18 | 165 => facts.extend([lost(Scope::All, Reason::Statement), Fact::StatementEnd]),
            16 | 38 => facts.push(Fact::Commit),
            19 => match table::id(body).and_then(|id| Ok((id, TableMap::parse(body, &self.watched)?))) {
                Ok((id, table)) => drop(self.tables.insert(id, table)),
                Err(Malformed) => facts.push(lost(Scope::All, Reason::UnreadableRows)),
            },
            23..=25 => self.rows(kind, body, facts),
            // Rows of other versions (20 to 22, 30 to 32, 39) and compressed ones (166 to 171).
            20..=22 | 30..=32 | 39 | 166..=171 => self.unread_rows(kind, body, facts),
            26 => facts.push(lost(Scope::All, Reason::Incident)),
            162 => {
                self.tables.clear();
                facts.push(begin(server, body).map_err(|Malformed| Unreadable { kind })?);
            }
            // Stop, rotate (whose name may carry a checksum: positions are GTIDs, so it is not read), variables, the parts of
            // a loaded file, the format, heartbeats, remarks, checkpoints, lists of positions, encryption.
            3..=5 | 9 | 11 | 13..=15 | 17 | 27..=29 | 160 | 161 | 163 | 164 => {}
            _ if flags & IGNORABLE != 0 => {}
            _ => facts.push(lost(Scope::All, Reason::UnknownEvent(kind))),
        }
        Ok(())
    }

    fn statement(&self, database: &[u8], sql: &[u8], facts: &mut Vec<Fact>) {
        match statement::meaning(sql) {
            Meaning::Nothing => {}
            Meaning::Commit => facts.push(Fact::Commit),
            Meaning::Rollback => facts.push(Fact::Rollback),
            Meaning::Ddl => {
                let named = self.watched.iter().filter(|table| statement::names(sql, database, &table.name));
                facts.extend(named.map(|table| lost(Scope::Table(Arc::clone(&table.name)), Reason::Ddl)));
                facts.push(Fact::StatementEnd);
            }
            Meaning::Unknown => facts.extend([lost(Scope::All, Reason::Statement), Fact::StatementEnd]),
        }
    }

    fn rows(&self, kind: u8, body: &[u8], facts: &mut Vec<Fact>) {
        let table = match table::id(body).map(|id| self.tables.get(&id)) {
            Ok(Some(Some(table))) => table,
            Ok(Some(None)) => return,
            // The dummy event that only ends a statement.
            Ok(None) if table::id(body) == Ok(0x00ff_ffff) => return,
            Ok(None) | Err(Malformed) => return facts.push(lost(Scope::All, Reason::UnreadableRows)),
        };
        let Some(layout) = table.layout() else {
            return facts.push(lost(Scope::Table(table.name()), Reason::NoKeyOrVersion));
        };
        let before = facts.len();
        if rows::parse(kind, body, table, layout, facts).is_err() {
            facts.truncate(before);
            facts.push(lost(Scope::Table(table.name()), Reason::UnreadableRows));
        }
    }

    /// All kinds begin with the id of the table.
    fn unread_rows(&self, kind: u8, body: &[u8], facts: &mut Vec<Fact>) {
        let scope = match table::id(body).map(|id| self.tables.get(&id)) {
            Ok(Some(Some(table))) => Scope::Table(table.name()),
            Ok(Some(None)) => return,
            Ok(None) | Err(Malformed) => Scope::All,
        };
        facts.push(lost(scope, Reason::UnknownRows(kind)));
    }
}

fn lost(scope: Scope, reason: Reason) -> Fact {
    Fact::Lost(EpochBump { scope, reason })
}

fn begin(server: u32, body: &[u8]) -> Result<Fact, Malformed> {
    let mut body = Bytes(body);
    let (sequence, domain, flags) = (body.uint(8)?, body.u32()?, body.u8()?);
    let mut xid = || {
        if flags & GROUP_COMMIT_ID != 0 {
            body.take(8)?;
        }
        let (format, first, second) = (body.u32()?, body.u8()?, body.u8()?);
        let data = body.take(usize::from(first) + usize::from(second))?.to_vec();
        Ok(Xid { format, first, data })
    };
    let xa = match flags & (PREPARED_XA | COMPLETED_XA) {
        0 => Xa::None,
        PREPARED_XA => Xa::Prepare(xid()?),
        COMPLETED_XA => Xa::Complete(xid()?),
        _ => return Err(Malformed),
    };
    let gtid = Gtid { domain, server, sequence };
    Ok(Fact::Begin { gtid, standalone: flags & STANDALONE != 0, xa })
}

/// The default database of a statement, and its text.
fn query(body: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut body = Bytes(body);
    body.take(8)?;
    let database = body.u8()?;
    body.take(2)?;
    let variables = body.uint(2)?;
    body.take(usize::try_from(variables).map_err(|_| Malformed)?)?;
    let database = body.take(database.into())?;
    body.take(1)?;
    Ok((database, body.0))
}
