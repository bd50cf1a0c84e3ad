//! Scalar values: wire bits to JSON text.

use super::scan::Entry;
use super::string::{escaped_len, put_utf8};
use super::{Printer, Result};
use crate::error::{ErrorKind, TranscodeError};
use crate::schema::{Field, Kind, Shape};
use crate::wire::{Cursor, wire_type};
use crate::wkt::base64;

impl<'s> Printer<'s, '_> {
    /// The last of a singular field's values; false when it is a default that is not printed.
    #[inline]
    pub(super) fn singular(&mut self, field: &'s Field, from: usize, to: usize) -> Result<bool> {
        let mut last = to - 1;
        // To a closed enum a number it does not have is an unknown field, so that an earlier one still counts.
        while last > from && self.entry(last).is_some_and(|entry| self.is_unknown_closed(field, entry.bits()))
        {
            last -= 1;
        }
        let Some(entry) = self.entry(last) else { return Ok(false) };
        let implicit = field.shape == Shape::Implicit;
        match field.kind {
            Kind::String | Kind::Bytes if implicit && entry.range().0 == entry.range().1 => Ok(false),
            Kind::String | Kind::Bytes => self.text(field, entry).map(|()| true),
            kind => {
                let bits = canonical(kind, entry.bits());
                if implicit && bits == 0 {
                    return Ok(false);
                }
                if self.is_unknown_closed(field, bits) {
                    return Ok(false);
                }
                self.put_number(field, bits);
                Ok(true)
            }
        }
    }

    /// One value of a repeated field; false when it is no value of a closed enum.
    pub(super) fn single(&mut self, field: &'s Field, entry: Entry) -> Result<bool> {
        match field.kind {
            Kind::String | Kind::Bytes => self.text(field, entry)?,
            kind => {
                let bits = canonical(kind, entry.bits());
                if self.is_unknown_closed(field, bits) {
                    return Ok(false);
                }
                self.put_number(field, bits);
            }
        }
        Ok(true)
    }

    /// The values of a packed run, each with a comma before it.
    pub(super) fn packed(&mut self, field: &'s Field, entry: Entry) -> Result<()> {
        let (start, end) = entry.range();
        let mut cursor = self.cursor(start, end);
        while !cursor.at_end() {
            let bits = canonical(field.kind, read_bits(&mut cursor, field.kind)?);
            self.count_element()?;
            if !self.is_unknown_closed(field, bits) {
                self.out.push(b',');
                self.put_number(field, bits);
            }
        }
        Ok(())
    }

    /// Whether the value is a number that a closed enum does not have, which is then counted as an unknown field.
    #[inline]
    fn is_unknown_closed(&mut self, field: &Field, bits: u64) -> bool {
        let unknown = field.kind == Kind::Enum && {
            let this = self.schema.enum_of(field);
            this.closed && this.quoted_name(bits as i32).is_none()
        };
        self.scratch.unknown += u64::from(unknown);
        unknown
    }

    #[inline]
    pub(super) fn text(&mut self, field: &Field, entry: Entry) -> Result<()> {
        let (start, end) = entry.range();
        let bytes = self.wire.get(start..end).unwrap_or_default();
        self.check_room(bytes, field.kind)?;
        if field.kind == Kind::Bytes {
            self.out.push(b'"');
            base64::encode(bytes, &mut self.out);
            self.out.push(b'"');
            return Ok(());
        }
        put_utf8(&mut self.out, bytes)
            .map_err(|at| TranscodeError::at(ErrorKind::Upstream, start + at, "the string is not UTF-8"))
    }

    /// Whether a string or bytes still fit, before they are printed: a control character becomes six bytes.
    #[inline]
    pub(super) fn check_room(&self, bytes: &[u8], kind: Kind) -> Result<()> {
        let room = self.end.saturating_sub(self.out.len());
        if bytes.len() < room / 8 {
            return Ok(());
        }
        let needed = if kind == Kind::Bytes { bytes.len().div_ceil(3) * 4 } else { escaped_len(bytes) };
        if needed > room { Err(self.too_long()) } else { Ok(()) }
    }

    /// A numeric value from its [`canonical`] bits, as JSON writes its kind.
    #[inline]
    pub(super) fn put_number(&mut self, field: &Field, bits: u64) {
        match field.kind {
            Kind::Int32 | Kind::SInt32 | Kind::SFixed32 => self.put_integer(bits as i32),
            Kind::UInt32 | Kind::Fixed32 => self.put_integer(bits as u32),
            Kind::Int64 | Kind::SInt64 | Kind::SFixed64 => self.put_quoted(bits.cast_signed()),
            Kind::UInt64 | Kind::Fixed64 => self.put_quoted(bits),
            Kind::Bool => self.out.extend_from_slice(if bits == 0 { b"false" } else { b"true" }),
            Kind::Enum => self.put_enum(field, bits as i32),
            Kind::Float => {
                let value = f32::from_bits(bits as u32);
                let mut buffer = zmij::Buffer::new();
                let text = if value.is_finite() { buffer.format_finite(value) } else { "" };
                self.put_float(text, f64::from(value));
            }
            Kind::Double => {
                let value = f64::from_bits(bits);
                let mut buffer = zmij::Buffer::new();
                let text = if value.is_finite() { buffer.format_finite(value) } else { "" };
                self.put_float(text, value);
            }
            Kind::String | Kind::Bytes | Kind::Message | Kind::Group => {}
        }
    }

    #[inline]
    fn put_integer(&mut self, value: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// 64-bit integers are strings: a JavaScript number would lose their low bits.
    #[inline]
    fn put_quoted(&mut self, value: impl itoa::Integer) {
        self.out.push(b'"');
        self.put_integer(value);
        self.out.push(b'"');
    }

    fn put_enum(&mut self, field: &Field, number: i32) {
        let this = self.schema.enum_of(field);
        if this.null_value {
            self.out.extend_from_slice(b"null");
            return;
        }
        match this.quoted_name(number) {
            Some(name) if !self.options.enum_numbers => self.out.extend_from_slice(name),
            _ => self.put_integer(number),
        }
    }

    /// `text` is the shortest form; a `.0` at its end is left out, as protobuf writes whole numbers.
    fn put_float(&mut self, text: &str, value: f64) {
        let text = match text.strip_suffix(".0") {
            Some(whole) => whole,
            None if value.is_nan() => "\"NaN\"",
            None if value == f64::INFINITY => "\"Infinity\"",
            None if value == f64::NEG_INFINITY => "\"-Infinity\"",
            None => text,
        };
        self.out.extend_from_slice(text.as_bytes());
    }
}

/// Reads one numeric value.
#[inline]
pub(super) fn read_bits(cursor: &mut Cursor<'_>, kind: Kind) -> crate::wire::Result<u64> {
    match kind.wire_type() {
        wire_type::FIXED64 => cursor.fixed64(),
        wire_type::FIXED32 => cursor.fixed32().map(u64::from),
        _ => cursor.varint(),
    }
}

/// The value itself: zigzag undone, sign-extended, cut to the bits of its kind. Zero is the default.
#[inline]
pub(super) fn canonical(kind: Kind, bits: u64) -> u64 {
    match kind {
        Kind::Int32 | Kind::Enum | Kind::SFixed32 => i64::from(bits as i32).cast_unsigned(),
        Kind::UInt32 => u64::from(bits as u32),
        Kind::SInt32 => crate::wire::unzigzag(u64::from(bits as u32)).cast_unsigned(),
        Kind::SInt64 => crate::wire::unzigzag(bits).cast_unsigned(),
        Kind::Bool => u64::from(bits != 0),
        _ => bits,
    }
}
