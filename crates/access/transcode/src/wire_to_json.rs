//! Protobuf wire bytes to JSON in two passes over each message: the first finds where each field's values lie, the
//! second prints them by field number. Fields may come in any order, repeated ones interleaved, submessages in pieces,
//! scalars several times (the last one counts): all that is legal on the wire and none of it in JSON.

mod any;
mod inside;
mod map;
mod message_set;
mod oneof;
mod required;
mod scalar;
mod scan;
mod status;
pub(crate) mod string;
mod well_known;

use crate::error::{ErrorKind, TranscodeError};
use crate::options::{Defaults, Options};
use crate::schema::{Field, Kind, Message, Schema, Shape};
use crate::wire::{Cursor, WireError};

pub use inside::RawBody;
use map::MapKey;
use scan::Entry;

pub(crate) type Result<T> = std::result::Result<T, TranscodeError>;

/// Memory that is kept from message to message.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Where values lie, a stack over the open messages.
    entries: Vec<Entry>,
    /// Keys of the map that is being checked for doubles.
    keys: Vec<MapKey>,
    /// For each oneof of a message, which member won; used when members compete.
    winners: Vec<u16>,
    /// What was passed over in the last message because the schema does not know it.
    pub(crate) unknown: u64,
}

/// Reads one message and writes one JSON text.
pub(crate) struct Printer<'s, 'a> {
    schema: &'s Schema,
    options: &'s Options,
    wire: &'a [u8],
    /// The caller's buffer, taken for the time of the call.
    pub(crate) out: Vec<u8>,
    scratch: &'s mut Scratch,
    elements: u32,
    /// Where `out` may grow to.
    end: usize,
    /// How many entries there may be at a time.
    most_entries: usize,
}

/// Occurrences of fields that are no elements. A message in which there are more says some of them over and over.
const SINGULAR: usize = 1 << 16;

/// Where a message lies: in one piece, or in the pieces `from..to` of the entries, to be merged.
#[derive(Debug, Clone, Copy)]
enum Place {
    Piece { start: usize, end: usize },
    Entries { from: usize, to: usize },
}

impl<'s, 'a> Printer<'s, 'a> {
    /// `out` is what the JSON is appended to.
    pub(crate) fn new(
        (schema, options): (&'s Schema, &'s Options),
        wire: &'a [u8],
        scratch: &'s mut Scratch,
        out: Vec<u8>,
    ) -> Self {
        scratch.entries.clear();
        scratch.keys.clear();
        scratch.unknown = 0;
        let end = out.len().saturating_add(options.output_bytes);
        let elements = options.elements;
        let most_entries = (elements as usize).saturating_add(SINGULAR);
        Printer { schema, options, wire, out, scratch, elements, end, most_entries }
    }

    fn whole(&self) -> Result<Place> {
        // Entries keep positions in 32 bits.
        match u32::try_from(self.wire.len()) {
            Ok(_) => Ok(Place::Piece { start: 0, end: self.wire.len() }),
            Err(_) => Err(TranscodeError::new(ErrorKind::Upstream, "the message is larger than 4 GiB")),
        }
    }

    /// The whole input as JSON.
    pub(crate) fn document(&mut self, message: &'s Message) -> Result<()> {
        let place = self.whole()?;
        self.message(message, place, self.options.depth())?;
        self.check_output()
    }

    /// A message in whatever JSON form its type has. Levels are counted as the reader of JSON does, but that the
    /// brackets of lists and maps are none: so all that it accepts can be printed, and what has no brackets of its own
    /// (a Timestamp, a wrapper, a Value around another) is free.
    fn message(&mut self, message: &'s Message, place: Place, depth: u32) -> Result<()> {
        if let Some(kind) = message.well_known {
            return self.well_known(kind, message, place, depth);
        }
        let depth = level(depth)?;
        let start = self.out.len();
        self.fields(message, place, depth)?;
        self.close(start, b'{', b'}');
        Ok(())
    }

    /// Every field is printed with a comma before it; the first one becomes the opening bracket.
    #[inline]
    fn close(&mut self, start: usize, open: u8, close: u8) {
        match self.out.get_mut(start) {
            Some(first) => *first = open,
            None => self.out.push(open),
        }
        self.out.push(close);
    }

    /// `,"name":value` for each field that is there.
    fn fields(&mut self, message: &'s Message, place: Place, depth: u32) -> Result<()> {
        let base = self.scan(message, place, depth)?;
        let end = self.scratch.entries.len();
        let mut from = base;
        let mut next = 0;
        while let Some(entry) = self.scratch.entries.get(from).filter(|_| from < end) {
            let index = usize::from(entry.field);
            let mut to = from + 1;
            while to < end
                && self.scratch.entries.get(to).is_some_and(|entry| usize::from(entry.field) == index)
            {
                to += 1;
            }
            let Some(field) = message.fields.get(index) else { break };
            if self.options.defaults != Defaults::Omit {
                self.defaults(message.fields.get(next..index).unwrap_or_default());
                next = index + 1;
            }
            self.field(field, from, to, depth)?;
            from = to;
        }
        if self.options.defaults != Defaults::Omit {
            self.defaults(message.fields.get(next..).unwrap_or_default());
        }
        self.scratch.entries.truncate(base);
        Ok(())
    }

