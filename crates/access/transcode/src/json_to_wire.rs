//! JSON to protobuf wire bytes, streamed: each token becomes bytes as it is read, and no message object is built.

mod any;
mod list;
mod map;
mod scalar;
mod seen;
mod well_known;

use crate::error::{ErrorKind, TranscodeError, shown_name};
use crate::json::{Reader, Text};
use crate::options::Options;
use crate::schema::{Field, Kind, Message, NO_ONEOF, Schema, Shape, WellKnown};
use crate::wire::{close_len, open_len, put_tag, put_varint, wire_type};

use map::KeySpan;
pub(crate) use scalar::{article, integer_bits, put_numeric};
use seen::Seen;
pub(crate) use well_known::put_seconds;

pub(crate) type Result<T> = std::result::Result<T, TranscodeError>;

/// Bytes that may be read ahead for `@type` keys that do not come first, in one message. Nested ones would otherwise
/// make the work quadratic.
const LOOK_AHEAD: usize = 1 << 20;

/// Memory that is kept from message to message.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// A string whose escapes were undone.
    text: Vec<u8>,
    /// Fields seen, beyond those that fit a register; a stack over the open objects.
    seen: Vec<u64>,
    /// Keys of the open maps, a stack.
    keys: Vec<KeySpan>,
}

/// Reads one JSON text and writes one message.
pub(crate) struct Encoder<'s, 'a> {
    schema: &'s Schema,
    options: &'s Options,
    reader: Reader<'a>,
    /// The caller's buffer, taken for the time of the call: one indirection less at every byte.
    pub(crate) out: Vec<u8>,
    scratch: &'s mut Scratch,
    elements: u32,
    look_ahead: usize,
    /// Where `out` may grow to.
    end: usize,
}

impl<'s, 'a> Encoder<'s, 'a> {
    /// `out` is what the message is appended to.
    pub(crate) fn new(
        (schema, options): (&'s Schema, &'s Options),
        reader: Reader<'a>,
        scratch: &'s mut Scratch,
        out: Vec<u8>,
    ) -> Self {
        scratch.seen.clear();
        scratch.keys.clear();
        let (elements, look_ahead) = (options.elements, LOOK_AHEAD);
        let end = out.len().saturating_add(options.output_bytes);
        Encoder { schema, options, reader, out, scratch, elements, look_ahead, end }
    }

    /// The whole text is the message.
    pub(crate) fn document(&mut self, message: &'s Message) -> Result<()> {
        self.message_value(message, self.options.depth())?;
        self.reader.end()?;
        self.check_output()
    }

    /// The whole text is the field at the end of `steps` (`body: "field"`). `null` writes nothing.
    pub(crate) fn field_document(&mut self, message: &'s Message, steps: &[u16]) -> Result<()> {
        self.inside(message, steps)?;
        self.reader.end()?;
        self.check_output()
    }

    /// False when the value was an absent one, so that the messages on the way are not there either.
    fn inside(&mut self, message: &'s Message, steps: &[u16]) -> Result<bool> {
        let Some((&step, rest)) = steps.split_first() else { return Ok(false) };
        let Some(field) = message.fields.get(usize::from(step)) else { return Ok(false) };
        let before = self.out.len();
        let done = if rest.is_empty() {
            let null = self.reader.peek() == b'n';
            let mut seen = Seen::new(self.scratch.seen.len());
            let done = self.field(message, field, &mut seen, self.options.depth());
            done.map(|()| !null || self.out.len() > before)
        } else {
            let start = field.open(&mut self.out);
            let done = self.inside(self.schema.message_of(field), rest);
            field.close(&mut self.out, start);
            done
        };
        if done == Ok(false) {
            self.out.truncate(before);
        }
        done.map_err(|error| error.in_field(&field.json_name))
    }

    /// The content of a message, from whatever JSON form its type has.
    fn message_value(&mut self, message: &'s Message, depth: u32) -> Result<()> {
        match message.well_known {
            None => self.object(message, depth, false),
            Some(kind) => self.well_known(kind, message, depth),
        }
    }

