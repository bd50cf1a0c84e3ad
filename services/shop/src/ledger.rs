//! A participant of transfers: accounts with a store of their own, which only it changes.
//!
//! There are two, and an account lives with one of them for ever ([`Side::of`]). Each is in the shop's process ([`Ledger`]), or in one of
//! its own that is reached over gRPC (`remote`, `server`). On real servers there are four, the shards (`sharded`), unless one of the two has a
//! process of its own. A step of a transfer and its barrier row are one write.

pub(crate) mod remote;
mod request;
pub(crate) mod row;
pub(crate) mod server;
pub(crate) mod sharded;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;

use aqueduct_ids::Route;
use aqueduct_saga::Op;
use aqueduct_saga::barrier::Key;
use bytes::Bytes;

use row::Row;
pub(crate) use store::Ledger;

/// One of the two participants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// `a`.
    A,
    /// `b`.
    B,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// Where an account lives: the highest bit of the shard that [`Route::of_hash`] gives its id. A hash and not the id's own route, since
    /// clients may choose ids, and those have none. It never changes.
    pub fn of(account: i64) -> Self {
        if Route::of_hash(account.cast_unsigned()).shard() < 2 { Self::A } else { Self::B }
    }

    /// `a` or `b`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a transfer asks of a participant. The names are those of the saga's steps, and so they are in its log and in the barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Takes the amount from the payer's balance, and holds it.
    Debit,
    /// Adds it to the receiver's balance.
    Credit,
    /// Lets go what the payer's account holds.
    Settle,
}

impl Step {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Credit => "credit",
            Self::Settle => "settle",
        }
    }
}

/// A step, or its undoing, of one transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) transfer: String,
    pub(crate) step: Step,
    pub(crate) undo: bool,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) cents: i64,
}

impl Move {
    /// The account that it changes.
    pub(crate) fn account(&self) -> i64 {
        if self.step == Step::Credit { self.to } else { self.from }
    }

    /// What it is to the barrier.
    fn key(&self) -> Key<'_> {
        let op = if self.undo { Op::Compensate } else { Op::Execute };
        Key { saga: &self.transfer, step: self.step.as_str(), op }
    }

    /// All that it depends on; the barrier keeps it.
    fn content(&self) -> Bytes {
        let numbers = [self.from, self.to, self.cents];
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    /// Its account afterwards, or why that must not be.
    fn after(&self, found: Option<Row>) -> Result<Row, String> {
        let id = self.account();
        let row = found.ok_or_else(|| format!("there is no account {id}"))?;
        row.after(self.step, self.undo, self.cents).map_err(|why| format!("account {id} {why}"))
    }
}

/// What became of an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened<T> {
    /// The account as it is now; it may have been there before.
    Is(T),
    /// There is one that began with another balance.
    Other,
}

/// Why a participant did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// For good: nothing has happened, and nothing will.
    Rejected(String),
    /// It comes after its own undoing.
    Aborted,
    /// Nobody knows; it is asked again.
    Unknown(String),
}
