//! Tokens and positions from text that anybody may have written.

use super::{Gtid, Position, Token};
use crate::route::SHARDS;

/// Why a text is no token. It names places, never the text itself, which may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is over [`Token::MAX_LEN`].
    #[error(
        "the token has {len} bytes, more than {}: send back the one that the last write answered with",
        Token::MAX_LEN
    )]
    TooLong {
        /// Its bytes.
        len: usize,
    },
    /// An entry is not of the form.
    #[error(
        "entry {entry} of the token is not SHARD@DOMAIN-SERVER-SEQUENCE or SHARD@* in plain decimal numbers"
    )]
    Malformed {
        /// Which entry, from 1 on.
        entry: usize,
    },
    /// A shard that does not exist.
    #[error("entry {entry} of the token names a shard that is not below {SHARDS}")]
    Shard {
        /// Which entry, from 1 on.
        entry: usize,
    },
    /// Entries are not in ascending order of shard and domain, or one occurs twice.
    #[error("entry {entry} of the token is out of order: shards and their domains ascend, and occur once")]
    Order {
        /// Which entry, from 1 on.
        entry: usize,
    },
    /// A shard has more than [`Token::MAX_DOMAINS`] domains.
    #[error("entry {entry} of the token is one domain more than the {} a shard may have", Token::MAX_DOMAINS)]
    Domains {
        /// Which entry, from 1 on.
        entry: usize,
    },
}

impl Token {
    /// Reads the text of a token, as a client sends it back.
    ///
    /// # Errors
    /// The client's fault. Whoever wants to serve it all the same reads from the primary.
    pub fn parse(text: &[u8]) -> Result<Self, TokenError> {
        if text.len() > Self::MAX_LEN {
            return Err(TokenError::TooLong { len: text.len() });
        }
        let mut token = Self::default();
        if text.is_empty() {
            return Ok(token);
        }
        let mut last_shard = 0;
        for (at, part) in text.split(|byte| *byte == b',').enumerate() {
            let entry = at + 1;
            let (shard, position) = split(part, b'@').ok_or(TokenError::Malformed { entry })?;
            let shard = number(shard).ok_or(TokenError::Malformed { entry })?;
            let shard = u8::try_from(shard).ok().filter(|shard| *shard < SHARDS);
            let shard = shard.ok_or(TokenError::Shard { entry })?;
            if shard < last_shard {
                return Err(TokenError::Order { entry });
            }
            last_shard = shard;
            token.append(shard, position, entry)?;
        }
        Ok(token)
    }

    /// Adds an entry behind all others.
    fn append(&mut self, shard: u8, position: &[u8], entry: usize) -> Result<(), TokenError> {
        let held = self.shards.get_mut(&shard);
        if position == b"*" {
            if held.is_some() {
                return Err(TokenError::Order { entry });
            }
            self.demand_primary(shard);
            return Ok(());
        }
        let gtid = Gtid::parse(position).ok_or(TokenError::Malformed { entry })?;
        match held {
            Some(Position::Primary) => return Err(TokenError::Order { entry }),
            Some(Position::Reached(gtids)) => {
                if gtids.last().is_some_and(|last| last.domain >= gtid.domain) {
                    return Err(TokenError::Order { entry });
                }
                if gtids.len() == Self::MAX_DOMAINS {
                    return Err(TokenError::Domains { entry });
                }
                gtids.push(gtid);
            }
            None => self.add(shard, gtid),
        }
        Ok(())
    }
}

impl Gtid {
    /// Reads `DOMAIN-SERVER-SEQUENCE` in decimal without leading zeros, the sequence at least 1.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (domain, rest) = split(text, b'-')?;
        let (server, sequence) = split(rest, b'-')?;
        let domain = u32::try_from(number(domain)?).ok()?;
        let server = u32::try_from(number(server)?).ok()?;
        let sequence = number(sequence).filter(|sequence| *sequence > 0)?;
        Some(Self { domain, server, sequence })
    }

    /// Reads the list that a server tells as its position; `None` unless all of it is understood.
    pub(crate) fn parse_list(text: &str) -> Option<Vec<Self>> {
        text.split(',').map(|gtid| Self::parse(gtid.trim().as_bytes())).collect()
    }
}

/// The parts before and behind the first `at`.
fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = text.iter().position(|byte| *byte == at)?;
    Some((&text[..index], &text[index + 1..]))
}

/// Only digits (`str::parse` takes a plus as well), and no needless zero: one number has one text.
fn number(digits: &[u8]) -> Option<u64> {
    let canonical = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| canonical)?;
    text.parse().ok()
}