    #[inline]
    fn field(&mut self, field: &'s Field, from: usize, to: usize, depth: u32) -> Result<()> {
        let rollback = self.out.len();
        self.put_key(field);
        match self.value(field, from, to, depth) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.out.truncate(rollback);
                if self.options.defaults != Defaults::Omit {
                    self.defaults(std::slice::from_ref(field));
                }
                Ok(())
            }
            Err(error) => Err(error.in_field(&field.json_name)),
        }
    }

    #[inline]
    fn put_key(&mut self, field: &Field) {
        let key = if self.options.proto_names { &field.proto_key } else { &field.json_key };
        key.put(&mut self.out);
    }

    /// The value of a field whose occurrences are the entries `from..to`. False when there is nothing to print: the
    /// default of a field without presence, or no element.
    fn value(&mut self, field: &'s Field, from: usize, to: usize, depth: u32) -> Result<bool> {
        self.check_output()?;
        match (field.shape, field.kind) {
            (Shape::Map, _) => self.map(field, from, to, depth),
            (Shape::Repeated, _) => self.list(field, from, to, depth),
            (_, Kind::Message | Kind::Group) => {
                let place = match self.entry(from) {
                    Some(entry) if to == from + 1 => entry.place(),
                    _ => Place::Entries { from, to },
                };
                self.message(self.schema.message_of(field), place, depth).map(|()| true)
            }
            _ => self.singular(field, from, to),
        }
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        self.scratch.entries.get(at).copied()
    }

    /// `[…]`, from packed runs and single values in any mix.
    fn list(&mut self, field: &'s Field, from: usize, to: usize, depth: u32) -> Result<bool> {
        let start = self.out.len();
        let mut index = 0usize;
        for at in from..to {
            let Some(entry) = self.entry(at) else { break };
            if entry.packed {
                self.packed(field, entry)?;
                continue;
            }
            self.count_element()?;
            self.out.push(b',');
            let printed = match field.kind {
                Kind::Message | Kind::Group => {
                    self.message(self.schema.message_of(field), entry.place(), depth).map(|()| true)
                }
                _ => self.single(field, entry),
            };
            match printed {
                Ok(true) => index += 1,
                Ok(false) => self.out.truncate(self.out.len() - 1),
                Err(error) => return Err(error.in_index(index)),
            }
        }
        let any = self.out.len() > start;
        self.close(start, b'[', b']');
        Ok(any)
    }

    /// One more element or entry; they are counted over the whole message.
    #[inline]
    fn count_element(&mut self) -> Result<()> {
        let Some(left) = self.elements.checked_sub(1) else { return Err(too_many(self.options)) };
        self.elements = left;
        self.check_output()
    }

    #[inline]
    fn check_output(&self) -> Result<()> {
        if self.out.len() > self.end { Err(self.too_long()) } else { Ok(()) }
    }

    #[cold]
    fn too_long(&self) -> TranscodeError {
        let text = format!("the JSON would be longer than {} bytes", self.options.output_bytes);
        TranscodeError::new(ErrorKind::Upstream, text)
    }

    fn cursor(&self, start: usize, end: usize) -> Cursor<'a> {
        Cursor::over(self.wire, start, end)
    }

    /// Fields that the message does not have, as [`Options::defaults`] says.
    fn defaults(&mut self, fields: &[Field]) {
        let nulls = self.options.defaults == Defaults::PrintNull;
        for field in fields {
            if field.shape != Shape::Explicit {
                self.put_key(field);
                self.default_value(field);
            } else if nulls && field.nullable {
                self.put_key(field);
                self.out.extend_from_slice(b"null");
            }
        }
    }

    fn default_value(&mut self, field: &Field) {
        let text: &[u8] = match (field.shape, field.kind) {
            (Shape::Repeated, _) => b"[]",
            (Shape::Map, _) => b"{}",
            (_, Kind::String | Kind::Bytes) => b"\"\"",
            (_, Kind::Enum) => {
                let default = self.schema.enum_of(field).default;
                return self.put_number(field, i64::from(default).cast_unsigned());
            }
            _ => return self.put_number(field, 0),
        };
        self.out.extend_from_slice(text);
    }
}

/// Takes one level of nesting; gives those that are left.
fn level(depth: u32) -> Result<u32> {
    depth
        .checked_sub(1)
        .ok_or_else(|| TranscodeError::new(ErrorKind::Upstream, "the message is nested too deep"))
}

#[cold]
fn too_many(options: &Options) -> TranscodeError {
    let what = format!("the message has more than {} elements", options.elements);
    TranscodeError::new(ErrorKind::Upstream, what)
}

impl From<WireError> for TranscodeError {
    #[cold]
    fn from(error: WireError) -> Self {
        TranscodeError::at(ErrorKind::Upstream, error.at, error.what)
    }
}
