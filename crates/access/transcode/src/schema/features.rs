//! Editions: the features of a file, message, field or enum, with proto2 and proto3 as two fixed sets of them.
//!
//! Source: <https://protobuf.dev/editions/features/>.

use super::SchemaError;
use super::raw::{File, each_field};

/// What a `FeatureSet` message says itself; `None` inherits.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct FeatureSet {
    presence: Option<i32>,
    enum_type: Option<i32>,
    repeated: Option<i32>,
    message_encoding: Option<i32>,
    json_format: Option<i32>,
}

/// The features that hold at some place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent features")]
pub(super) struct Features {
    pub(super) explicit_presence: bool,
    /// `LEGACY_REQUIRED`; proto2 says the same with a label.
    pub(super) required: bool,
    pub(super) closed_enums: bool,
    pub(super) packed: bool,
    pub(super) delimited: bool,
    /// `LEGACY_BEST_EFFORT`: JSON names need not be distinct.
    pub(super) best_effort_json: bool,
}

const PROTO2: Features = Features {
    explicit_presence: true,
    required: false,
    closed_enums: true,
    packed: false,
    delimited: false,
    best_effort_json: true,
};
const PROTO3: Features = Features {
    explicit_presence: false,
    required: false,
    closed_enums: false,
    packed: true,
    delimited: false,
    best_effort_json: false,
};
const EDITIONS: Features = Features { explicit_presence: true, ..PROTO3 };

const EDITION_PROTO2: i32 = 998;
const EDITION_PROTO3: i32 = 999;
const EDITION_2023: i32 = 1000;
const EDITION_2024: i32 = 1001;

impl FeatureSet {
    /// Reads the `FeatureSet` in field `number` of some options message.
    pub(super) fn read_from_options(&mut self, options: &[u8], number: u32) -> Result<(), SchemaError> {
        each_field(options, |found, raw| if found == number { self.read(raw.bytes()?) } else { Ok(()) })
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), SchemaError> {
        each_field(bytes, |number, raw| {
            let slot = match number {
                1 => &mut self.presence,
                2 => &mut self.enum_type,
                3 => &mut self.repeated,
                5 => &mut self.message_encoding,
                6 => &mut self.json_format,
                _ => return Ok(()),
            };
            *slot = Some(raw.int()?);
            Ok(())
        })
    }
}

impl Features {
    /// The features at the top of a file.
    pub(super) fn of_file(file: &File<'_>) -> Result<Features, SchemaError> {
        let base = match (file.syntax, file.edition) {
            ("" | "proto2", 0) | (_, EDITION_PROTO2) => PROTO2,
            ("proto3", 0) | (_, EDITION_PROTO3) => PROTO3,
            ("editions" | "", EDITION_2023 | EDITION_2024) => EDITIONS,
            (syntax, edition) => {
                return Err(SchemaError::Syntax {
                    file: file.name.to_owned(),
                    syntax: if edition == 0 { syntax.to_owned() } else { edition.to_string() },
                });
            }
        };
        Ok(base.with(file.features))
    }

    /// The features of something inside, which overrides some of them.
    pub(super) fn with(mut self, set: FeatureSet) -> Features {
        if let Some(presence) = set.presence {
            // EXPLICIT = 1, IMPLICIT = 2, LEGACY_REQUIRED = 3.
            self.explicit_presence = presence != 2;
            self.required = presence == 3;
        }
        if let Some(kind) = set.enum_type {
            self.closed_enums = kind == 2;
        }
        if let Some(repeated) = set.repeated {
            self.packed = repeated == 1;
        }
        if let Some(encoding) = set.message_encoding {
            self.delimited = encoding == 2;
        }
        if let Some(format) = set.json_format {
            // ALLOW = 1, LEGACY_BEST_EFFORT = 2.
            self.best_effort_json = format == 2;
        }
        self
    }
}
