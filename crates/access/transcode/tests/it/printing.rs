//! The options of what is printed, next to the canonical form.

use aqueduct_transcode::{Defaults, Options, Target, Transcoder};

use crate::rules::schema;

#[track_caller]
fn check(message: &str, options: &Options, wire: &[u8], expect: &str) {
    let schema = schema(&[]);
    let message = schema.message(message).unwrap();
    let mut out = Vec::new();
    let target = Target { schema: &schema, message, options };
    Transcoder::new().wire_to_json(target, wire, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), expect);
}

#[test]
fn names_and_enums_have_two_forms() {
    let check =
        |options: Options, wire: &[u8], expect: &str| check("shaping.v1.Part", &options, wire, expect);
    let default = Options::default;
    check(default(), b"\x12\x01n\x30\x01", r#"{"longNote":"n","color":"RED"}"#);
    check(
        Options { proto_names: true, ..default() },
        b"\x12\x01n\x30\x01",
        r#"{"long_note":"n","color":"RED"}"#,
    );
    check(Options { enum_numbers: true, ..default() }, b"\x12\x01n\x30\x01", r#"{"longNote":"n","color":1}"#);
}

#[test]
fn what_is_not_there_can_be_printed() {
    let with = |defaults| Options { defaults, ..Options::default() };
    let proto3 =
        |defaults, wire: &[u8], expect: &str| check("shaping.v1.Request", &with(defaults), wire, expect);
    proto3(Defaults::Omit, b"\x08\x00", "{}");
    proto3(Defaults::Print, b"\x08\x00", r#"{"id":"0","note":"","tags":[],"labels":{},"raws":[]}"#);
    proto3(
        Defaults::PrintNull,
        b"\x08\x00",
        r#"{"id":"0","part":null,"raw":null,"updateMask":null,"note":"","tags":[],"labels":{},"raws":[]}"#,
    );
    // Members of a oneof are printed only when they are there; so are `optional` ones.
    proto3(
        Defaults::PrintNull,
        b"\x12\x02\x40\x00\x3a\x01n\x2a\x01x",
        r#"{"id":"0","part":{"id":"0","longNote":"","tags":[],"part":null,"labels":{},"color":"COLOR_UNSPECIFIED","data":"","pageSize":0,"parts":[],"raw":null,"at":null,"ttl":null,"mask":null,"extra":null,"value":null,"list":null,"any":null,"nothing":null,"limit":null,"score":0,"flag":false},"raw":null,"updateMask":null,"note":"x","tags":[],"byName":"n","labels":{},"raws":[]}"#,
    );
    let proto2 =
        |defaults, wire: &[u8], expect: &str| check("shaping.v1.Free", &with(defaults), wire, expect);
    proto2(Defaults::Print, b"", r#"{"numbers":[]}"#);
    proto2(Defaults::PrintNull, b"", r#"{"note":null,"level":null,"free":null,"numbers":[]}"#);
    proto2(Defaults::PrintNull, b"\x0a\x00\x10\x01", r#"{"note":"","level":"LOW","free":null,"numbers":[]}"#);
    // To a closed enum a number that it does not have is an unknown field.
    proto2(Defaults::PrintNull, b"\x10\x09", r#"{"note":null,"level":null,"free":null,"numbers":[]}"#);
    let group = |defaults, expect: &str| check("shaping.v1.Order.Extra", &with(defaults), b"", expect);
    group(Defaults::PrintNull, r#"{"why":null,"raw":null,"note":null}"#);
    let known =
        |wire: &[u8], expect: &str| check("google.rpc.Status", &with(Defaults::PrintNull), wire, expect);
    known(b"\x08\x05", r#"{"code":5,"message":"","details":[]}"#);
}
