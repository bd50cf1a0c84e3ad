//! Wire bytes to JSON, against prost-reflect.

use aqueduct_transcode::{Options, TranscodeError};
use prost::encoding::WireType;
use prost_reflect::{FieldDescriptor, Kind, SerializeOptions};
use serde_json::Value as Json;

use crate::compare::{any_message, decode, has_mistyped_map, parsed, without_infinities};
use crate::fixture::{to_json, to_wire, typed};

/// A letter for the type, then wire bytes.
pub fn wire_to_json(data: &[u8]) {
    let Some((name, wire)) = typed(data) else { return };
    let ours = to_json(name, wire, &Options::default());
    let oracle = oracle(name, wire);
    match (&ours, &oracle) {
        _ if has_mistyped_map(name, wire) => {}
        (Ok(ours), Ok(oracle)) => {
            let zeros = !has_minus_zero(&parsed(ours));
            let values = [ours, oracle].map(|json| comparable(without_infinities(parsed(json)), zeros));
            let differ = values[0] != values[1]
                && !has_open_enum(&values[1])
                && !any_message(name, wire, &replaces_enum);
            assert!(!differ, "printed differently as {name}:\n{}\n{}", values[0], values[1]);
        }
        (Ok(ours), Err(error)) => assert!(
            oracle_is_stricter(error, name, wire),
            "only we print {wire:?} as {name}: {error}\n{}",
            String::from_utf8_lossy(ours)
        ),
        (Err(ours), Ok(oracle)) => assert!(
            ours_is_stricter(ours),
            "only the oracle prints {wire:?} as {name}: {ours}\n{}",
            String::from_utf8_lossy(oracle)
        ),
        (Err(_), Err(_)) => {}
    }
    let Ok(json) = ours else { return };
    reads_back(name, &json, &Options::default());
    let original = Options { proto_names: true, enum_numbers: true, ..Options::default() };
    reads_back(name, &to_json(name, wire, &original).unwrap(), &original);
}

/// What is printed is JSON, and our own reader takes it to mean the same.
fn reads_back(name: &str, json: &[u8], options: &Options) {
    let shown = String::from_utf8_lossy(json);
    assert!(serde_json::from_slice::<Json>(json).is_ok(), "printed what is no JSON: {shown}");
    let wire = to_wire(name, json, &Options::default());
    let wire = wire.unwrap_or_else(|error| panic!("cannot read what was printed: {error}\n{shown}"));
    let again = to_json(name, &wire, options);
    let again = again.unwrap_or_else(|error| panic!("cannot print it again: {error}\n{shown}"));
    assert_eq!(parsed(&again), parsed(json), "read differently");
}

/// The oracle treats closed enums as open ones, and prints numbers that to us are unknown fields.
fn has_open_enum(json: &Json) -> bool {
    let is_number = |value: &Json| value.as_str().is_some_and(|text| text.parse::<f64>().is_ok());
    match json {
        Json::Array(list) => list.iter().any(has_open_enum),
        Json::Object(map) => map.iter().any(|(key, value)| match (&**key, value) {
            ("level", value) => is_number(value),
            ("levels", Json::Array(list)) => list.iter().any(is_number),
            // Of numbers that are 0 to the oracle, it prints neither entry nor number.
            ("levelByName", Json::Object(map)) => map.is_empty() || map.values().any(is_number),
            (_, value) => has_open_enum(value),
        }),
        _ => false,
    }
}

/// Whether a singular enum is there several times. To us a number that a closed one does not have replaces nothing.
fn replaces_enum(fields: &[(FieldDescriptor, WireType)]) -> bool {
    let is_enum = |field: &FieldDescriptor| !field.is_list() && matches!(field.kind(), Kind::Enum(_));
    let mut numbers: Vec<u32> =
        fields.iter().filter(|(field, _)| is_enum(field)).map(|(field, _)| field.number()).collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len() < count
}

/// The oracle prints an empty `value` for an `Empty` in an `Any`, and takes -0 for 0, the default of a field: beside a -0, and
/// only there, `zeros` are not compared.
fn comparable(json: Json, zeros: bool) -> Json {
    match json {
        Json::Array(list) => list.into_iter().map(|value| comparable(value, zeros)).collect(),
        Json::Object(mut map) => {
            let url = map.get("@type").and_then(Json::as_str).unwrap_or_default();
            if url.ends_with("/google.protobuf.Empty") {
                map.remove("value");
            }
            map.retain(|_, value| zeros || (value != "-0" && value != "0"));
            Json::Object(map.into_iter().map(|(key, value)| (key, comparable(value, zeros))).collect())
        }
        Json::String(text) if text == "-0" => Json::String("0".to_owned()),
        other => other,
    }
}

fn has_minus_zero(json: &Json) -> bool {
    match json {
        Json::Array(list) => list.iter().any(has_minus_zero),
        Json::Object(map) => map.values().any(has_minus_zero),
        value => value == "-0",
    }
}

fn oracle(name: &str, wire: &[u8]) -> Result<Vec<u8>, String> {
    let message = decode(name, wire).map_err(|error| error.to_string())?;
    let mut serializer = serde_json::Serializer::new(Vec::new());
    message
        .serialize_with_options(&mut serializer, &SerializeOptions::new())
        .map_err(|error| error.to_string())?;
    Ok(serializer.into_inner())
}

/// What the oracle prints although JSON has no form for it.
fn ours_is_stricter(error: &TranscodeError) -> bool {
    let messages = [
        "the timestamp is out of range",
        "the duration is out of range",
        "the field mask has no JSON form",
        "a number in a google.protobuf.Value must be finite",
        // Longer than five bytes.
        "the tag is invalid",
    ];
    messages.contains(&error.message())
}

/// What the oracle refuses although it can be said.
fn oracle_is_stricter(error: &str, name: &str, wire: &[u8]) -> bool {
    // A field of another wire type is an unknown field, and an `Any` with nothing in it is `{}`.
    error.contains("invalid wire type")
        || error == "unsupported type url '': missing at least one '/'"
        // What does not count because something took its place is not looked into.
        || (error.starts_with("failed to decode") && any_message(name, wire, &has_rivals))
}

/// Whether one value replaces another: of a singular field, a oneof, a map's key.
fn has_rivals(fields: &[(FieldDescriptor, WireType)]) -> bool {
    let place = |field: &FieldDescriptor| match field.containing_oneof() {
        Some(oneof) => oneof.full_name().to_owned(),
        None => field.full_name().to_owned(),
    };
    let mut places: Vec<String> =
        fields.iter().filter(|(field, _)| !field.is_list()).map(|(field, _)| place(field)).collect();
    let count = places.len();
    places.sort_unstable();
    places.dedup();
    places.len() < count
}
