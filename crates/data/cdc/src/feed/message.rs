//! What the bus carries: a version byte and messages, back to back. One message has one encoding.

use std::sync::Arc;

use super::epochs::Epochs;
use super::level2::Master;
use crate::change::{Change, EpochBump, Key, KeyPart, Reason, Scope, TableName, Version};

/// The longest payload that is read.
pub const MAX_PAYLOAD: usize = 1 << 20;
/// The longest name of a database or a table, in bytes: 64 characters.
const MAX_NAME: usize = 256;
/// The most columns of a key, and the most bytes of one, are the server's.
const MAX_PARTS: u64 = 32;
const MAX_PART: usize = 3072;
/// What is kept of the server's words.
const MAX_WORDS: usize = 512;

const FORMAT: u8 = 1;

/// One thing to know. A record has several, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A row was written or deleted.
    Change(Change),
    /// All rows of some tables may have been.
    Bump {
        /// Which, and why.
        bump: EpochBump,
        /// Their epoch in the second level from now on: what was put there in an earlier one is not to be used.
        epoch: u64,
    },
    /// An instance's row of the heartbeat table was seen in the binlog: everything committed before it was written has been told.
    Beat {
        /// Whose row.
        instance: u64,
        /// Which beat.
        beat: u64,
    },
    /// The second level has every floor of the records of this source up to this number of this epoch. In a record of another
    /// epoch it means nothing: the bus began a new one while it was on its way.
    Applied {
        /// The bus's epoch in which the number counts.
        epoch: u64,
        /// The number.
        seq: u64,
        /// The tables' epochs by now: all of them, for those who missed a bump.
        epochs: Epochs,
        /// The servers that have them.
        masters: Vec<Master>,
    },
}

/// Bytes that no feed wrote, or a newer one than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record's payload cannot be read: {0}")]
pub struct Malformed(&'static str);

/// The payload of one record.
pub fn encode<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Vec<u8> {
    let mut out = start();
    messages.into_iter().for_each(|message| add(message, &mut out));
    out
}

/// A payload without messages.
pub(crate) fn start() -> Vec<u8> {
    vec![FORMAT]
}

/// Adds a message to a payload.
pub(crate) fn add(message: &Message, out: &mut Vec<u8>) {
    match message {
        Message::Change(change) => {
            out.push(1 | u8::from(change.tombstone) << 4);
            table(&change.table, out);
            if let Version::Exact(version) = change.version {
                out.push(1);
                number(version, out);
            } else {
                out.push(0);
            }
            number(change.key.len() as u64, out);
            change.key.iter().for_each(|part| key_part(part, out));
        }
        Message::Bump { bump, epoch } => {
            out.push(2);
            number(*epoch, out);
            match &bump.scope {
                Scope::All => out.push(0),
                Scope::Table(name) => {
                    out.push(1);
                    table(name, out);
                }
            }
            reason(&bump.reason, out);
        }
        Message::Beat { instance, beat } => {
            out.push(3);
            number(*instance, out);
            number(*beat, out);
        }
        Message::Applied { epoch, seq, epochs, masters } => {
            out.push(4);
            number(*epoch, out);
            number(*seq, out);
            number(epochs.all(), out);
            number(epochs.tables().len() as u64, out);
            for (name, epoch) in epochs.tables() {
                table(name, out);
                number(epoch, out);
            }
            number(masters.len() as u64, out);
            out.extend_from_slice(masters.as_flattened());
        }
    }
}

fn number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn table(name: &TableName, out: &mut Vec<u8>) {
    bytes(name.database.as_bytes(), out);
    bytes(name.table.as_bytes(), out);
}

fn key_part(part: &KeyPart, out: &mut Vec<u8>) {
    match part {
        KeyPart::Int(value) => {
            out.push(0);
            // Small negative numbers are short, too.
            number((value << 1 ^ value >> 63).cast_unsigned(), out);
        }
        KeyPart::Uint(value) => {
            out.push(1);
            number(*value, out);
        }
        KeyPart::Bytes(value) => {
            out.push(2);
            bytes(value, out);
        }
    }
}

fn reason(reason: &Reason, out: &mut Vec<u8>) {
    let code = match reason {
        Reason::Ddl => 0,
        Reason::Statement => 1,
        Reason::BigTransaction => 2,
        Reason::UnknownRows(_) => 3,
        Reason::UnknownEvent(_) => 4,
        Reason::UnreadableRows => 5,
        Reason::NoKeyOrVersion => 6,
        Reason::Incident => 7,
        Reason::UnknownXa => 8,
        Reason::NoCheckpoint => 9,
        Reason::PositionLost(_) => 10,
    };
    out.push(code);
    match reason {
        Reason::UnknownRows(kind) | Reason::UnknownEvent(kind) => out.push(*kind),
        Reason::PositionLost(words) => {
            let cut = words.floor_char_boundary(MAX_WORDS);
            bytes(&words.as_bytes()[..cut], out);
        }
        _ => {}
    }
}

/// The messages of a payload. Takes no more memory than some times the payload's length.
pub fn decode(payload: &[u8]) -> Result<Vec<Message>, Malformed> {
    if payload.len() > MAX_PAYLOAD {
        return Err(Malformed("it is longer than 1 MiB"));
    }
    let (format, rest) = payload.split_first().ok_or(Malformed("it is empty"))?;
    if *format != FORMAT {
        return Err(Malformed("its format is not 1: update this program first, those who publish last"));
    }
    let mut input = Input { rest, last: None };
    let mut messages = Vec::new();
    while !input.rest.is_empty() {
        messages.push(input.message()?);
    }
    Ok(messages)
}

struct Input<'a> {
    rest: &'a [u8],
    /// Most changes of a record are of one table.
    last: Option<Arc<TableName>>,
}

