//! What proto2 and editions add to the JSON mapping: presence, closed enums, packing, groups, extensions, message sets.

use std::sync::LazyLock;

use aqueduct_transcode::{ErrorKind, Options, Schema, Target, TranscodeError, Transcoder};

use crate::fixture::{FIXTURE, to_json, to_wire};

/// The files of editions, and protobuf's own test messages.
static EDITIONS: LazyLock<[Schema; 2]> = LazyLock::new(|| {
    [
        Schema::decode(include_bytes!("../proto/editions.binpb")).unwrap(),
        Schema::decode(include_bytes!("../conformance/test_messages.binpb")).unwrap(),
    ]
});

const FEATURES: &str = "test.e2023.Features";
const TREE: &str = "test.e2024.Tree";
const LEGACY: &str = "test.v1.Legacy";
const SET: &str = "protobuf_test_messages.proto2.TestAllTypesProto2.MessageSetCorrect";

fn schema(name: &str) -> &'static Schema {
    EDITIONS.iter().chain([&FIXTURE.schema]).find(|schema| schema.message(name).is_some()).expect(name)
}

fn encode(name: &str, json: &str, ignore_unknown: bool) -> Result<Vec<u8>, TranscodeError> {
    let schema = schema(name);
    let options = Options { ignore_unknown, ..Options::default() };
    let target = Target { schema, message: schema.message(name).unwrap(), options: &options };
    let mut out = Vec::new();
    Transcoder::new().json_to_wire(target, json.as_bytes(), &mut out).map(|()| out)
}

/// The JSON, and how many unknown fields there were.
fn print(name: &str, wire: &[u8]) -> Result<(String, u64), TranscodeError> {
    let schema = schema(name);
    let target = Target { schema, message: schema.message(name).unwrap(), options: &Options::default() };
    let (mut transcoder, mut out) = (Transcoder::new(), Vec::new());
    transcoder.wire_to_json(target, wire, &mut out)?;
    Ok((String::from_utf8(out).unwrap(), transcoder.unknown_fields()))
}

/// `json` becomes these bytes, and they become it again.
#[track_caller]
fn is(name: &str, json: &str, wire: &[u8]) {
    assert_eq!(encode(name, json, false).as_deref(), Ok(wire), "{json}");
    assert_eq!(print(name, wire), Ok((json.to_owned(), 0)), "{wire:?}");
}

/// The bytes are printed so, and this many fields are left out.
#[track_caller]
fn prints(name: &str, wire: &[u8], json: &str, unknown: u64) {
    assert_eq!(print(name, wire), Ok((json.to_owned(), unknown)), "{wire:?}");
}

#[track_caller]
fn refuses(name: &str, json: &str, kind: ErrorKind, words: &str) {
    let error = encode(name, json, false).expect_err(json);
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, words), "{json}");
}

