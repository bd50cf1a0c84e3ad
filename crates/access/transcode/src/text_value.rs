//! A field's value from the text of a path variable or query parameter.

use crate::error::{ErrorKind, TranscodeError};
use crate::json::number;
use crate::json_to_wire::{article, integer_bits, put_numeric, put_seconds};
use crate::schema::{Field, Kind, Schema, WellKnown};
use crate::wire::{close_len, open_len, put_tag, put_varint, wire_type};
use crate::wkt::{base64, duration, field_mask, timestamp};

/// Appends tag and value of one occurrence of `field`. Defaults are written too: on the wire they must win over a
/// value that came from elsewhere. The error has no place yet.
pub(crate) fn put(
    schema: &Schema,
    field: &Field,
    text: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), TranscodeError> {
    put_tag(out, field.number, field.kind.wire_type());
    match field.kind {
        Kind::String => {
            if std::str::from_utf8(text).is_err() {
                return Err(TranscodeError::new(ErrorKind::Url, "the value is not UTF-8"));
            }
            put_varint(out, text.len() as u64);
            out.extend_from_slice(text);
        }
        Kind::Bytes => {
            let start = open_len(out);
            if !base64::decode(text, out) && !with_plus(text, out, start) {
                return Err(mismatch(article(Kind::Bytes), text));
            }
            close_len(out, start);
        }
        Kind::Message => {
            let start = open_len(out);
            well_known(schema, field, text, out)?;
            close_len(out, start);
        }
        Kind::Group => return Err(mismatch("a message", text)),
        kind => put_numeric(out, kind, numeric(schema, field, text)?),
    }
    Ok(())
}

/// In a query string `+` is a blank, but in base64 a blank can only have been a `+`.
fn with_plus(text: &[u8], out: &mut Vec<u8>, start: usize) -> bool {
    out.truncate(start);
    let restored: Vec<u8> = text.iter().map(|&byte| if byte == b' ' { b'+' } else { byte }).collect();
    base64::decode(&restored, out)
}

fn numeric(schema: &Schema, field: &Field, text: &[u8]) -> Result<u64, TranscodeError> {
    let kind = field.kind;
    let bits = match kind {
        Kind::Bool => match text {
            b"true" => Some(1),
            b"false" => Some(0),
            _ => None,
        },
        Kind::Enum => {
            let this = schema.enum_of(field);
            let number = this.number(text).or_else(|| {
                let number = integer(Kind::Int32, text)? as i32;
                (!this.closed || this.quoted_name(number).is_some()).then_some(number)
            });
            number.map(|number| i64::from(number).cast_unsigned())
        }
        Kind::Double => float::<f64>(text, f64::is_finite).map(f64::to_bits),
        Kind::Float => float::<f32>(text, f32::is_finite).map(|value| u64::from(value.to_bits())),
        _ => integer(kind, text),
    };
    bits.ok_or_else(|| mismatch(article(kind), text))
}

fn integer(kind: Kind, text: &[u8]) -> Option<u64> {
    if number::scan(text) != Ok(text.len()) {
        return None;
    }
    integer_bits(kind, number::integer(text).ok()?)
}

fn float<F: std::str::FromStr>(text: &[u8], is_finite: fn(F) -> bool) -> Option<F> {
    let value = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    match text {
        b"NaN" | b"Infinity" | b"-Infinity" => value(text),
        _ if number::scan(text) == Ok(text.len()) => {
            value(text).filter(|_| value(text).is_some_and(is_finite))
        }
        _ => None,
    }
}

fn well_known(schema: &Schema, field: &Field, text: &[u8], out: &mut Vec<u8>) -> Result<(), TranscodeError> {
    let message = schema.message_of(field);
    let seconds = |parse: fn(&[u8]) -> Option<(i64, i32)>, expected, out: &mut Vec<u8>| {
        let (seconds, nanos) = parse(text).ok_or_else(|| mismatch(expected, text))?;
        put_seconds(out, seconds, nanos, true);
        Ok(())
    };
    match (message.well_known, message.fields.first()) {
        (Some(WellKnown::Timestamp), _) => seconds(timestamp::parse, "an RFC 3339 timestamp", out),
        (Some(WellKnown::Duration), _) => seconds(duration::parse, "a duration such as 1.5s", out),
        (Some(WellKnown::FieldMask), _) => {
            if field_mask(text, out) {
                Ok(())
            } else {
                Err(mismatch("a field mask such as a,b.c", text))
            }
        }
        (Some(WellKnown::Wrapper(_)), Some(value)) => put(schema, value, text, out),
        _ => Err(mismatch("a message", text)),
    }
}

/// In URLs paths come in either casing: people write there what they see in the `.proto`.
fn field_mask(text: &[u8], out: &mut Vec<u8>) -> bool {
    text.is_empty()
        || text.split(|&byte| byte == b',').all(|path| {
            put_tag(out, 1, wire_type::LEN);
            let start = open_len(out);
            let good = field_mask::from_either(path, out);
            close_len(out, start);
            good
        })
}

#[cold]
fn mismatch(expected: &str, text: &[u8]) -> TranscodeError {
    let shown: String = String::from_utf8_lossy(text).chars().take(40).collect();
    TranscodeError::new(ErrorKind::Value, format!("expected {expected}, found {shown:?}"))
}
