//! From facts to committed transactions: a state machine without I/O.

use std::collections::{HashSet, VecDeque};
use std::mem;

use crate::change::{Change, EpochBump, Reason, Scope, Transaction};
use crate::decode::{Fact, Xa, Xid};
use crate::gtid::{Gtid, Position};

/// What a group of events did so far.
#[derive(Debug, Default)]
struct Work {
    bumps: Vec<EpochBump>,
    seen: HashSet<EpochBump>,
    changes: Vec<Change>,
    /// Once over the limit, tables instead of keys.
    big: bool,
}

impl Work {
    fn bump(&mut self, bump: EpochBump) {
        if self.seen.insert(bump.clone()) {
            self.bumps.push(bump);
        }
    }

    fn change(&mut self, change: Change, limit: usize) {
        if self.big {
            return self.bump(big(&change));
        }
        self.changes.push(change);
        if self.changes.len() > limit {
            self.big = true;
            for change in mem::take(&mut self.changes) {
                self.bump(big(&change));
            }
        }
    }
}

fn big(change: &Change) -> EpochBump {
    EpochBump { scope: Scope::Table(change.table.clone()), reason: Reason::BigTransaction }
}

#[derive(Debug)]
struct Open {
    gtid: Gtid,
    standalone: bool,
    xa: Xa,
    work: Work,
}

/// A distributed transaction between PREPARE and its end.
#[derive(Debug)]
struct Prepared {
    xid: Xid,
    work: Work,
    /// Where one must begin to read it again.
    before: Position,
}

/// Collects facts until a transaction is committed.
#[derive(Debug)]
pub struct Assembler {
    max_keys: usize,
    max_prepared: usize,
    position: Position,
    open: Option<Open>,
    /// The oldest first.
    prepared: VecDeque<Prepared>,
}

impl Assembler {
    /// Begins at `position`; `max_keys` and `max_prepared` are those of [`Options`](crate::Options).
    pub fn new(position: Position, max_keys: usize, max_prepared: usize) -> Self {
        Self { max_keys, max_prepared, position, open: None, prepared: VecDeque::new() }
    }

    /// From where a reader may begin without missing anything that was not yet returned: never past the oldest prepared transaction,
    /// whose rows stand at its PREPARE and nowhere else.
    pub fn resume(&self) -> &Position {
        self.prepared.front().map_or(&self.position, |oldest| &oldest.before)
    }

    /// Takes the next fact; returns what it completes. A transaction may be empty, since the position moves on all the same.
    pub fn push(&mut self, fact: Fact) -> Option<Transaction> {
        match fact {
            Fact::Begin { gtid, standalone, xa } => {
                // A group without an end was cut by a crash of the server, which rolled it back; what it holds is told in doubt.
                let cut = self.open.replace(Open { gtid, standalone, xa, work: Work::default() });
                cut.and_then(|open| {
                    self.position.advance(open.gtid);
                    self.transaction(Some(open.gtid), open.work)
                })
            }
            Fact::Row(change) => {
                let limit = self.max_keys;
                match &mut self.open {
                    Some(open) => open.work.change(change, limit),
                    None => return self.lone(|work| work.change(change, limit)),
                }
                None
            }
            Fact::Lost(bump) => {
                match &mut self.open {
                    Some(open) => open.work.bump(bump),
                    None => return self.lone(|work| work.bump(bump)),
                }
                None
            }
            Fact::StatementEnd => {
                let ended = self.open.take_if(|open| open.standalone)?;
                self.end(ended, true)
            }
            Fact::Commit => {
                let ended = self.open.take()?;
                self.end(ended, true)
            }
            Fact::Rollback => {
                let ended = self.open.take()?;
                self.end(ended, false)
            }
        }
    }

    /// What stands outside of any group is told at once.
    fn lone(&self, fill: impl FnOnce(&mut Work)) -> Option<Transaction> {
        let mut work = Work::default();
        fill(&mut work);
        self.transaction(None, work)
    }

    fn end(&mut self, open: Open, commit: bool) -> Option<Transaction> {
        let before = self.position.clone();
        self.position.advance(open.gtid);
        match open.xa {
            Xa::Prepare(xid) if commit => {
                self.hold(Prepared { xid, work: open.work, before });
                self.transaction(Some(open.gtid), Work::default())
            }
            Xa::Complete(xid) => {
                let held = self.prepared.iter().position(|prepared| prepared.xid == xid);
                let held = held.and_then(|at| self.prepared.remove(at)).map(|prepared| prepared.work);
                let mut work = if commit { held.unwrap_or_else(unknown) } else { Work::default() };
                for bump in open.work.bumps {
                    work.bump(bump);
                }
                self.transaction(Some(open.gtid), work)
            }
            // A group that was rolled back is in the binlog because it also changed tables that cannot roll back: told all
            // the same.
            Xa::None | Xa::Prepare(_) => self.transaction(Some(open.gtid), open.work),
        }
    }

    fn hold(&mut self, prepared: Prepared) {
        self.prepared.retain(|held| held.xid != prepared.xid);
        self.prepared.push_back(prepared);
        if self.prepared.len() > self.max_prepared {
            self.prepared.pop_front();
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "every caller answers an option")]
    fn transaction(&self, gtid: Option<Gtid>, work: Work) -> Option<Transaction> {
        let Work { bumps, changes, .. } = work;
        Some(Transaction { gtid, bumps, changes, resume: self.resume().clone() })
    }
}

fn unknown() -> Work {
    let mut work = Work::default();
    work.bump(EpochBump { scope: Scope::All, reason: Reason::UnknownXa });
    work
}
