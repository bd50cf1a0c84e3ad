//! Where in the history of a server a transaction stands.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// One transaction: `domain-server-sequence`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gtid {
    /// The domain, whose transactions are in one order.
    pub domain: u32,
    /// The server that first wrote it.
    pub server: u32,
    /// Its number within the domain.
    pub sequence: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

impl FromStr for Gtid {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let mut parts = text.split('-');
        let gtid = (|| {
            let domain = parts.next()?.parse().ok()?;
            let server = parts.next()?.parse().ok()?;
            let sequence = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some(Self { domain, server, sequence })
        })();
        gtid.ok_or_else(|| BadPosition(text.to_owned()))
    }
}

/// The last transaction of every domain: what a reader has seen. The empty one stands before the first transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<u32, Gtid>);

impl Position {
    /// Moves on past `gtid`.
    pub fn advance(&mut self, gtid: Gtid) {
        self.0.insert(gtid.domain, gtid);
    }

    /// Whether it stands at `other` or behind it, in each of its domains.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.values().all(|gtid| self.0.get(&gtid.domain).is_some_and(|own| own.sequence >= gtid.sequence))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, gtid) in self.0.values().enumerate() {
            write!(f, "{}{gtid}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let mut position = Self::default();
        for gtid in text.split(',').filter(|_| !text.is_empty()) {
            let gtid: Gtid = gtid.trim().parse()?;
            if position.0.insert(gtid.domain, gtid).is_some() {
                return Err(BadPosition(text.to_owned()));
            }
        }
        Ok(position)
    }
}

/// The text is no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no position such as 0-1-42,7-1-3, one for each domain")]
pub struct BadPosition(pub String);
