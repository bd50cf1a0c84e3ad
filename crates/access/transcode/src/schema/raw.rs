//! `google/protobuf/descriptor.proto`, read by hand: only the fields that transcoding needs, borrowed from the bytes.

use super::SchemaError;
use super::features::FeatureSet;
use super::http_rule::{self, HttpRule};
use crate::wire::{Cursor, wire_type};

type Result<T> = std::result::Result<T, SchemaError>;

/// Nesting of message declarations and of groups in options.
const MAX_DEPTH: u32 = 64;

/// One field's value, as the wire has it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Raw<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Raw::Bytes(bytes) => Ok(bytes),
            _ => Err(SchemaError::Malformed { what: "a field has the wrong wire type", at: 0 }),
        }
    }

    pub(super) fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|error| SchemaError::Malformed { what: "a name is not UTF-8", at: error.valid_up_to() })
    }

    pub(super) fn number(self) -> Result<u64> {
        match self {
            Raw::Number(number) => Ok(number),
            _ => Err(SchemaError::Malformed { what: "a field has the wrong wire type", at: 0 }),
        }
    }

    /// An `int32` or an enum; negative ones are sign-extended on the wire.
    pub(super) fn int(self) -> Result<i32> {
        Ok(self.number()? as i32)
    }

    pub(super) fn flag(self) -> Result<bool> {
        Ok(self.number()? != 0)
    }
}

/// Calls `visit` for every field of a message.
pub(super) fn each_field<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(u32, Raw<'a>) -> Result<()>,
) -> Result<()> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.at_end() {
        let (number, wire) = cursor.tag()?;
        let raw = match wire {
            wire_type::VARINT => Raw::Number(cursor.varint()?),
            wire_type::LEN => Raw::Bytes(cursor.len_bytes()?),
            _ => {
                cursor.skip(number, wire, MAX_DEPTH)?;
                Raw::Other
            }
        };
        visit(number, raw)?;
    }
    Ok(())
}

/// The fields of a file but for its `source_code_info`, which says where things stood, and the comments beside them.
pub(super) fn without_comments(file: &[u8]) -> Result<Vec<&[u8]>> {
    let mut cursor = Cursor::new(file);
    let mut fields = Vec::new();
    while !cursor.at_end() {
        let start = cursor.pos;
        let (number, wire) = cursor.tag()?;
        cursor.skip(number, wire, MAX_DEPTH)?;
        if number != 9 {
            fields.push(file.get(start..cursor.pos).unwrap_or_default());
        }
    }
    Ok(fields)
}

#[derive(Debug, Default)]
pub(super) struct File<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) name: &'a str,
    pub(super) package: &'a str,
    pub(super) messages: Vec<Message<'a>>,
    pub(super) enums: Vec<Enum<'a>>,
    pub(super) services: Vec<Service<'a>>,
    pub(super) extensions: Vec<Field<'a>>,
    pub(super) syntax: &'a str,
    pub(super) edition: i32,
    pub(super) features: FeatureSet,
}

#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub(super) name: &'a str,
    pub(super) fields: Vec<Field<'a>>,
    pub(super) messages: Vec<Message<'a>>,
    pub(super) enums: Vec<Enum<'a>>,
    pub(super) extensions: Vec<Field<'a>>,
    pub(super) oneofs: Vec<&'a str>,
    pub(super) map_entry: bool,
    pub(super) is_message_set: bool,
    /// `deprecated_legacy_json_field_conflicts`
    pub(super) json_conflicts: bool,
    pub(super) features: FeatureSet,
}

#[derive(Debug, Default)]
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) extendee: &'a str,
    pub(super) number: i32,
    pub(super) label: i32,
    pub(super) kind: i32,
    pub(super) type_name: &'a str,
    pub(super) json_name: Option<&'a str>,
    pub(super) oneof: Option<i32>,
    pub(super) proto3_optional: bool,
    pub(super) packed: Option<bool>,
    pub(super) features: FeatureSet,
}

#[derive(Debug, Default)]
pub(super) struct Enum<'a> {
    pub(super) name: &'a str,
    pub(super) values: Vec<(&'a str, i32)>,
    pub(super) features: FeatureSet,
}

#[derive(Debug, Default)]
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) methods: Vec<Method<'a>>,
}

#[derive(Debug, Default)]
pub(super) struct Method<'a> {
    pub(super) name: &'a str,
    pub(super) input: &'a str,
    pub(super) output: &'a str,
    pub(super) client_streaming: bool,
    pub(super) server_streaming: bool,
    pub(super) idempotent: bool,
    pub(super) http: Option<HttpRule>,
}

/// Reads a `FileDescriptorSet`.
pub(super) fn files(set: &[u8]) -> Result<Vec<File<'_>>> {
    let mut files = Vec::new();
    each_field(set, |number, raw| {
        if number == 1 {
            files.push(File::read(raw.bytes()?)?);
        }
        Ok(())
    })?;
    Ok(files)
}