#[test]
fn presence_decides_whether_a_default_is_said() {
    is(FEATURES, r#"{"explicit":0}"#, b"\x08\x00");
    is(FEATURES, r#"{"implicit":1}"#, b"\x10\x01");
    is(FEATURES, r#"{"required":0}"#, b"\x18\x00");
    is(FEATURES, "{}", b"");
    assert_eq!(encode(FEATURES, r#"{"implicit": 0}"#, false), Ok(vec![]));
    prints(FEATURES, b"\x10\x00", "{}", 0);
    // A default of one's own is what an absent field means to a program, and is never made up.
    is(FEATURES, r#"{"defaulted":5,"worded":"none"}"#, b"\x20\x05\x2a\x04none");
    is(FEATURES, r#"{"defaulted":0,"worded":""}"#, b"\x20\x00\x2a\x00");
    assert_eq!(encode(FEATURES, r#"{"explicit": null, "defaulted": null}"#, false), Ok(vec![]));
    is(LEGACY, r#"{"id":0,"name":"none"}"#, b"\x08\x00\x12\x04none");
    // The whole file says IMPLICIT; a field of its own says EXPLICIT.
    is(TREE, r#"{"present":0}"#, b"\x30\x00");
    prints(TREE, b"\x0a\x00", "{}", 0);
}

#[test]
fn enums_are_closed_or_open() {
    is(FEATURES, r#"{"open":7}"#, b"\x50\x07");
    is(FEATURES, r#"{"closed":"CLOSED_TWO"}"#, b"\x58\x02");
    let closed = "of test.e2023.Closed, found";
    refuses(
        FEATURES,
        r#"{"closed": 7}"#,
        ErrorKind::Value,
        &format!("closed: expected a number {closed} 7 (at byte 11)"),
    );
    refuses(
        FEATURES,
        r#"{"closed": "X"}"#,
        ErrorKind::Value,
        &format!("closed: expected a name {closed} \"X\" (at byte 11)"),
    );
    refuses(
        FEATURES,
        r#"{"closeds": [1, 0]}"#,
        ErrorKind::Value,
        &format!("closeds[1]: expected a number {closed} 0 (at byte 16)"),
    );
    // On the wire such a number is an unknown field.
    prints(FEATURES, b"\x58\x07", "{}", 1);
    prints(FEATURES, b"\x58\x01\x58\x07\x58\x08", r#"{"closed":"CLOSED_ONE"}"#, 2);
    prints(FEATURES, b"\x62\x03\x01\x07\x02\x60\x09", r#"{"closeds":["CLOSED_ONE","CLOSED_TWO"]}"#, 2);
    prints(
        FEATURES,
        b"\x6a\x05\x0a\x01a\x10\x07\x6a\x05\x0a\x01b\x10\x01",
        r#"{"closedByName":{"b":"CLOSED_NEXT"}}"#,
        1,
    );
    prints(FEATURES, b"\x6a\x03\x0a\x01a", r#"{"closedByName":{"a":"CLOSED_ZERO"}}"#, 0);
    // Of a closed enum the value declared first is the default, 0 or not.
    prints(LEGACY, b"\x5a\x03\x0a\x01a", r#"{"levelByName":{"a":"LOW"}}"#, 0);
    prints(LEGACY, b"\x18\x01\x18\x09", r#"{"level":"LOW"}"#, 1);
}

#[test]
fn unknown_enum_names_are_left_out_where_they_are_ignored() {
    let check =
        |json: &str, wire: &[u8]| assert_eq!(encode(FEATURES, json, true).as_deref(), Ok(wire), "{json}");
    check(r#"{"open": "X", "explicit": 1}"#, b"\x08\x01");
    check(r#"{"closeds": ["X", "CLOSED_ONE", "Y"]}"#, b"\x62\x01\x01");
    check(r#"{"closedByName": {"a": "X", "b": "CLOSED_NEXT"}}"#, b"\x6a\x05\x0a\x01b\x10\x01");
    check(r#"{"second": "X"}"#, b"");
    assert!(encode(FEATURES, r#"{"closed": 7}"#, true).is_err(), "a number that is none");
}

#[test]
fn lists_are_packed_or_expanded() {
    is(FEATURES, r#"{"packed":[1,2],"expanded":[3,4]}"#, b"\x32\x02\x01\x02\x38\x03\x38\x04");
    prints(FEATURES, b"\x30\x01\x30\x02\x3a\x02\x03\x04", r#"{"packed":[1,2],"expanded":[3,4]}"#, 0);
    is(LEGACY, r#"{"numbers":[1,2],"packedNumbers":[3]}"#, b"\x28\x01\x28\x02\x32\x01\x03");
    is(TREE, r#"{"numbers":[1,2]}"#, b"\x28\x01\x28\x02");
}

#[test]
fn messages_are_delimited_or_have_a_length() {
    is(FEATURES, r#"{"delimited":{"value":1}}"#, b"\x43\x08\x01\x44");
    is(FEATURES, r#"{"delimiteds":[{},{"value":2}]}"#, b"\x4b\x4c\x4b\x08\x02\x4c");
    is(FEATURES, r#"{"self":{"self":{"explicit":1}}}"#, b"\x7b\x7b\x08\x01\x7c\x7c");
    is(FEATURES, r#"{"first":{"value":1}}"#, b"\x83\x01\x08\x01\x84\x01");
    is(LEGACY, r#"{"data":{"value":1,"text":"a"}}"#, b"\x3b\x40\x01\x4a\x01a\x3c");
    is(LEGACY, r#"{"item":[{"value":2},{"inner":{}}]}"#, b"\x53\x08\x02\x54\x53\x12\x00\x54");
    // The whole file says DELIMITED; entries of maps and their values have lengths all the same.
    is(TREE, r#"{"left":{"name":"l"},"children":[{}]}"#, b"\x13\x0a\x01l\x14\x1b\x1c");
    is(TREE, r#"{"byName":{"a":{"left":{}}}}"#, b"\x22\x07\x0a\x01a\x12\x02\x13\x14");
    // A length where a group should be, and the reverse, are unknown fields.
    prints(FEATURES, b"\x42\x02\x08\x01", "{}", 1);
    prints(TREE, b"\x22\x05\x0a\x01a\x13\x14", r#"{"byName":{"a":{}}}"#, 1);
}

#[test]
fn pieces_of_a_group_are_merged() {
    prints(FEATURES, b"\x7b\x08\x01\x7c\x7b\x10\x02\x7c", r#"{"self":{"explicit":1,"implicit":2}}"#, 0);
    prints(FEATURES, b"\x88\x01\x01\x83\x01\x84\x01", r#"{"first":{}}"#, 0);
}

#[test]
fn extensions_have_their_full_names_in_brackets() {
    is(FEATURES, r#"{"[test.e2023.inner]":{"value":1}}"#, b"\xa3\x06\x08\x01\xa4\x06");
    is(FEATURES, r#"{"[test.e2023.numbers]":[1,2]}"#, b"\xaa\x06\x02\x01\x02");
    is(FEATURES, r#"{"[test.e2023.Scope.word]":""}"#, b"\xb2\x06\x00");
    is(LEGACY, r#"{"[test.v1.score]":5,"[test.v1.more]":[{"id":1}]}"#, b"\xa0\x06\x05\xaa\x06\x02\x08\x01");
    for name in ["[test.e2023.nope]", "test.e2023.inner", "inner", "[inner]"] {
        let words = format!("{name}: test.e2023.Features has no such field (at byte 2)");
        refuses(FEATURES, &format!("{{\"{name}\": 1}}"), ErrorKind::Unknown, &words);
        assert_eq!(encode(FEATURES, &format!("{{\"{name}\": 1}}"), true), Ok(vec![]), "{name}");
    }
    let twice = r#"{"[test.e2023.Scope.word]": "", "[test.e2023.Scope.word]": ""}"#;
    let words = "[test.e2023.Scope.word]: the field is there twice (at byte 58)";
    refuses(FEATURES, twice, ErrorKind::Duplicate, words);
}

#[test]
fn message_sets_hold_their_extensions_in_items() {
    const TYPE: &str = "protobuf_test_messages.proto2.TestAllTypesProto2";
    let json = format!("{{\"[{TYPE}.MessageSetCorrectExtension2.message_set_extension]\":{{\"i\":7}}}}");
    let item = b"\x0b\x10\x90\xb3\xfc\x01\x1a\x02\x48\x07\x0c";
    is(SET, &json, item);
    is(SET, "{}", b"");
    // The parts of an item in the other order, with something unknown; and the extension as a field.
    prints(SET, b"\x0b\x1a\x02\x48\x07\x20\x01\x10\x90\xb3\xfc\x01\x0c", &json, 0);
    prints(SET, b"\x82\x99\xe3\x0f\x02\x48\x07", &json, 0);
    prints(
        SET,
        &[&item[..], b"\x0b\x10\x90\xb3\xfc\x01\x1a\x02\x48\x08\x0c"].concat(),
        &json.replace('7', "8"),
        0,
    );
    // An item has one of each: the first.
    prints(SET, b"\x0b\x10\x90\xb3\xfc\x01\x10\x05\x1a\x02\x48\x07\x1a\x02\x48\x08\x0c", &json, 0);
    prints(SET, b"\x0b\x10\x05\x1a\x00\x0c", "{}", 1);
    prints(SET, b"\x0b\x1a\x02\x48\x07\x0c", "{}", 1);
    for (bad, words) in [
        (&b"\x0b\x10\x05"[..], "the group has no end (at byte 3)"),
        (b"\x0b\x14", "a group ends that has not begun (at byte 2)"),
        (b"\x0b\x1a\x05\x48", "the length runs past the end (at byte 3)"),
    ] {
        assert_eq!(print(SET, bad).unwrap_err().to_string(), words, "{bad:?}");
    }
}

/// `utf8_validation = NONE` and proto2 let any bytes into a string; JSON has no form for those that are not UTF-8.
#[test]
fn strings_that_are_not_utf8_cannot_be_printed() {
    is(FEATURES, r#"{"loose":"é"}"#, b"\x72\x02\xc3\xa9");
    assert_eq!(
        print(FEATURES, b"\x72\x02a\xff").unwrap_err().to_string(),
        "loose: the string is not UTF-8 (at byte 3)"
    );
    assert_eq!(
        to_json(LEGACY, b"\x12\x01\xff").unwrap_err().to_string(),
        "name: the string is not UTF-8 (at byte 2)"
    );
    assert!(to_wire(LEGACY, b"{\"name\": \"\xff\"}").is_err());
}

/// With `json_format = LEGACY_BEST_EFFORT`, as in proto2, two fields may have one JSON name: both go by their proto names.
#[test]
fn names_that_collide_are_those_of_the_proto() {
    const MESSAGE: &str = "test.e2023.BestEffort";
    is(MESSAGE, r#"{"foo_bar":"a","fooBar":"b","plainName":"c"}"#, b"\x0a\x01a\x12\x01b\x1a\x01c");
    assert_eq!(encode(MESSAGE, r#"{"plain_name": "c"}"#, false).as_deref(), Ok(&b"\x1a\x01c"[..]));
}
