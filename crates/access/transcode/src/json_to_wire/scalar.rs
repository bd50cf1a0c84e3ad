//! Scalar values: JSON tokens to the bits that go on the wire.

use super::{Encoder, Result};
use crate::error::ErrorKind;
use crate::json::Text;
use crate::json::number::Integer;
use crate::schema::{Enum, Field, Kind};
use crate::wire::{close_len, open_len, put_varint, wire_type, zigzag};
use crate::wkt::base64;

impl<'s> Encoder<'s, '_> {
    /// The bits of a numeric, bool or enum value, as [`put_numeric`] writes them; `None` for an unknown enum name that
    /// is to be ignored.
    #[inline]
    pub(super) fn numeric(&mut self, field: &'s Field) -> Result<Option<u64>> {
        Ok(Some(match field.kind {
            Kind::Bool => self.bool()?,
            Kind::Enum => return self.enum_value(self.schema.enum_of(field)),
            Kind::Double => self.double()?.to_bits(),
            Kind::Float => u64::from(self.float()?.to_bits()),
            kind => self.integer(kind)?,
        }))
    }

    fn integer(&mut self, kind: Kind) -> Result<u64> {
        self.reader.peek();
        let at = self.reader.pos;
        let integer = match self.reader.plain_integer() {
            Some(integer) => integer,
            None => self.odd_integer(kind)?,
        };
        integer_bits(kind, integer).ok_or_else(|| {
            self.reader.mismatch(ErrorKind::Value, at, &format!("{} in its range", article(kind)))
        })
    }

    /// Integers with exponents, fractions, 20 digits, escapes; or what is none.
    #[cold]
    fn odd_integer(&mut self, kind: Kind) -> Result<Integer> {
        if !matches!(self.reader.peek(), b'"' | b'-' | b'0'..=b'9') {
            return Err(self.wrong_type(article(kind)));
        }
        let at = self.reader.pos;
        self.reader
            .integer(&mut self.scratch.text)?
            .map_err(|_| self.reader.mismatch(ErrorKind::Value, at, article(kind)))
    }

    fn bool(&mut self) -> Result<u64> {
        match self.reader.peek() {
            b't' => self.reader.literal("true").map(|()| 1),
            b'f' => self.reader.literal("false").map(|()| 0),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    pub(super) fn double(&mut self) -> Result<f64> {
        self.floating("a double", f64::is_finite, [f64::NAN, f64::INFINITY, f64::NEG_INFINITY])
    }

    fn float(&mut self) -> Result<f32> {
        self.floating("a float", f32::is_finite, [f32::NAN, f32::INFINITY, f32::NEG_INFINITY])
    }

    fn floating<F: std::str::FromStr + Copy>(
        &mut self,
        name: &'static str,
        is_finite: fn(F) -> bool,
        [nan, infinity, negative]: [F; 3],
    ) -> Result<F> {
        let first = self.reader.peek();
        let at = self.reader.pos;
        let token = match first {
            b'"' => {
                let text = self.reader.string()?.value(&mut self.scratch.text)?;
                match text {
                    b"NaN" => return Ok(nan),
                    b"Infinity" => return Ok(infinity),
                    b"-Infinity" => return Ok(negative),
                    _ if crate::json::number::scan(text) == Ok(text.len()) => text,
                    _ => return Err(self.reader.mismatch(ErrorKind::Value, at, name)),
                }
            }
            b'-' | b'0'..=b'9' => self.reader.number()?,
            _ => return Err(self.wrong_type(name)),
        };
        std::str::from_utf8(token)
            .ok()
            .and_then(|token| token.parse().ok())
            .filter(|&value| is_finite(value))
            .ok_or_else(|| self.reader.mismatch(ErrorKind::Value, at, &format!("{name} in its range")))
    }

    fn enum_value(&mut self, this: &Enum) -> Result<Option<u64>> {
        let first = self.reader.peek();
        let at = self.reader.pos;
        let number = match first {
            b'"' => {
                let name = self.reader.string()?.value(&mut self.scratch.text)?;
                match this.number(name) {
                    Some(number) => number,
                    None if self.options.ignore_unknown => return Ok(None),
                    None => {
                        let expected = format!("a name of {}", this.full_name);
                        return Err(self.reader.mismatch(ErrorKind::Value, at, &expected));
                    }
                }
            }
            b'n' if this.null_value => self.reader.literal("null").map(|()| 0)?,
            b'-' | b'0'..=b'9' => {
                let number = self.integer(Kind::Int32)? as i32;
                if this.closed && this.quoted_name(number).is_none() {
                    let expected = format!("a number of {}", this.full_name);
                    return Err(self.reader.mismatch(ErrorKind::Value, at, &expected));
                }
                number
            }
            _ => return Err(self.wrong_type("the name or number of an enum value")),
        };
        Ok(Some(i64::from(number).cast_unsigned()))
    }

    /// Length and content of a string.
    #[inline]
    pub(super) fn put_text(&mut self, text: Text<'_>) -> Result<()> {
        if !text.escaped {
            put_varint(&mut self.out, text.raw.len() as u64);
            self.out.extend_from_slice(text.raw);
            return Ok(());
        }
        let start = open_len(&mut self.out);
        text.append_to(&mut self.out)?;
        close_len(&mut self.out, start);
        Ok(())
    }

    pub(super) fn tagged_bytes(&mut self, field: &Field, implicit: bool) -> Result<()> {
        let text = self.string_value("a string of base64")?;
        if implicit && text.raw.is_empty() {
            return Ok(());
        }
        put_varint(&mut self.out, u64::from(field.tag));
        let start = open_len(&mut self.out);
        if !base64::decode(text.value(&mut self.scratch.text)?, &mut self.out) {
            return Err(self.reader.mismatch(ErrorKind::Value, text.at - 1, "a string of base64"));
        }
        close_len(&mut self.out, start);
        Ok(())
    }
}

/// The wire bits of an integer, when it is within the range of its kind.
pub(crate) fn integer_bits(kind: Kind, integer: Integer) -> Option<u64> {
    match kind {
        Kind::Int64 => integer.signed(64).map(i64::cast_unsigned),
        Kind::Int32 => integer.signed(32).map(i64::cast_unsigned),
        Kind::UInt64 | Kind::Fixed64 => integer.unsigned(64),
        Kind::UInt32 | Kind::Fixed32 => integer.unsigned(32),
        Kind::SInt32 => integer.signed(32).map(zigzag),
        Kind::SInt64 => integer.signed(64).map(zigzag),
        Kind::SFixed32 => integer.signed(32).map(i64::cast_unsigned),
        Kind::SFixed64 => integer.signed(64).map(i64::cast_unsigned),
        _ => None,
    }
}

/// Appends the bits of a numeric value in the form of its kind.
#[inline]
pub(crate) fn put_numeric(out: &mut Vec<u8>, kind: Kind, bits: u64) {
    match kind.wire_type() {
        wire_type::FIXED64 => out.extend_from_slice(&bits.to_le_bytes()),
        wire_type::FIXED32 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
        _ => put_varint(out, bits),
    }
}

/// `an int64`, for error messages.
pub(crate) fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::Int32 => "an int32",
        Kind::Int64 => "an int64",
        Kind::UInt32 => "a uint32",
        Kind::UInt64 => "a uint64",
        Kind::SInt32 => "an sint32",
        Kind::SInt64 => "an sint64",
        Kind::Fixed32 => "a fixed32",
        Kind::Fixed64 => "a fixed64",
        Kind::SFixed32 => "an sfixed32",
        Kind::SFixed64 => "an sfixed64",
        Kind::Double => "a double",
        Kind::Float => "a float",
        Kind::Bool => "true or false",
        Kind::String => "a string",
        Kind::Bytes => "base64",
        Kind::Enum => "the name or number of an enum value",
        Kind::Message | Kind::Group => "an object",
    }
}
