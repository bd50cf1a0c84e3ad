//! Header blocks of an upstream, read. Whatever a field is, the table follows the peer's: a bad one spoils its own answer only.

use std::collections::VecDeque;
use std::sync::LazyLock;

use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};

use super::{OVERHEAD, STATIC, TABLE, huffman};
use crate::http2::frame::{Reason, Violation};

/// What a block says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Block {
    pub(crate) status: Option<StatusCode>,
    pub(crate) fields: HeaderMap,
    pub(crate) length: Option<u64>,
    /// What is wrong with it, if something is.
    pub(crate) wrong: Option<&'static str>,
}

/// A field that was understood.
#[derive(Debug, Clone)]
enum Field {
    Status(Option<StatusCode>),
    Header(HeaderName, HeaderValue),
    /// Of HTTP, but not of an answer; or of nothing.
    Bad,
}

/// A field and what it counts in a table.
#[derive(Debug, Clone)]
struct Entry {
    field: Field,
    size: usize,
    name: usize,
}

/// The peer's table, and where its strings are decoded.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The newest first.
    table: VecDeque<Entry>,
    size: usize,
    limit: usize,
    /// Bytes of a block's fields, as a table counts them.
    longest: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

static KNOWN: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let entry = |(name, value): &(&'static str, &'static str)| Entry {
        field: field(name.as_bytes(), value.as_bytes()),
        size: name.len() + value.len() + OVERHEAD,
        name: name.len(),
    };
    STATIC.iter().map(entry).collect()
});

/// More than an index or a length can be.
const TOO_MUCH: usize = 1 << 28;

#[cold]
fn bad(what: &'static str) -> Violation {
    Violation::new(Reason::COMPRESSION_ERROR, what)
}

impl Decoder {
    pub(crate) fn new(longest: usize) -> Self {
        Self { table: VecDeque::new(), size: 0, limit: TABLE, longest, name: Vec::new(), value: Vec::new() }
    }

    /// Reads a whole block. An error ends the connection: nobody knows any more what the table is.
    pub(crate) fn decode(&mut self, mut block: &[u8]) -> Result<Block, Violation> {
        let mut found = Block { fields: HeaderMap::with_capacity(6), ..Block::default() };
        let (mut total, mut begun) = (0usize, false);
        while let Some(&first) = block.first() {
            let keep = first & 0b1100_0000 == 0b0100_0000;
            if first & 0b1110_0000 == 0b0010_0000 {
                if begun {
                    return Err(bad("a table's size changes within a block"));
                }
                self.resize(number(&mut block, 5)?)?;
                continue;
            }
            begun = true;
            if first & 0b1000_0000 != 0 {
                let entry = self.entry(number(&mut block, 7)?)?;
                total += entry.size;
                if total <= self.longest {
                    found.add(&entry.field);
                }
                continue;
            }
            let entry = self.literal(&mut block, if keep { 6 } else { 4 })?;
            total += entry.size;
            if total <= self.longest {
                found.add(&entry.field);
            }
            if keep {
                self.insert(entry);
            }
        }
        if total > self.longest {
            found.wrong = Some("more headers than agreed");
        }
        Ok(found)
    }

    /// The entry with this index.
    fn entry(&self, index: usize) -> Result<&Entry, Violation> {
        let index = index.checked_sub(1).ok_or_else(|| bad("index 0"))?;
        let known = KNOWN.get(index).or_else(|| self.table.get(index - STATIC.len()));
        known.ok_or_else(|| bad("an index beyond the table"))
    }

    fn literal(&mut self, block: &mut &[u8], prefix: u32) -> Result<Entry, Violation> {
        let index = number(block, prefix)?;
        if index == 0 {
            string(block, &mut self.name)?;
            string(block, &mut self.value)?;
            let size = self.name.len() + self.value.len() + OVERHEAD;
            return Ok(Entry { field: field(&self.name, &self.value), size, name: self.name.len() });
        }
        string(block, &mut self.value)?;
        let Entry { field, name, .. } = self.entry(index)?;
        let field = match field {
            Field::Status(_) => Field::Status(StatusCode::from_bytes(&self.value).ok()),
            Field::Header(name, _) => header(name.clone(), &self.value),
            Field::Bad => Field::Bad,
        };
        Ok(Entry { field, size: name + self.value.len() + OVERHEAD, name: *name })
    }

    fn insert(&mut self, entry: Entry) {
        self.size += entry.size;
        self.table.push_front(entry);
        self.evict();
    }

    fn resize(&mut self, limit: usize) -> Result<(), Violation> {
        if limit > TABLE {
            return Err(bad("a larger table than agreed"));
        }
        self.limit = limit;
        self.evict();
        Ok(())
    }

    /// Also what was just inserted, if it is larger than the table (section 4.4).
    fn evict(&mut self) {
        while self.size > self.limit
            && let Some(entry) = self.table.pop_back()
        {
            self.size -= entry.size;
        }
    }
}

impl Block {
    fn add(&mut self, field: &Field) {
        match field {
            Field::Header(name, value) => {
                if *name == CONTENT_LENGTH {
                    let length = value.to_str().ok().and_then(|text| text.parse().ok());
                    if length.is_none() || self.length.is_some_and(|before| Some(before) != length) {
                        self.wrong = Some("the content's length is no number");
                    }
                    self.length = length;
                }
                self.fields.append(name, value.clone());
            }
            Field::Status(Some(status)) if self.status.is_none() && self.fields.is_empty() => {
                self.status = Some(*status);
            }
            Field::Status(_) | Field::Bad => self.wrong = Some("a malformed field"),
        }
    }
}

/// RFC 9113, section 8.2: names are lower case, and nothing is of the hop.
fn field(name: &[u8], value: &[u8]) -> Field {
    if name == b":status" {
        return Field::Status(StatusCode::from_bytes(value).ok());
    }
    let of_the_hop: [&[u8]; 5] =
        [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];
    match HeaderName::from_lowercase(name) {
        Ok(_) if of_the_hop.contains(&name) => Field::Bad,
        Ok(name) => header(name, value),
        Err(_) => Field::Bad,
    }
}

fn header(name: HeaderName, value: &[u8]) -> Field {
    HeaderValue::from_bytes(value).map_or(Field::Bad, |value| Field::Header(name, value))
}

/// A number whose first byte has so many bits of it (section 5.1).
fn number(block: &mut &[u8], prefix: u32) -> Result<usize, Violation> {
    let short = || bad("a block that ends within a field");
    let (&first, mut rest) = block.split_first().ok_or_else(short)?;
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, after) = rest.split_first().ok_or_else(short)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            if value > TOO_MUCH || shift > 21 {
                return Err(bad("a number that is too large"));
            }
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
    }
    *block = rest;
    Ok(value)
}

/// A string (section 5.2), in place of what was in `out`.
fn string(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = number(block, 7)?;
    let (text, rest) =
        block.split_at_checked(length).ok_or_else(|| bad("a block that ends within a field"))?;
    *block = rest;
    out.clear();
    if coded {
        return huffman::decode(text, out).ok_or_else(|| bad("a string that is not coded as it says"));
    }
    out.extend_from_slice(text);
    Ok(())
}