impl<'a> Input<'a> {
    fn message(&mut self) -> Result<Message, Malformed> {
        Ok(match self.byte()? {
            tag @ (0x01 | 0x11) => self.change(tag == 0x11)?,
            2 => {
                let epoch = self.number()?;
                let scope = match self.byte()? {
                    0 => Scope::All,
                    1 => Scope::Table(self.table()?),
                    _ => return Err(Malformed("an unknown scope")),
                };
                Message::Bump { bump: EpochBump { scope, reason: self.reason()? }, epoch }
            }
            3 => Message::Beat { instance: self.number()?, beat: self.number()? },
            4 => {
                let (epoch, seq) = (self.number()?, self.number()?);
                Message::Applied { epoch, seq, epochs: self.epochs()?, masters: self.masters()? }
            }
            _ => return Err(Malformed("an unknown message")),
        })
    }

    fn change(&mut self, tombstone: bool) -> Result<Message, Malformed> {
        let table = self.table()?;
        let version = match self.byte()? {
            0 => Version::Bounded,
            1 => Version::Exact(self.number()?),
            _ => return Err(Malformed("an unknown kind of version")),
        };
        let parts = self.number()?;
        if parts > MAX_PARTS {
            return Err(Malformed("a key of too many columns"));
        }
        let key: Key = (0..parts).map(|_| self.key_part()).collect::<Result<_, _>>()?;
        Ok(Message::Change(Change { table, key, version, tombstone }))
    }

    fn key_part(&mut self) -> Result<KeyPart, Malformed> {
        Ok(match self.byte()? {
            0 => {
                let coded = self.number()?;
                KeyPart::Int((coded >> 1).cast_signed() ^ -(coded & 1).cast_signed())
            }
            1 => KeyPart::Uint(self.number()?),
            2 => KeyPart::Bytes(self.bytes(MAX_PART)?.to_vec()),
            _ => return Err(Malformed("an unknown kind of key")),
        })
    }

    fn epochs(&mut self) -> Result<Epochs, Malformed> {
        let all = self.number()?;
        let mut epochs = Epochs::new(all);
        let mut before: Option<Arc<TableName>> = None;
        for _ in 0..self.number()? {
            let (name, epoch) = (self.table()?, self.number()?);
            if before.is_some_and(|before| before >= name) || epoch <= all {
                return Err(Malformed("epochs out of order"));
            }
            epochs.raise_table(&name, epoch);
            before = Some(name);
        }
        Ok(epochs)
    }

    fn masters(&mut self) -> Result<Vec<Master>, Malformed> {
        let bytes =
            usize::try_from(self.number()?).ok().and_then(|count| count.checked_mul(size_of::<Master>()));
        let split = bytes.and_then(|bytes| self.rest.split_at_checked(bytes));
        let (masters, rest) = split.ok_or(Malformed("it is cut short"))?;
        self.rest = rest;
        Ok(masters.as_chunks().0.to_vec())
    }

    fn table(&mut self) -> Result<Arc<TableName>, Malformed> {
        let (database, table) = (self.text(MAX_NAME)?, self.text(MAX_NAME)?);
        match &self.last {
            Some(last) if last.database == database && last.table == table => Ok(Arc::clone(last)),
            _ => {
                let name = Arc::new(TableName { database: database.to_owned(), table: table.to_owned() });
                Ok(Arc::clone(self.last.insert(name)))
            }
        }
    }

    fn reason(&mut self) -> Result<Reason, Malformed> {
        Ok(match self.byte()? {
            0 => Reason::Ddl,
            1 => Reason::Statement,
            2 => Reason::BigTransaction,
            3 => Reason::UnknownRows(self.byte()?),
            4 => Reason::UnknownEvent(self.byte()?),
            5 => Reason::UnreadableRows,
            6 => Reason::NoKeyOrVersion,
            7 => Reason::Incident,
            8 => Reason::UnknownXa,
            9 => Reason::NoCheckpoint,
            10 => Reason::PositionLost(self.text(MAX_WORDS)?.to_owned()),
            _ => return Err(Malformed("an unknown reason")),
        })
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed("it is cut short"))?;
        self.rest = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || byte == 0 && shift > 0 {
                return Err(Malformed("a number that is too long"));
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed("a number that is too long"))
    }

    fn bytes(&mut self, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if length > limit {
            return Err(Malformed("a name or a key that is too long"));
        }
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed("it is cut short"))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self, limit: usize) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes(limit)?).map_err(|_| Malformed("text that is not UTF-8"))
    }
}