    /// An object with the fields of `message`. In an `Any`, an `@type` among them is passed over.
    fn object(&mut self, message: &'s Message, depth: u32, in_any: bool) -> Result<()> {
        let depth = self.open(b'{', "an object", depth)?;
        if self.reader.take(b'}') {
            return Ok(());
        }
        let mut seen = Seen::new(self.scratch.seen.len());
        let mut next = 0;
        loop {
            match self.key(message, next, in_any)? {
                Key::Field(index, field) => {
                    next = index + 1;
                    if !seen.insert(index, &mut self.scratch.seen) {
                        return Err(self.duplicate("the field is there twice").in_field(&field.json_name));
                    }
                    let done = self.field(message, field, &mut seen, depth);
                    done.map_err(|error| error.in_field(&field.json_name))?;
                }
                Key::AnyType => {
                    let index = message.fields.len() + message.oneofs.len();
                    if !seen.insert(index, &mut self.scratch.seen) {
                        return Err(self.duplicate("the field is there twice").in_field("@type"));
                    }
                    self.reader.skip_value(depth, &mut self.scratch.text)?;
                }
                // `{}`, and nothing else; where nothing is written, twice is as good as once.
                Key::EmptyValue => self.object(message, depth, false)?,
                Key::Ignored => self.reader.skip_value(depth, &mut self.scratch.text)?,
            }
            if !self.reader.more(b'}')? {
                break;
            }
        }
        seen.close(&mut self.scratch.seen);
        Ok(())
    }

    /// Takes the opening bracket of one level of nesting; gives the levels that are left.
    #[inline]
    fn open(&mut self, bracket: u8, expected: &str, depth: u32) -> Result<u32> {
        if self.reader.peek() != bracket {
            return Err(self.wrong_type(expected));
        }
        match depth.checked_sub(1) {
            Some(depth) => {
                self.reader.pos += 1;
                Ok(depth)
            }
            None => Err(self.reader.too_deep()),
        }
    }

