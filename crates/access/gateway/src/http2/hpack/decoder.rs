//! Header blocks, read. Whatever a field is, the table follows the peer's: a bad one spoils its own answer only.

use std::collections::VecDeque;
use std::sync::LazyLock;

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use super::{OVERHEAD, STATIC, TABLE, huffman};
use crate::http2::frame::{Reason, Violation};

/// What a block says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Block {
    pub(crate) status: Option<StatusCode>,
    /// What only a request has.
    pub(crate) asked: Option<Asked>,
    pub(crate) fields: HeaderMap,
    pub(crate) length: Option<u64>,
    /// What is wrong with it, if something is.
    pub(crate) wrong: Option<&'static str>,
    /// There are more fields than agreed: some are not kept.
    pub(crate) too_long: bool,
}

/// What a request asks for (RFC 9113, section 8.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    pub(crate) method: Option<Method>,
    pub(crate) scheme: bool,
    pub(crate) authority: Option<HeaderValue>,
    pub(crate) path: Option<PathAndQuery>,
}

/// A field that was understood.
#[derive(Debug, Clone)]
enum Field {
    Status(StatusCode),
    Method(Method),
    Scheme,
    Authority(HeaderValue),
    Path(PathAndQuery),
    Header(HeaderName, HeaderValue),
    /// What must not be in a message.
    Bad,
}

/// Whose value a literal gives.
#[derive(Debug, Clone)]
enum Name {
    Status,
    Method,
    Scheme,
    Authority,
    Path,
    Header(HeaderName),
    Bad,
}

/// A field and what it counts in a table.
#[derive(Debug, Clone)]
struct Entry {
    field: Field,
    /// Of the name alone.
    named: Name,
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
    /// Bytes of a block's fields that are kept, as a table counts them.
    longest: usize,
    /// What a block with more of them is: not long, but a bomb.
    bomb: usize,
    /// Whether blanks around values are refused (RFC 9113, section 8.2.1). gRPC servers send messages with them.
    strict: bool,
    name: Vec<u8>,
    value: Vec<u8>,
}

static KNOWN: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let entry = |(name, value): &(&'static str, &'static str)| {
        let named = named(name.as_bytes());
        let size = name.len() + value.len() + OVERHEAD;
        Entry { field: field(&named, value.as_bytes(), false), named, size, name: name.len() }
    };
    STATIC.iter().map(entry).collect()
});

/// Fields of a block for which there is room at once. With more the map is larger than what an allocator has at hand.
const FIELDS: usize = 6;
/// More than an index or a length can be.
const TOO_MUCH: usize = 1 << 28;

#[cold]
fn bad(what: &'static str) -> Violation {
    Violation::new(Reason::COMPRESSION_ERROR, what)
}

impl Decoder {
    /// Keeps so many bytes of a block's fields. What has more than `bomb` of them ends the connection.
    pub(crate) fn new(longest: usize, bomb: usize) -> Self {
        Self {
            table: VecDeque::new(),
            size: 0,
            limit: TABLE,
            longest,
            bomb,
            strict: false,
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// The same, which also refuses blanks around values.
    pub(crate) fn strict(longest: usize, bomb: usize) -> Self {
        Self { strict: true, ..Self::new(longest, bomb) }
    }

    /// Reads a whole block. An error ends the connection: nobody knows any more what the table is.
    pub(crate) fn decode(&mut self, mut block: &[u8]) -> Result<Box<Block>, Violation> {
        // In a box from here on: it is handed on several times.
        let mut found =
            Box::new(Block { fields: HeaderMap::with_capacity(block.len().min(FIELDS)), ..Block::default() });
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
            if total > self.bomb {
                return Err(Violation::new(
                    Reason::ENHANCE_YOUR_CALM,
                    "a header block that unfolds without end",
                ));
            }
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
            found.too_long = true;
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
        let (named, name) = if index == 0 {
            string(block, &mut self.name)?;
            (named(&self.name), self.name.len())
        } else {
            let entry = self.entry(index)?;
            (entry.named.clone(), entry.name)
        };
        string(block, &mut self.value)?;
        let field = field(&named, &self.value, self.strict);
        Ok(Entry { field, named, size: name + self.value.len() + OVERHEAD, name })
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
        let asked = match field {
            Field::Header(name, value) => return self.header(name, value),
            Field::Status(status) if self.status.is_none() && self.fields.is_empty() => {
                return self.status = Some(*status);
            }
            Field::Status(_) | Field::Bad => return self.wrong = Some("a malformed field"),
            // Those of a request come before all others, and once.
            _ if !self.fields.is_empty() => return self.wrong = Some("a pseudo-field behind others"),
            _ => self.asked.get_or_insert_default(),
        };
        let again = match field {
            Field::Method(method) => asked.method.replace(method.clone()).is_some(),
            Field::Authority(authority) => asked.authority.replace(authority.clone()).is_some(),
            Field::Path(path) => asked.path.replace(path.clone()).is_some(),
            _ => std::mem::replace(&mut asked.scheme, true),
        };
        if again {
            self.wrong = Some("a pseudo-field that comes twice");
        }
    }

    fn header(&mut self, name: &HeaderName, value: &HeaderValue) {
        if *name == CONTENT_LENGTH {
            let digits = value.as_bytes().iter().all(u8::is_ascii_digit);
            let length = value.to_str().ok().filter(|_| digits).and_then(|text| text.parse().ok());
            if length.is_none() || self.length.is_some_and(|before| Some(before) != length) {
                self.wrong = Some("the content's length is no number");
            }
            self.length = length;
        }
        if self.fields.try_append(name, value.clone()).is_err() {
            self.wrong = Some("more headers than there can be");
        }
    }
}

/// RFC 9113, section 8.2: names are lower case, and nothing is of the hop.
fn named(name: &[u8]) -> Name {
    match name {
        b":status" => Name::Status,
        b":method" => Name::Method,
        b":scheme" => Name::Scheme,
        b":authority" => Name::Authority,
        b":path" => Name::Path,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => Name::Bad,
        _ => HeaderName::from_lowercase(name).map_or(Name::Bad, Name::Header),
    }
}

fn field(name: &Name, value: &[u8], strict: bool) -> Field {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if strict && (blank(value.first()) || blank(value.last())) {
        return Field::Bad;
    }
    let field = match name {
        Name::Status => StatusCode::from_bytes(value).ok().map(Field::Status),
        Name::Method => Method::from_bytes(value).ok().map(Field::Method),
        Name::Scheme => matches!(value, b"http" | b"https").then_some(Field::Scheme),
        Name::Authority => HeaderValue::from_bytes(value).ok().map(Field::Authority),
        Name::Path => path(value).map(Field::Path),
        Name::Header(name) => {
            HeaderValue::from_bytes(value).ok().map(|value| Field::Header(name.clone(), value))
        }
        Name::Bad => None,
    };
    field.unwrap_or(Field::Bad)
}

/// A path with perhaps a query, or `*`. A fragment is not sent.
fn path(value: &[u8]) -> Option<PathAndQuery> {
    let whole = value == b"*" || value.first() == Some(&b'/');
    let clean = value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#');
    (whole && clean).then(|| PathAndQuery::try_from(value).ok())?
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
