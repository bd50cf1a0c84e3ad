//! The compiled tables: what the transcoder looks at for every field of every message, so flat and small.

use super::index::{NameIndex, NumberIndex};
use super::key::Key;
use crate::wire::{close_len, open_len, put_varint, wire_type};

/// A field type of descriptor.proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    UInt32,
    UInt64,
    SInt32,
    SInt64,
    Fixed32,
    Fixed64,
    SFixed32,
    SFixed64,
    Bool,
    String,
    Bytes,
    Enum,
    Message,
    Group,
}

impl Kind {
    /// The kind of `FieldDescriptorProto.Type`.
    pub(super) fn from_number(number: i32) -> Option<Kind> {
        const BY_NUMBER: [Kind; 18] = [
            Kind::Double,
            Kind::Float,
            Kind::Int64,
            Kind::UInt64,
            Kind::Int32,
            Kind::Fixed64,
            Kind::Fixed32,
            Kind::Bool,
            Kind::String,
            Kind::Group,
            Kind::Message,
            Kind::Bytes,
            Kind::UInt32,
            Kind::Enum,
            Kind::SFixed32,
            Kind::SFixed64,
            Kind::SInt32,
            Kind::SInt64,
        ];
        usize::try_from(number).ok()?.checked_sub(1).and_then(|index| BY_NUMBER.get(index).copied())
    }

    /// The wire type of one value.
    pub(crate) fn wire_type(self) -> u8 {
        match self {
            Kind::Double | Kind::Fixed64 | Kind::SFixed64 => wire_type::FIXED64,
            Kind::Float | Kind::Fixed32 | Kind::SFixed32 => wire_type::FIXED32,
            Kind::String | Kind::Bytes | Kind::Message => wire_type::LEN,
            Kind::Group => wire_type::GROUP_START,
            _ => wire_type::VARINT,
        }
    }

    /// Whether repeated values of it may be packed.
    pub(crate) fn packable(self) -> bool {
        !matches!(self, Kind::String | Kind::Bytes | Kind::Message | Kind::Group)
    }
}

/// How often a field occurs, and whether its absence can be told from its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// At most once; zero and absent are one.
    Implicit,
    /// At most once; presence is tracked.
    Explicit,
    /// Any number of times.
    Repeated,
    /// Any number of times; the type is a map entry.
    Map,
}

/// Messages that proto3 JSON writes in a form of their own. Read and written by their fixed field numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WellKnown {
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    /// The wrappers; the kind of their `value = 1`.
    Wrapper(Kind),
}

impl WellKnown {
    pub(super) fn of(full_name: &str) -> Option<WellKnown> {
        Some(match full_name.strip_prefix("google.protobuf.")? {
            "Any" => WellKnown::Any,
            "Timestamp" => WellKnown::Timestamp,
            "Duration" => WellKnown::Duration,
            "FieldMask" => WellKnown::FieldMask,
            "Struct" => WellKnown::Struct,
            "Value" => WellKnown::Value,
            "ListValue" => WellKnown::ListValue,
            "DoubleValue" => WellKnown::Wrapper(Kind::Double),
            "FloatValue" => WellKnown::Wrapper(Kind::Float),
            "Int64Value" => WellKnown::Wrapper(Kind::Int64),
            "UInt64Value" => WellKnown::Wrapper(Kind::UInt64),
            "Int32Value" => WellKnown::Wrapper(Kind::Int32),
            "UInt32Value" => WellKnown::Wrapper(Kind::UInt32),
            "BoolValue" => WellKnown::Wrapper(Kind::Bool),
            "StringValue" => WellKnown::Wrapper(Kind::String),
            "BytesValue" => WellKnown::Wrapper(Kind::Bytes),
            _ => return None,
        })
    }

    /// Whether a message of that name has the fields that the transcoder relies on.
    pub(super) fn fits(self, fields: &[Field]) -> bool {
        let singular = |field: &Field, number, kind| {
            field.number == number && field.kind == kind && !field.is_repeated()
        };
        match (self, fields) {
            (WellKnown::Any, [url, value]) => {
                singular(url, 1, Kind::String) && singular(value, 2, Kind::Bytes)
            }
            (WellKnown::Timestamp | WellKnown::Duration, [seconds, nanos]) => {
                singular(seconds, 1, Kind::Int64) && singular(nanos, 2, Kind::Int32)
            }
            (WellKnown::FieldMask, [paths]) => {
                paths.number == 1 && paths.kind == Kind::String && paths.shape == Shape::Repeated
            }
            (WellKnown::Struct, [fields]) => fields.number == 1 && fields.shape == Shape::Map,
            (WellKnown::ListValue, [values]) => {
                values.number == 1 && values.kind == Kind::Message && values.shape == Shape::Repeated
            }
            (WellKnown::Value, [null, number, string, bool, object, list]) => {
                singular(null, 1, Kind::Enum)
                    && singular(number, 2, Kind::Double)
                    && singular(string, 3, Kind::String)
                    && singular(bool, 4, Kind::Bool)
                    && singular(object, 5, Kind::Message)
                    && singular(list, 6, Kind::Message)
                    && fields.iter().all(|field| field.oneof == 0)
            }
            (WellKnown::Wrapper(kind), [value]) => singular(value, 1, kind),
            _ => false,
        }
    }
}

