//! What the scripts answer, and what it means.

use std::time::Duration;

use super::Value;
use super::entry::{HEADER, Poison, State, decode};
use crate::Stamp;

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The row.
    Live(Entry),
    /// There is no such row, as of this version.
    Negative(Entry),
    /// The row has changed: load this version or a later one.
    Floor(u64),
    /// Nothing that counts.
    Miss,
}

/// A live or a negative entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The row's version.
    pub version: u64,
    /// The row; `None` says that there is none.
    pub data: Option<Vec<u8>>,
    /// How long it is still fresh; zero when it is past its soft deadline.
    pub fresh: Duration,
    /// How long ago its load began.
    pub age: Duration,
    /// The master that has it. Of what is to be filled in it says nothing.
    pub master: Stamp,
}

/// The right to fill a key, for as long as the lease lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(pub(crate) String);

/// What became of the wish to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leased {
    /// The caller is the one who loads, at the primary or a replica that has caught up.
    Load {
        /// To be shown with the fill.
        token: Token,
        /// The least version that a fill must have; the version to give when there is no row.
        least: u64,
        /// The entry past its soft deadline, should the load fail.
        stale: Option<Entry>,
    },
    /// Another caller loads.
    Wait {
        /// When its lease ends at the latest.
        at_most: Duration,
        /// The entry past its soft deadline, to be answered as stale.
        stale: Option<Entry>,
    },
    /// A fresh entry has come meanwhile.
    Entry(Entry),
}

/// What became of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// It is in the cache.
    Stored,
    /// It is not; the cache holds what it held.
    Refused(Refused),
}

/// Why a fill was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The lease has ended, is another's, or was granted by another master: ask for a new one.
    NoLease,
    /// The load was overtaken by a change: load again, at the primary. The lease still lives.
    Behind {
        /// The least version that is accepted.
        least: u64,
    },
    /// The table's epoch was raised meanwhile: learn the new one.
    OldEpoch,
}

/// An answer of a script that read an entry.
pub(crate) enum Reply {
    Miss,
    /// The entry of another master, or of an earlier epoch.
    Stamped,
    Hit(State, Entry),
    /// What to show to have it removed.
    Poisoned(Vec<u8>),
    Wait(Option<Entry>, Duration),
    Load(Option<Entry>, u64),
}

impl Reply {
    /// `None` is an answer that no script gives.
    pub(crate) fn parse(value: Value, limit: usize) -> Option<Self> {
        let Value::Array(items) = value else { return None };
        let mut items = items.into_iter();
        let tag = bytes(items.next()?)?;
        let Value::Int(now) = items.next()? else { return None };
        let now = u64::try_from(now).ok()?;
        let read = |value| {
            let raw = bytes(value)?;
            Some(if raw.is_empty() { Ok(None) } else { entry(raw, now, limit).map(Some) })
        };
        Some(match &*tag {
            b"M" => Self::Miss,
            b"S" => Self::Stamped,
            b"P" => Self::Poisoned(bytes(items.next()?)?),
            b"H" => match read(items.next()?)? {
                Ok(found) => found.map(|(state, entry)| Self::Hit(state, entry))?,
                Err(raw) => Self::Poisoned(raw),
            },
            b"W" => match (read(items.next()?)?, items.next()?) {
                (Ok(stale), Value::Int(left)) => {
                    let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
                    Self::Wait(stale.map(|(_, entry)| entry), left)
                }
                (Err(raw), _) => Self::Poisoned(raw),
                _ => return None,
            },
            b"T" => match (read(items.next()?)?, bytes(items.next()?)?) {
                (Ok(stale), least) => Self::Load(stale.map(|(_, entry)| entry), number(&least)?),
                (Err(raw), _) => Self::Poisoned(raw),
            },
            _ => return None,
        })
    }
}

/// The answer of the compare-and-set.
pub(crate) fn filled(value: Value) -> Option<Filled> {
    let Value::Array(items) = value else { return None };
    let mut items = items.into_iter();
    let (tag, least) = (bytes(items.next()?)?, bytes(items.next()?)?);
    Some(match &*tag {
        b"ok" => Filled::Stored,
        b"lease" => Filled::Refused(Refused::NoLease),
        b"behind" => Filled::Refused(Refused::Behind { least: number(&least)? }),
        b"epoch" => Filled::Refused(Refused::OldEpoch),
        _ => return None,
    })
}

/// The entry as the caller sees it, or the bytes when they are none.
fn entry(mut raw: Vec<u8>, now: u64, limit: usize) -> Result<(State, Entry), Vec<u8>> {
    let read: Result<_, Poison> = decode(&raw, limit).map(|stored| {
        let fresh = Duration::from_millis(stored.soft.saturating_sub(now));
        let age = Duration::from_millis(now.saturating_sub(stored.loaded));
        let master = Stamp::from_hex(stored.stamp.as_bytes()).unwrap_or_default();
        (stored.state, Entry { version: stored.version, data: None, fresh, age, master })
    });
    let Ok((state, mut entry)) = read else { return Err(raw) };
    if state == State::Live {
        raw.drain(..HEADER);
        entry.data = Some(raw);
    }
    Ok((state, entry))
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// A version that the script took out of an entry: it may be poison that only [`decode`] notices.
fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