    /// Takes a key and its colon. Clients mostly write fields in the order of the message, so the one after the last
    /// is tried first, without looking for the end of the key.
    #[inline]
    fn key(&mut self, message: &'s Message, next: usize, in_any: bool) -> Result<Key<'s>> {
        self.reader.peek();
        if let Some(field) = message.fields.get(next)
            && self.reader.take_name(&field.json_key)
        {
            self.reader.colon()?;
            return Ok(Key::Field(next, field));
        }
        self.any_key(message, in_any)
    }

    fn any_key(&mut self, message: &'s Message, in_any: bool) -> Result<Key<'s>> {
        if self.reader.peek() != b'"' {
            return Err(self.reader.unexpected("a field name in quotes"));
        }
        let text = self.reader.string()?;
        let name = text.value(&mut self.scratch.text)?;
        let key = match message.by_name(name) {
            Some((index, field)) => Key::Field(index, field),
            None if in_any && name == b"@type" => Key::AnyType,
            None if in_any && name == b"value" && &*message.full_name == EMPTY => Key::EmptyValue,
            None if self.options.ignore_unknown => Key::Ignored,
            None => {
                let error = TranscodeError::at(ErrorKind::Unknown, text.at, unknown(message));
                return Err(error.in_field(&shown_name(name)));
            }
        };
        self.reader.colon()?;
        Ok(key)
    }

    /// The value of a field, whose key was taken.
    fn field(&mut self, message: &Message, field: &'s Field, seen: &mut Seen, depth: u32) -> Result<()> {
        if self.reader.peek() == b'n' && (field.is_repeated() || !self.takes_null(field)) {
            return self.reader.literal("null");
        }
        if field.oneof != NO_ONEOF {
            let oneof = usize::from(field.oneof);
            if !seen.insert(message.fields.len() + oneof, &mut self.scratch.seen) {
                let name = message.oneofs.get(oneof).map_or("", |name| name);
                return Err(self.duplicate(&format!("another field of the oneof {name} is there already")));
            }
        }
        match field.shape {
            Shape::Repeated => self.list(field, depth),
            Shape::Map => self.map(field, depth),
            Shape::Implicit => self.tagged(field, true, depth).map(drop),
            Shape::Explicit if message.is_message_set => self.message_set_item(field, depth),
            Shape::Explicit => self.tagged(field, false, depth).map(drop),
        }
    }

    /// Whether `null` is a value of this type, not its absence.
    fn takes_null(&self, field: &Field) -> bool {
        match field.kind {
            Kind::Message => self.schema.message_of(field).well_known == Some(WellKnown::Value),
            Kind::Enum => self.schema.enum_of(field).null_value,
            _ => false,
        }
    }

    /// Tag and value of one occurrence of a field. `implicit`: a default value need not be written. False when nothing
    /// was written because the value was an enum name to ignore.
    fn tagged(&mut self, field: &'s Field, implicit: bool, depth: u32) -> Result<bool> {
        match field.kind {
            Kind::String => {
                let text = self.string_value("a string")?;
                if !(implicit && text.raw.is_empty()) {
                    put_varint(&mut self.out, u64::from(field.tag));
                    self.put_text(text)?;
                }
            }
            Kind::Bytes => self.tagged_bytes(field, implicit)?,
            Kind::Message => {
                put_varint(&mut self.out, u64::from(field.tag));
                let start = open_len(&mut self.out);
                self.message_value(self.schema.message_of(field), depth)?;
                close_len(&mut self.out, start);
            }
            Kind::Group => {
                put_varint(&mut self.out, u64::from(field.tag));
                self.message_value(self.schema.message_of(field), depth)?;
                // The end tag differs from the start tag by one.
                put_varint(&mut self.out, u64::from(field.tag) + 1);
            }
            _ => {
                let Some(bits) = self.numeric(field)? else { return Ok(false) };
                if !(implicit && bits == 0) {
                    put_varint(&mut self.out, u64::from(field.tag & !7 | u32::from(field.kind.wire_type())));
                    scalar::put_numeric(&mut self.out, field.kind, bits);
                }
            }
        }
        Ok(true)
    }

    /// An extension of a message with `option message_set_wire_format`: `group Item = 1 { int32 type_id = 2; bytes
    /// message = 3; }`.
    #[cold]
    fn message_set_item(&mut self, field: &'s Field, depth: u32) -> Result<()> {
        put_tag(&mut self.out, 1, wire_type::GROUP_START);
        put_tag(&mut self.out, 2, wire_type::VARINT);
        put_varint(&mut self.out, u64::from(field.number));
        put_tag(&mut self.out, 3, wire_type::LEN);
        let start = open_len(&mut self.out);
        self.message_value(self.schema.message_of(field), depth)?;
        close_len(&mut self.out, start);
        put_tag(&mut self.out, 1, wire_type::GROUP_END);
        Ok(())
    }

    /// One more element or entry; they are counted over the whole message.
    #[inline]
    fn count_element(&mut self) -> Result<()> {
        let Some(left) = self.elements.checked_sub(1) else {
            let what = format!("the JSON has more than {} elements", self.options.elements);
            return Err(TranscodeError::at(ErrorKind::Limit, self.reader.pos, what));
        };
        self.elements = left;
        self.check_output()
    }

    /// Only elements can be much larger as protobuf than as JSON, so it is enough to look at each of them, and at the
    /// end.
    #[inline]
    fn check_output(&self) -> Result<()> {
        if self.out.len() > self.end {
            let what = format!("the message would be larger than {} bytes", self.options.output_bytes);
            return Err(TranscodeError::at(ErrorKind::Limit, self.reader.pos, what));
        }
        Ok(())
    }

    /// Takes a string, or says that something else was expected.
    #[inline]
    fn string_value(&mut self, expected: &str) -> Result<Text<'a>> {
        if self.reader.peek() == b'"' { self.reader.string() } else { Err(self.wrong_type(expected)) }
    }

    /// The next value has the wrong type; or there is none, or no JSON at all, which is said instead.
    #[cold]
    fn wrong_type(&mut self, expected: &str) -> TranscodeError {
        let at = {
            self.reader.peek();
            self.reader.pos
        };
        let mut ahead = self.reader;
        match ahead.skip_value(1, &mut self.scratch.text) {
            Err(error) if error.kind() == ErrorKind::Syntax => error,
            _ => self.reader.mismatch(ErrorKind::Value, at, expected),
        }
    }

    #[cold]
    fn duplicate(&self, what: &str) -> TranscodeError {
        TranscodeError::at(ErrorKind::Duplicate, self.reader.pos, what)
    }
}

/// Within an `Any` some write it as an object without fields (C++, Java), some as a well-known type with its `"value"` (Go).
/// Both are read.
const EMPTY: &str = "google.protobuf.Empty";

/// What a key stands for.
enum Key<'s> {
    Field(usize, &'s Field),
    /// `@type` in an `Any`.
    AnyType,
    /// `"value"` beside it, where the type is [`EMPTY`].
    EmptyValue,
    Ignored,
}

fn unknown(message: &Message) -> String {
    format!("{} has no such field", message.full_name)
}
