//! Heads, written. A field that comes a second time goes into the peer's table, and is one byte from then on; strings
//! are sent as they are.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};

use bytes::{BufMut, BytesMut};
use foldhash::fast::FixedState;
use http::StatusCode;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, DATE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE,
    TRANSFER_ENCODING, UPGRADE,
};

use super::{OVERHEAD, STATIC, TABLE};
use crate::date;
use crate::http2::fields::Fields;

/// Indices of the table that everybody has.
const AUTHORITY: u8 = 1;
const POST: u8 = 3;
const PATH: u8 = 4;
const HTTP: u8 = 6;
const HTTPS: u8 = 7;
const STATUS: u8 = 8;
const LENGTH: usize = 28;

/// The field is in the table.
const INDEXED: u8 = 0b1000_0000;
/// It goes there.
const KEEP: u8 = 0b0100_0000;
const NEVER: u8 = 0b0001_0000;
const RESIZE: u8 = 0b0010_0000;

/// Fields that were seen, of which a second time is noticed.
const SEEN: usize = 64;
/// Fields of a block that are compared with those of the block before.
const ALIKE: usize = 16;

/// A field of the peer's table.
#[derive(Debug)]
struct Entry {
    hash: u64,
    name: Box<[u8]>,
    value: Box<[u8]>,
}

impl Entry {
    fn size(&self) -> usize {
        self.name.len() + self.value.len() + OVERHEAD
    }
}

/// The peer's table, as we fill it.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// The oldest first.
    table: VecDeque<Entry>,
    /// How many there have been before the oldest.
    gone: u64,
    size: usize,
    limit: usize,
    /// The peer has to be told of the limit.
    resized: bool,
    /// The number of an entry, by its hash.
    found: HashMap<u64, u64, FixedState>,
    /// Hashes of fields that came once. What never comes again would only push out what does.
    seen: [u64; SEEN],
    /// The entries that the last block named, in its order. The next one is nearly always the same but for a few: what has the same place
    /// is found without hashing it.
    named: [u64; ALIKE],
    /// The place of the next field of this block.
    place: usize,
    hasher: FixedState,
}

