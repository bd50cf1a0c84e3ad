//! Messages whose JSON form is not an object of their fields.

use super::{Encoder, Result};
use crate::error::ErrorKind;
use crate::json::Text;
use crate::schema::{Message, WellKnown};
use crate::wire::{close_len, open_len, put_tag, put_varint, wire_type};
use crate::wkt::{duration, field_mask, timestamp};

impl<'s> Encoder<'s, '_> {
    /// Their field numbers are fixed; the compiler of the schema has checked the shapes of those whose fields are used.
    pub(super) fn well_known(&mut self, kind: WellKnown, message: &'s Message, depth: u32) -> Result<()> {
        match (kind, message.fields.first()) {
            (WellKnown::Any, _) => self.any(depth),
            (WellKnown::Timestamp, _) => {
                self.seconds("an RFC 3339 timestamp such as \"2024-01-31T12:00:00Z\"", timestamp::parse)
            }
            (WellKnown::Duration, _) => self.seconds("a duration such as \"1.5s\"", duration::parse),
            (WellKnown::FieldMask, _) => self.field_mask(),
            (WellKnown::Value, _) => self.value(message, depth),
            (WellKnown::Struct, Some(fields)) => self.map(fields, depth),
            (WellKnown::ListValue, Some(values)) => self.list(values, depth),
            (WellKnown::Wrapper(_), Some(value)) => self.tagged(value, true, depth).map(drop),
            (_, None) => Ok(()),
        }
    }

    /// Timestamp and Duration: `seconds = 1`, `nanos = 2`.
    fn seconds(&mut self, expected: &'static str, parse: fn(&[u8]) -> Option<(i64, i32)>) -> Result<()> {
        let text = self.string_value(expected)?;
        match parse(text.value(&mut self.scratch.text)?) {
            Some((seconds, nanos)) => {
                put_seconds(&mut self.out, seconds, nanos, false);
                Ok(())
            }
            None => Err(self.reader.mismatch(ErrorKind::Value, text.at - 1, expected)),
        }
    }

    fn field_mask(&mut self) -> Result<()> {
        const EXPECTED: &str = "a field mask such as \"a,b.c\"";
        let text = self.string_value(EXPECTED)?;
        if !put_field_mask(&mut self.out, text.value(&mut self.scratch.text)?) {
            return Err(self.reader.mismatch(ErrorKind::Value, text.at - 1, EXPECTED));
        }
        Ok(())
    }

    /// `google.protobuf.Value`: any JSON at all.
    fn value(&mut self, message: &'s Message, depth: u32) -> Result<()> {
        match self.reader.peek() {
            b'n' => {
                self.reader.literal("null")?;
                self.out.extend_from_slice(&[1 << 3, 0]);
            }
            b't' => {
                self.reader.literal("true")?;
                self.out.extend_from_slice(&[4 << 3, 1]);
            }
            b'f' => {
                self.reader.literal("false")?;
                self.out.extend_from_slice(&[4 << 3, 0]);
            }
            b'"' => {
                let text: Text<'_> = self.reader.string()?;
                put_tag(&mut self.out, 3, wire_type::LEN);
                self.put_text(text)?;
            }
            b'{' | b'[' => return self.nested_value(message, depth),
            b'-' | b'0'..=b'9' => {
                let number = self.double()?;
                put_tag(&mut self.out, 2, wire_type::FIXED64);
                self.out.extend_from_slice(&number.to_le_bytes());
            }
            _ => return Err(self.reader.unexpected("a value")),
        }
        Ok(())
    }

    /// `struct_value = 5` or `list_value = 6`.
    fn nested_value(&mut self, message: &'s Message, depth: u32) -> Result<()> {
        let number = if self.reader.peek() == b'{' { 5 } else { 6 };
        let Some((_, field)) = message.by_number(number) else { return Ok(()) };
        put_varint(&mut self.out, u64::from(field.tag));
        let start = open_len(&mut self.out);
        self.message_value(self.schema.message_of(field), depth)?;
        close_len(&mut self.out, start);
        Ok(())
    }
}

/// Appends the fields of a Timestamp or Duration; `explicit` writes zeros too.
pub(crate) fn put_seconds(out: &mut Vec<u8>, seconds: i64, nanos: i32, explicit: bool) {
    for (number, value) in [(1, seconds), (2, i64::from(nanos))] {
        if explicit || value != 0 {
            put_tag(out, number, wire_type::VARINT);
            put_varint(out, value.cast_unsigned());
        }
    }
}

/// Appends the paths of a FieldMask; false when one of them is none.
fn put_field_mask(out: &mut Vec<u8>, text: &[u8]) -> bool {
    if text.is_empty() {
        return true;
    }
    text.split(|&byte| byte == b',').all(|path| {
        put_tag(out, 1, wire_type::LEN);
        let start = open_len(out);
        let ok = field_mask::to_snake(path, out);
        close_len(out, start);
        ok
    })
}
