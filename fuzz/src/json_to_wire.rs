//! JSON to wire bytes, against prost-reflect.

mod strictness;

use aqueduct_transcode::Options;
use prost_reflect::DynamicMessage;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use crate::compare::{decode, oracle_json, parsed, same};
use crate::fixture::{descriptor, to_json, to_wire, typed};
use strictness::{oracle_is_stricter, ours_is_stricter};

/// A letter for the type, then JSON text.
pub fn json_to_wire(data: &[u8]) {
    let Some((name, json)) = typed(data) else { return };
    let ours = to_wire(name, json, &Options::default());
    let oracle = oracle(name, json);
    let shown = String::from_utf8_lossy(json);
    match (&ours, &oracle) {
        (Ok(wire), Ok(oracle)) => {
            let ours = decode(name, wire).unwrap();
            let differ = !same(&ours, oracle) && !differ_by_rounding(&ours, oracle, json);
            assert!(!differ, "read differently as {name}: {shown}\n{ours}\n{oracle}");
        }
        (Ok(_), Err(oracle)) => {
            assert!(oracle_is_stricter(oracle, json), "only the oracle refuses {shown} as {name}: {oracle}");
        }
        (Err(ours), Ok(oracle)) => {
            assert!(
                ours_is_stricter(ours, json),
                "only the oracle reads {shown} as {name}: {ours}\n{oracle}"
            );
        }
        (Err(_), Err(_)) => {}
    }
    let Ok(wire) = ours else { return };
    assert!(serde_json::from_slice::<IgnoredAny>(json).is_ok(), "read what is no JSON: {shown}");
    let lenient = Options { ignore_unknown: true, ..Options::default() };
    assert_eq!(to_wire(name, json, &lenient).as_ref(), Ok(&wire), "leniency changed the meaning: {shown}");
    // What was read can be said again, and means the same.
    let again = to_json(name, &wire, &Options::default());
    let again = again.unwrap_or_else(|error| panic!("read {shown} as {name}, but cannot print it: {error}"));
    let back = to_wire(name, &again, &Options::default());
    let back =
        back.unwrap_or_else(|error| panic!("cannot read {}: {error}", String::from_utf8_lossy(&again)));
    assert_eq!(to_json(name, &back, &Options::default()).unwrap(), again, "said differently: {shown}");
}

fn oracle(name: &str, json: &[u8]) -> Result<DynamicMessage, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(descriptor(name), &mut deserializer)?;
    deserializer.end()?;
    Ok(message)
}

/// Numbers that the oracle reads as doubles first, and so not to the last digit.
fn differ_by_rounding(ours: &DynamicMessage, oracle: &DynamicMessage, json: &[u8]) -> bool {
    let long = |run: &[u8]| run.len() > 8 && run.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    let in_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+');
    let values = [ours, oracle].map(|message| oracle_json(message).map(|json| parsed(&json)));
    let [Some(ours), Some(oracle)] = values else { return false };
    json.split(|byte| !in_number(byte)).any(long) && close(&ours, &oracle)
}

/// Equal but for the last digits of numbers, which [`parsed`] made strings of.
fn close(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::String(left), Json::String(right)) if left != right => {
            let number = |text: &str| text.parse::<f64>().ok();
            let (Some(left), Some(right)) = (number(left), number(right)) else { return false };
            (left - right).abs() <= left.abs() * f64::from(f32::EPSILON)
        }
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| close(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| close(left, right)))
        }
        _ => left == right,
    }
}
