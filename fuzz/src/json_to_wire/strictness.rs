//! The JSON that only one of the two reads, for a reason. Each reason wants to see what it is about in the JSON, so that
//! it hides nothing else.

use aqueduct_transcode::{ErrorKind, TranscodeError};
use serde_json::{Number, Value as Json};

/// What the oracle reads although the JSON mapping has no such form.
pub(super) fn ours_is_stricter(error: &TranscodeError, json: &[u8]) -> bool {
    if matches!(error.kind(), ErrorKind::Duplicate | ErrorKind::Limit) {
        return true;
    }
    // To the oracle a name with a dot before it is the same; a type URL has none there.
    if error.message().starts_with("no message type is known for") && error.message().contains("/.") {
        return true;
    }
    // The value at fault, where the error points.
    let rest = error.offset().and_then(|offset| json.get(offset..)).unwrap_or_default();
    let value = serde_json::Deserializer::from_slice(rest).into_iter().next();
    let value: Json = value.and_then(Result::ok).unwrap_or_default();
    let text = value.as_str();
    let expected = error.message().strip_prefix("expected ").unwrap_or_default();
    let expected = expected.split(", found").next().unwrap_or_default();
    let integers = ["int32", "int64", "uint32", "uint64", "fixed32", "fixed64"];
    match expected.trim_end_matches(" in its range") {
        // Rust reads `+1`, `.5`, `inf` and `1e999` too.
        "a double" => text.is_some_and(|text| !is_number_up_to(f64::MAX, text)),
        "a float" => text.is_some_and(|text| !is_number_up_to(f64::from(f32::MAX), text)),
        "a field mask such as \"a,b.c\"" => text.is_some_and(is_odd_mask),
        "a duration such as \"1.5s\"" => {
            text.is_some_and(|text| has_tenth_digit(text) || has_needless_zeros(text))
        }
        "an RFC 3339 timestamp such as \"2024-01-31T12:00:00Z\"" => {
            text.is_some_and(|text| has_tenth_digit(text) || text.contains(":60"))
        }
        "a string of base64" => text.is_some_and(|text| text.ends_with('=') && text.len() % 4 != 0),
        // A closed enum has no other numbers; the oracle treats it as an open one.
        "a number of test.v1.Legacy.Level" => value.is_i64(),
        expected if expected.starts_with("a key that is") => {
            text.is_some_and(|text| text.starts_with('+') || serde_json::from_str::<Number>(text).is_err())
        }
        expected if integers.iter().any(|name| expected.ends_with(name)) => match &value {
            Json::String(text) => serde_json::from_str::<Number>(text).is_err(),
            // The oracle reads doubles: further digits do not count, and what is too small is 0.
            number => has_many_digits(rest) || number.as_f64() == Some(0.0),
        },
        // In an `Any`, it wants `"value": {}`; we print and read no value there, as C++ does.
        _ => error.message() == "google.protobuf.Empty has no such field",
    }
}

/// What the oracle refuses although the JSON mapping has it.
pub(super) fn oracle_is_stricter(error: &serde_json::Error, json: &[u8]) -> bool {
    let value: Json = serde_json::from_slice(json).unwrap_or_default();
    let any = |is_so: &dyn Fn(&str) -> bool| any_string(&value, is_so);
    let reasons: [(&str, bool); 8] = [
        ("invalid digit found in string", any(&is_unusual_integer)),
        ("expected '@type' field", has_empty_object(&value)),
        ("expected 'value' field", any(&|text| text.ends_with("/google.protobuf.Empty"))),
        ("invalid type: floating point", error.to_string().contains("expected a string or integer")),
        // Like any enum, `NullValue` goes by number too.
        ("invalid type: integer `", error.to_string().contains("`, expected null")),
        ("invalid type: floating point `", error.to_string().contains("`, expected null")),
        ("invalid base64: Invalid symbol", any(&has_both_alphabets)),
        ("float value out of range", has_rounded_float(&value)),
    ];
    reasons.iter().any(|(words, present)| *present && error.to_string().starts_with(words))
}

fn is_number_up_to(most: f64, text: &str) -> bool {
    let number = serde_json::from_str::<Number>(text).ok().and_then(|number| number.as_f64());
    number.is_some_and(|number| number.abs() <= most)
}

/// An integer in quotes with a fraction or an exponent, or a zero with a sign.
fn is_unusual_integer(text: &str) -> bool {
    text == "-0" || (serde_json::from_str::<Number>(text).is_ok() && text.contains(['.', 'e', 'E']))
}

fn is_odd_mask(text: &str) -> bool {
    let named = |path: &str| {
        !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
    };
    !text.split(',').all(named)
}

fn has_tenth_digit(text: &str) -> bool {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    fraction.bytes().take_while(u8::is_ascii_digit).count() > 9
}

/// Whether the number that the text begins with has more digits than a double keeps.
fn has_many_digits(text: &[u8]) -> bool {
    let mantissa = text.iter().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    mantissa.filter(|byte| byte.is_ascii_digit()).count() > 15
}

/// More than any duration has, and so no use to anybody.
fn has_needless_zeros(text: &str) -> bool {
    let whole = text.split_once(['.', 's']).map_or(text, |(whole, _)| whole);
    whole.trim_start_matches('-').starts_with('0') && whole.len() > 12
}

fn has_both_alphabets(text: &str) -> bool {
    text.contains(['-', '_']) && text.contains(['+', '/'])
}

/// Whether any string, key or value, is so.
fn any_string(value: &Json, is_so: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Json::String(text) => is_so(text),
        Json::Array(list) => list.iter().any(|value| any_string(value, is_so)),
        Json::Object(map) => map.iter().any(|(key, value)| is_so(key) || any_string(value, is_so)),
        _ => false,
    }
}

fn has_empty_object(value: &Json) -> bool {
    match value {
        Json::Array(list) => list.iter().any(has_empty_object),
        Json::Object(map) => map.is_empty() || map.values().any(has_empty_object),
        _ => false,
    }
}

/// Whether a number is beyond the largest float, and rounds to it.
fn has_rounded_float(value: &Json) -> bool {
    match value {
        Json::Array(list) => list.iter().any(has_rounded_float),
        Json::Object(map) => map.values().any(has_rounded_float),
        Json::String(text) => {
            serde_json::from_str(text).is_ok_and(|number: Number| rounds_to_largest(&number))
        }
        Json::Number(number) => rounds_to_largest(number),
        _ => false,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the rounding is what is asked for")]
fn rounds_to_largest(number: &Number) -> bool {
    number.as_f64().is_some_and(|number| number.abs() > f64::from(f32::MAX) && (number as f32).is_finite())
}
