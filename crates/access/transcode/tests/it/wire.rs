//! What the wire allows and JSON does not: any order, pieces, repetition, unknown fields; and what is malformed.

use aqueduct_transcode::{Code, ErrorKind};

use crate::fixture::{EVERYTHING, to_json};

#[track_caller]
fn prints(wire: &[u8], expect: &str) {
    assert_eq!(to_json(EVERYTHING, wire).as_deref(), Ok(expect), "{wire:?}");
}

#[track_caller]
fn refuses(wire: &[u8], words: &str) {
    let error = to_json(EVERYTHING, wire).expect_err("malformed");
    assert_eq!(error.to_string(), words, "{wire:?}");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Upstream, Code::Internal));
}

/// Tag bytes of a field.
fn tag(number: u32, wire_type: u32) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | wire_type), &mut out);
    out
}

fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = tag(number, 2);
    out.push(u8::try_from(content.len()).unwrap());
    out.extend(content);
    out
}

#[test]
fn the_last_scalar_counts_and_order_does_not_matter() {
    prints(b"\x18\x01\x18\x02", r#"{"fInt32":2}"#);
    prints(b"\x18\x01\x18\x00", "{}");
    prints(b"\x20\x07\x18\x01", r#"{"fInt32":1,"fInt64":"7"}"#);
    prints(b"\x72\x01a\x72\x01b", r#"{"fString":"b"}"#);
}

#[test]
fn lists_are_collected_packed_or_not() {
    let mut wire = field(33, &[1, 2]);
    wire.extend(b"\x18\x05");
    wire.extend(tag(33, 0));
    wire.push(3);
    wire.extend(field(33, &[4]));
    wire.extend(field(33, &[]));
    prints(&wire, r#"{"fInt32":5,"rInt32":[1,2,3,4]}"#);
    prints(&field(44, &[1, 2]), r#"{"rUnpacked":[1,2]}"#);
    let many: Vec<u8> = (0..100).flat_map(|n| [field(14, b""), field(33, &[n])].concat()).collect();
    let numbers: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    prints(&many, &format!("{{\"rInt32\":[{}]}}", numbers.join(",")));
    prints(&field(33, &[]), "{}");
    prints(
        &[field(40, b"a"), field(14, b"x"), field(40, b"b")].concat(),
        r#"{"fString":"x","rString":["a","b"]}"#,
    );
}

#[test]
fn pieces_of_a_message_are_merged() {
    let wire = [
        field(17, b"\x0a\x01a"),
        b"\x18\x01".to_vec(),
        field(17, b"\x10\x02\x1a\x01t"),
        field(17, b"\x0a\x01b"),
    ];
    prints(&wire.concat(), r#"{"fInt32":1,"fNested":{"name":"b","count":"2","tags":["t"]}}"#);
    let inner = |content: &[u8]| field(17, &field(4, content));
    prints(
        &[inner(b"\x0a\x01a"), inner(b"\x10\x02")].concat(),
        r#"{"fNested":{"inner":{"name":"a","count":"2"}}}"#,
    );
    // A Timestamp's too.
    prints(
        &[field(71, b"\x08\x01"), field(71, b"\x10\x01")].concat(),
        r#"{"wTimestamp":"1970-01-01T00:00:01.000000001Z"}"#,
    );
}

#[test]
fn the_last_member_of_a_oneof_counts() {
    let number = [tag(61, 0), vec![5]].concat();
    let text = field(62, b"x");
    let nested = |content: &[u8]| field(63, content);
    prints(&[number.clone(), text.clone()].concat(), r#"{"cString":"x"}"#);
    prints(&[text.clone(), number.clone()].concat(), r#"{"cInt32":5}"#);
    prints(&[nested(b"\x0a\x01a"), nested(b"\x10\x01")].concat(), r#"{"cNested":{"name":"a","count":"1"}}"#);
    // Setting another member clears the first, of which only the later piece is left.
    prints(&[nested(b"\x0a\x01a"), number, nested(b"\x10\x01")].concat(), r#"{"cNested":{"count":"1"}}"#);
}

#[test]
fn of_equal_map_keys_the_last_counts() {
    let entry = |content: &[u8]| field(51, content);
    let wire = [entry(b"\x0a\x01a\x12\x011"), entry(b"\x0a\x01b\x12\x012"), entry(b"\x12\x013\x0a\x01a")];
    prints(&wire.concat(), r#"{"mStringString":{"b":"2","a":"3"}}"#);
    prints(&entry(b""), r#"{"mStringString":{"":""}}"#);
    prints(&entry(b"\x0a\x01a\x0a\x01b\x12\x01x"), r#"{"mStringString":{"b":"x"}}"#);
    // 0, as one byte, as two, and absent.
    let numbers =
        [field(52, b"\x08\x00\x10\x01"), field(52, b"\x08\x80\x00\x10\x02"), field(52, b"\x10\x03")];
    prints(&numbers.concat(), r#"{"mInt32Int64":{"0":"3"}}"#);
    prints(&field(57, b"\x0a\x01k"), r#"{"mStringNested":{"k":{}}}"#);
    prints(
        &field(57, b"\x0a\x01k\x12\x03\x0a\x01a\x12\x02\x10\x01"),
        r#"{"mStringNested":{"k":{"name":"a","count":"1"}}}"#,
    );
    prints(&field(91, b"\x0a\x01k"), r#"{"mwValue":{"k":null}}"#);
}

#[test]
fn unknown_fields_and_wire_types_are_skipped() {
    prints(
        &[tag(1000, 0), vec![1], tag(1001, 1), vec![0; 8], tag(1002, 5), vec![0; 4], field(1003, b"abc")]
            .concat(),
        "{}",
    );
    prints(
        &[tag(1000, 3), b"\x0b\x0c\x08\x01".to_vec(), tag(1000, 4), b"\x18\x01".to_vec()].concat(),
        r#"{"fInt32":1}"#,
    );
    // fInt32 with the wire type of a string, fString with that of an integer.
    prints(b"\x1a\x01x\x70\x01\x20\x02", r#"{"fInt64":"2"}"#);
}

#[test]
fn varints_are_cut_to_their_field() {
    prints(b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", r#"{"fInt32":-1}"#);
    prints(b"\x18\x81\x80\x80\x80\x10", r#"{"fInt32":1}"#);
    prints(b"\x18\x80\x80\x80\x80\x10", "{}");
    prints(b"\x68\x80\x80\x80\x80\x10", r#"{"fBool":true}"#);
}

#[test]
fn malformed_messages_are_the_upstreams_fault() {
    refuses(b"\x18", "the varint is cut short (at byte 1)");
    refuses(b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "the varint is too long (at byte 1)");
    refuses(b"\x00\x01", "the tag is invalid (at byte 0)");
    refuses(b"\x72\x05a", "the length runs past the end (at byte 2)");
    refuses(b"\x72\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "the length runs past the end (at byte 11)");
    refuses(b"\x09\x00", "the fixed64 is cut short (at byte 1)");
    refuses(b"\x0e", "the wire type is invalid (at byte 1)");
    refuses(b"\x0c", "a group ends that has not begun (at byte 1)");
    refuses(b"\x72\x02a\xff", "fString: the string is not UTF-8 (at byte 3)");
    refuses(&field(17, b"\x0a\x01\xff"), "fNested.name: the string is not UTF-8 (at byte 5)");
    refuses(&field(40, b"\xff"), "rString[0]: the string is not UTF-8 (at byte 3)");
    refuses(
        &field(51, b"\x0a\x01k\x12\x01\xff"),
        "mStringString[\"k\"]: the string is not UTF-8 (at byte 8)",
    );
    refuses(&field(33, b"\x80"), "rInt32: the varint is cut short (at byte 3)");
}

#[test]
fn what_json_cannot_say_is_refused() {
    refuses(
        &field(71, b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x40"),
        "wTimestamp: the timestamp is out of range",
    );
    refuses(
        &field(71, b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        "wTimestamp: the timestamp is out of range",
    );
    refuses(
        &field(72, b"\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        "wDuration: the duration is out of range",
    );
    refuses(&field(73, b"\x0a\x06fooBar"), "wMask: the field mask has no JSON form");
    refuses(
        &field(75, b"\x11\x00\x00\x00\x00\x00\x00\xf0\x7f"),
        "wValue: a number in a google.protobuf.Value must be finite",
    );
    refuses(
        &field(77, &field(1, b"x/nope.Nope")),
        "wAny.@type: no message type is known for \"x/nope.Nope\"",
    );
    refuses(&field(77, &field(2, b"x")), "wAny.@type: no message type is known for \"\"");
    prints(&field(75, b""), r#"{"wValue":null}"#);
}