impl<'a> File<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut file = File { bytes, ..File::default() };
        each_field(bytes, |number, raw| {
            match number {
                1 => file.name = raw.text()?,
                2 => file.package = raw.text()?,
                4 => file.messages.push(Message::read(raw.bytes()?, MAX_DEPTH)?),
                5 => file.enums.push(Enum::read(raw.bytes()?)?),
                6 => file.services.push(Service::read(raw.bytes()?)?),
                7 => file.extensions.push(Field::read(raw.bytes()?)?),
                8 => file.features.read_from_options(raw.bytes()?, 50)?,
                12 => file.syntax = raw.text()?,
                14 => file.edition = raw.int()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(file)
    }
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8], depth: u32) -> Result<Self> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(SchemaError::Malformed {
                what: "messages are declared too deep in each other",
                at: 0,
            });
        };
        let mut message = Message::default();
        each_field(bytes, |number, raw| {
            match number {
                1 => message.name = raw.text()?,
                2 => message.fields.push(Field::read(raw.bytes()?)?),
                3 => message.messages.push(Message::read(raw.bytes()?, depth)?),
                4 => message.enums.push(Enum::read(raw.bytes()?)?),
                6 => message.extensions.push(Field::read(raw.bytes()?)?),
                7 => message.read_options(raw.bytes()?)?,
                8 => message.oneofs.push(read_oneof(raw.bytes()?)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(message)
    }

    fn read_options(&mut self, bytes: &[u8]) -> Result<()> {
        self.features.read_from_options(bytes, 12)?;
        each_field(bytes, |number, raw| {
            match number {
                1 => self.is_message_set = raw.flag()?,
                7 => self.map_entry = raw.flag()?,
                11 => self.json_conflicts = raw.flag()?,
                _ => {}
            }
            Ok(())
        })
    }
}

/// The name; a oneof's features touch nothing that JSON or the wire show.
fn read_oneof(bytes: &[u8]) -> Result<&str> {
    let mut name = "";
    each_field(bytes, |number, raw| {
        if number == 1 {
            name = raw.text()?;
        }
        Ok(())
    })?;
    Ok(name)
}

impl<'a> Field<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut field = Field::default();
        each_field(bytes, |number, raw| {
            match number {
                1 => field.name = raw.text()?,
                2 => field.extendee = raw.text()?,
                3 => field.number = raw.int()?,
                4 => field.label = raw.int()?,
                5 => field.kind = raw.int()?,
                6 => field.type_name = raw.text()?,
                8 => field.read_options(raw.bytes()?)?,
                9 => field.oneof = Some(raw.int()?),
                10 => field.json_name = Some(raw.text()?),
                17 => field.proto3_optional = raw.flag()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(field)
    }

    fn read_options(&mut self, bytes: &[u8]) -> Result<()> {
        self.features.read_from_options(bytes, 21)?;
        each_field(bytes, |number, raw| {
            if number == 2 {
                self.packed = Some(raw.flag()?);
            }
            Ok(())
        })
    }
}

impl<'a> Enum<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut this = Enum::default();
        each_field(bytes, |number, raw| {
            match number {
                1 => this.name = raw.text()?,
                2 => this.values.push(read_enum_value(raw.bytes()?)?),
                3 => this.features.read_from_options(raw.bytes()?, 7)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(this)
    }
}

fn read_enum_value(bytes: &[u8]) -> Result<(&str, i32)> {
    let mut value = ("", 0);
    each_field(bytes, |number, raw| {
        match number {
            1 => value.0 = raw.text()?,
            2 => value.1 = raw.int()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(value)
}

impl<'a> Service<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut service = Service::default();
        each_field(bytes, |number, raw| {
            match number {
                1 => service.name = raw.text()?,
                2 => service.methods.push(Method::read(raw.bytes()?)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(service)
    }
}

/// `MethodOptions.idempotency_level`: `NO_SIDE_EFFECTS` or `IDEMPOTENT`. Parts of split options come one after the other.
fn is_idempotent(options: &[u8]) -> Result<bool> {
    let mut idempotent = false;
    each_field(options, |number, raw| {
        if number == 34 {
            idempotent = matches!(raw.int()?, 1 | 2);
        }
        Ok(())
    })?;
    Ok(idempotent)
}

impl<'a> Method<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut method = Method::default();
        each_field(bytes, |number, raw| {
            match number {
                1 => method.name = raw.text()?,
                2 => method.input = raw.text()?,
                3 => method.output = raw.text()?,
                4 => {
                    method.http = http_rule::from_options(raw.bytes()?)?;
                    method.idempotent = is_idempotent(raw.bytes()?)?;
                }
                5 => method.client_streaming = raw.flag()?,
                6 => method.server_streaming = raw.flag()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(method)
    }
}
