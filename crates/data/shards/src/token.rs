//! What a writer hands to later readers, so that they see its write: positions of the binary logs, as text.

mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use parse::TokenError;

use crate::route::SHARDS;

/// One position in a MariaDB binary log: `domain-server-sequence` (MariaDB manual, "Global Transaction ID").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gtid {
    /// The replication domain: the sequences of different domains have nothing to do with each other.
    pub domain: u32,
    /// The server that wrote the transaction.
    pub server: u32,
    /// Its number in the domain, from 1 on.
    pub sequence: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

/// What a reader of one shard must have seen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Position {
    /// These transactions, one a domain, ordered by domain.
    Reached(Vec<Gtid>),
    /// More than can be told by a position: the primary has it.
    Primary,
}

/// What its holder must not be shown the past of: for each shard it wrote to, a position that a replica must have
/// reached before it may answer.
///
/// As text, `SHARD@GTID` and commas, say `0@0-1-42,2@0-1-7`; `2@*` says that only the primary of shard 2 may answer. One
/// token has exactly one text, of printable ASCII and at most [`Token::MAX_LEN`] bytes, so it fits a header. An
/// empty token asks for nothing.
///
/// A token is no secret and no proof. A forged one can only make its bearer's own reads slower: each waits for
/// [`replica_wait`](crate::Options::replica_wait) and then goes to the primary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    shards: BTreeMap<u8, Position>,
}

impl Token {
    /// The most replication domains of one shard. More become `*`: the primary always knows.
    pub const MAX_DOMAINS: usize = 16;
    /// The longest text, in bytes.
    pub const MAX_LEN: usize =
        4 * (Self::MAX_DOMAINS * "0@4294967295-4294967295-18446744073709551615,".len()) - 1;

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// A token that demands both what `self` and what `other` demand.
    #[must_use]
    pub fn merge(mut self, other: &Self) -> Self {
        for (&shard, theirs) in &other.shards {
            match theirs {
                Position::Primary => self.demand_primary(shard),
                Position::Reached(gtids) => gtids.iter().for_each(|gtid| self.add(shard, *gtid)),
            }
        }
        self
    }

    /// Whether it demands anything of a shard.
    pub fn demands(&self, shard: u8) -> bool {
        self.shards.contains_key(&shard)
    }

    /// What it demands of shard `from`, demanded of `of` alone: another shard on the same server, whose log they share.
    #[must_use]
    pub fn moved(&self, from: u8, of: u8) -> Self {
        Self { shards: self.shards.get(&from).map(|position| (of, position.clone())).into_iter().collect() }
    }

    /// Demands `gtid`, unless more of its domain is demanded already.
    pub(crate) fn add(&mut self, shard: u8, gtid: Gtid) {
        debug_assert!(shard < SHARDS);
        let position = self.shards.entry(shard).or_insert_with(|| Position::Reached(Vec::new()));
        let Position::Reached(gtids) = position else { return };
        match gtids.binary_search_by_key(&gtid.domain, |held| held.domain) {
            Ok(at) if gtids[at].sequence < gtid.sequence => gtids[at] = gtid,
            Ok(_) => {}
            Err(_) if gtids.len() == Self::MAX_DOMAINS => *position = Position::Primary,
            Err(at) => gtids.insert(at, gtid),
        }
    }

    /// Demands the primary of a shard.
    pub(crate) fn demand_primary(&mut self, shard: u8) {
        self.shards.insert(shard, Position::Primary);
    }

    /// What a reader of `shard` must have seen.
    pub(crate) fn of_shard(&self, shard: u8) -> Demand<'_> {
        match self.shards.get(&shard) {
            None => Demand::Nothing,
            Some(Position::Reached(gtids)) => Demand::Reached(gtids),
            Some(Position::Primary) => Demand::Primary,
        }
    }
}

/// What a token says about one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand<'a> {
    /// Any replica may answer.
    Nothing,
    /// A replica that has applied these.
    Reached(&'a [Gtid]),
    /// Only the primary.
    Primary,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (shard, position) in &self.shards {
            match position {
                Position::Primary => write!(f, "{comma}{shard}@*")?,
                Position::Reached(gtids) => {
                    for gtid in gtids {
                        write!(f, "{comma}{shard}@{gtid}")?;
                        comma = ",";
                    }
                }
            }
            comma = ",";
        }
        Ok(())
    }
}