/// [`Field::oneof`] of a field that is in none.
pub(crate) const NO_ONEOF: u16 = u16::MAX;

/// A field of a message, or an extension of it (whose names are then `[full.name]`, as JSON writes them).
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// The tag to write: of one value, or of the packed list.
    pub(crate) tag: u32,
    /// Of the message or enum, when `kind` is one.
    pub(crate) type_index: u32,
    /// Which oneof of the message; [`NO_ONEOF`] when none (the synthetic ones of `optional` do not count).
    pub(crate) oneof: u16,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    /// The wire type of one value.
    pub(crate) wire: u8,
    /// Whether repeated values are written packed.
    pub(crate) packed: bool,
    /// Whether a message without it is refused (proto2 `required`, `LEGACY_REQUIRED`).
    pub(crate) required: bool,
    /// Whether `null` can stand for its absence in what is printed: presence is tracked, it is in no oneof (`optional`
    /// of proto3 is one), and no extension.
    pub(crate) nullable: bool,
    /// The JSON name, ready to be compared and printed; and the proto name.
    pub(crate) json_key: Key,
    pub(crate) proto_key: Key,
    pub(crate) name: Box<str>,
    pub(crate) json_name: Box<str>,
}

impl Field {
    pub(crate) fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message | Kind::Group)
    }

    /// Whether a value of this wire type is a run of the field's values.
    pub(crate) fn accepts(&self, wire: u8) -> bool {
        wire == wire_type::LEN && self.shape == Shape::Repeated && self.kind.packable()
    }

    pub(crate) fn is_repeated(&self) -> bool {
        matches!(self.shape, Shape::Repeated | Shape::Map)
    }

    /// Writes the start of a submessage of this field; gives the start of its content.
    #[inline]
    pub(crate) fn open(&self, out: &mut Vec<u8>) -> usize {
        put_varint(out, u64::from(self.tag));
        if self.kind == Kind::Group { out.len() } else { open_len(out) }
    }

    /// Closes what [`Field::open`] opened.
    #[inline]
    pub(crate) fn close(&self, out: &mut Vec<u8>, start: usize) {
        if self.kind == Kind::Group {
            // The end tag differs from the start tag by one.
            put_varint(out, u64::from(self.tag) + 1);
        } else {
            close_len(out, start);
        }
    }
}

/// A message type.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) full_name: Box<str>,
    /// By ascending number.
    pub(crate) fields: Box<[Field]>,
    pub(crate) numbers: NumberIndex,
    pub(crate) names: NameIndex,
    /// Names of the real oneofs.
    pub(crate) oneofs: Box<[Box<str>]>,
    pub(crate) well_known: Option<WellKnown>,
    /// `option message_set_wire_format`: extensions lie in items of a group.
    pub(crate) is_message_set: bool,
    /// Whether it or a message that it can hold has a required field.
    pub(crate) reaches_required: bool,
}

impl Message {
    #[inline]
    pub(crate) fn by_number(&self, number: u32) -> Option<(usize, &Field)> {
        let index = self.numbers.get(number)?;
        Some((index, self.fields.get(index)?))
    }

    /// By JSON name or proto name.
    #[inline]
    pub(crate) fn by_name(&self, name: &[u8]) -> Option<(usize, &Field)> {
        let index = self.names.get(name)? as usize;
        Some((index, self.fields.get(index)?))
    }
}

/// An enum type.
#[derive(Debug)]
pub(crate) struct Enum {
    pub(crate) full_name: Box<str>,
    /// Distinct numbers, ascending, with the first name each was declared with, quoted for JSON.
    pub(crate) values: Box<[(i32, Box<[u8]>)]>,
    numbers: NumberIndex,
    names: NameIndex,
    pub(crate) closed: bool,
    /// The default: the value declared first, which of a closed enum need not be 0.
    pub(crate) default: i32,
    /// `google.protobuf.NullValue`, written `null`.
    pub(crate) null_value: bool,
}

impl Enum {
    pub(super) fn new(full_name: &str, declared: &[(&str, i32)], closed: bool) -> Enum {
        let mut values: Vec<(i32, Box<[u8]>)> = declared
            .iter()
            .map(|&(name, number)| (number, format!("\"{name}\"").into_bytes().into()))
            .collect();
        // Stable: of several aliases the first declared stays first.
        values.sort_by_key(|value| value.0);
        values.dedup_by_key(|value| value.0);
        Enum {
            full_name: full_name.into(),
            numbers: NumberIndex::new(values.iter().map(|value| value.0.cast_unsigned())),
            names: NameIndex::new(declared.iter().map(|&(name, number)| (name, number.cast_unsigned()))),
            values: values.into(),
            closed,
            default: declared.first().map_or(0, |value| value.1),
            null_value: full_name == "google.protobuf.NullValue",
        }
    }

    /// The quoted name of a number.
    #[inline]
    pub(crate) fn quoted_name(&self, number: i32) -> Option<&[u8]> {
        self.values.get(self.numbers.get(number.cast_unsigned())?).map(|value| &*value.1)
    }

    #[inline]
    pub(crate) fn number(&self, name: &[u8]) -> Option<i32> {
        self.names.get(name).map(u32::cast_signed)
    }
}