/// The head of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) secure: bool,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a Fields,
}

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// The content's, where the headers do not tell it.
    pub(crate) length: Option<usize>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            table: VecDeque::new(),
            gone: 0,
            size: 0,
            limit: TABLE,
            resized: false,
            found: HashMap::default(),
            seen: [0; SEEN],
            named: [0; ALIKE],
            place: 0,
            hasher: FixedState::default(),
        }
    }

    /// The peer allows a table of this size. It never grows again: that would win nothing that matters.
    pub(crate) fn limit(&mut self, limit: usize) {
        if limit < self.limit {
            self.limit = limit;
            self.resized = true;
            self.evict(0);
        }
    }

    /// Appends the block of a call.
    pub(crate) fn encode(&mut self, call: Call<'_>, out: &mut BytesMut) {
        self.begin(out);
        out.put_u8(INDEXED | POST);
        out.put_u8(INDEXED | if call.secure { HTTPS } else { HTTP });
        self.field(Some(AUTHORITY), b":authority", call.authority.as_bytes(), out);
        self.field(Some(PATH), b":path", call.path.as_bytes(), out);
        for (name, value) in call.headers.iter() {
            self.header(name, value, out);
        }
    }

    /// Appends the block of an answer, with its date.
    pub(crate) fn answer(&mut self, answer: Answer<'_>, out: &mut BytesMut) {
        self.begin(out);
        self.status(answer.status, out);
        for (name, value) in answer.headers {
            if *name != CONNECTION && *name != TRANSFER_ENCODING && *name != UPGRADE {
                self.header(name, value, out);
            }
        }
        if let Some(length) = answer.length.filter(|_| !answer.headers.contains_key(CONTENT_LENGTH)) {
            number(0, 4, LENGTH, out);
            string(itoa::Buffer::new().format(length).as_bytes(), out);
        }
        if !answer.headers.contains_key(DATE) {
            date::now(|text| self.field(None, b"date", text, out));
        }
    }

    /// Appends the block of an interim answer.
    pub(crate) fn interim(&mut self, status: StatusCode, out: &mut BytesMut) {
        self.begin(out);
        out.put_u8(STATUS);
        string(status.as_str().as_bytes(), out);
    }

    /// Appends a block of trailers.
    pub(crate) fn trailers(&mut self, headers: &HeaderMap, out: &mut BytesMut) {
        self.begin(out);
        for (name, value) in headers {
            self.header(name, value, out);
        }
    }

    /// What a block may begin with.
    fn begin(&mut self, out: &mut BytesMut) {
        out.reserve(512);
        self.place = 0;
        if std::mem::take(&mut self.resized) {
            number(RESIZE, 5, self.limit, out);
        }
    }

    fn status(&mut self, status: StatusCode, out: &mut BytesMut) {
        let known = match status.as_u16() {
            200 => 0,
            204 => 1,
            206 => 2,
            304 => 3,
            400 => 4,
            404 => 5,
            500 => 6,
            _ => return self.field(Some(STATUS), b":status", status.as_str().as_bytes(), out),
        };
        out.put_u8(INDEXED | (STATUS + known));
    }

    fn header(&mut self, name: &HeaderName, value: &HeaderValue, out: &mut BytesMut) {
        let bytes = name.as_str().as_bytes();
        if value.is_sensitive() {
            out.put_u8(NEVER);
            string(bytes, out);
            string(value.as_bytes(), out);
        } else if *name == AUTHORIZATION || *name == COOKIE || *name == SET_COOKIE || *name == CONTENT_LENGTH
        {
            // Secrets do not belong where one client's calls could be compared with another's.
            out.put_u8(0);
            string(bytes, out);
            string(value.as_bytes(), out);
        } else {
            self.field(None, bytes, value.as_bytes(), out);
        }
    }

    fn field(&mut self, index: Option<u8>, name: &[u8], value: &[u8], out: &mut BytesMut) {
        let place = self.place;
        self.place += 1;
        if let Some(named) = self.named.get(place)
            && let Some(index) = self.is_entry(*named, name, value)
        {
            return number(INDEXED, 7, index, out);
        }
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name);
        hasher.write(value);
        let hash = hasher.finish();
        if let Some(entry) = self.found.get(&hash).copied()
            && let Some(index) = self.is_entry(entry, name, value)
        {
            if let Some(named) = self.named.get_mut(place) {
                *named = entry;
            }
            return number(INDEXED, 7, index, out);
        }
        let keep = self.keeps(hash, name.len() + value.len() + OVERHEAD);
        let flags = if keep { KEEP } else { 0 };
        if let Some(index) = index {
            out.put_u8(flags | index);
        } else {
            out.put_u8(flags);
            string(name, out);
        }
        string(value, out);
        if keep {
            self.insert(Entry { hash, name: name.into(), value: value.into() });
        }
    }

    /// The index of the entry with this number, if it is still there and is this field.
    fn is_entry(&self, number: u64, name: &[u8], value: &[u8]) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.gone)?).ok()?;
        let entry = self.table.get(place)?;
        let newer = self.table.len() - place;
        (*entry.name == *name && *entry.value == *value).then_some(STATIC.len() + newer)
    }

    /// Whether a field is worth its place: it came before, and is no large part of the table.
    fn keeps(&mut self, hash: u64, size: usize) -> bool {
        if size > self.limit / 4 || self.found.contains_key(&hash) {
            return false;
        }
        let slot = usize::try_from(hash % SEEN as u64).unwrap_or_default();
        self.seen.get_mut(slot).is_some_and(|seen| std::mem::replace(seen, hash) == hash)
    }

    fn insert(&mut self, entry: Entry) {
        self.evict(entry.size());
        self.size += entry.size();
        self.found.insert(entry.hash, self.gone + self.table.len() as u64);
        self.table.push_back(entry);
    }

    /// Makes room, oldest first, as the peer does.
    fn evict(&mut self, room: usize) {
        while self.size + room > self.limit
            && let Some(entry) = self.table.pop_front()
        {
            self.gone += 1;
            self.size -= entry.size();
            self.found.remove(&entry.hash);
        }
    }
}

/// RFC 7541, section 5.1.
fn number(flags: u8, prefix: u32, value: usize, out: &mut BytesMut) {
    let mask = (1usize << prefix) - 1;
    let low = |value: usize| u8::try_from(value & 0xff).unwrap_or_default();
    if value < mask {
        return out.put_u8(flags | low(value));
    }
    out.put_u8(flags | low(mask));
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.put_u8(low(rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    out.put_u8(low(rest));
}

fn string(text: &[u8], out: &mut BytesMut) {
    number(0, 7, text.len(), out);
    out.extend_from_slice(text);
}
