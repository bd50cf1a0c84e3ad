//! Input made to hurt: depth, size, amplification. Each is answered by an error, quickly and in bounded memory.

use aqueduct_transcode::{ErrorKind, Options, Target, TranscodeError, Transcoder};

use crate::fixture::{EVERYTHING, FIXTURE, to_json, to_wire};

fn with(options: &Options, json: &str) -> Result<Vec<u8>, TranscodeError> {
    let message = FIXTURE.schema.message(EVERYTHING).unwrap();
    let mut out = Vec::new();
    let target = Target { schema: &FIXTURE.schema, message, options };
    Transcoder::new().json_to_wire(target, json.as_bytes(), &mut out).map(|()| out)
}

/// Each level of `Any` looks ahead for its `@type`: without a bound that is quadratic.
#[test]
fn looking_for_late_types_is_bounded() {
    let padding = format!("\"x\":\"{}\",", "a".repeat(50_000));
    let level = "{\"value\":";
    let json =
        level.repeat(90) + "{" + &padding + "\"a\":1}" + &",\"@type\":\"x/google.protobuf.Any\"}".repeat(90);
    let error = to_wire("google.protobuf.Any", json.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

/// A message in pieces at every level: each level is scanned once, not once for every piece above it.
#[test]
fn pieces_at_every_level_stay_linear() {
    let mut wire = b"\x18\x01".to_vec();
    for _ in 0..14 {
        let mut outer = Vec::new();
        for _ in 0..2 {
            outer.extend(b"\x92\x01");
            prost::encoding::encode_varint(wire.len() as u64, &mut outer);
            outer.extend(&wire);
        }
        wire = outer;
    }
    assert!(to_json(EVERYTHING, &wire).unwrap().ends_with("{\"fInt32\":1}}}}}}}}}}}}}}}"));
}

#[test]
fn a_transcoder_recovers_from_errors() {
    let options = Options::default();
    let message = FIXTURE.schema.message(EVERYTHING).unwrap();
    let target = Target { schema: &FIXTURE.schema, message, options: &options };
    let mut transcoder = Transcoder::new();
    let mut out = b"kept".to_vec();
    let good = br#"{"rSelf":[{"fInt32":1}],"mStringString":{"a":"1","b":"2"},"snakeCaseWith1Number":"x"}"#;
    for bad in [
        &b"{\"mStringString\":{\"a\":\"1\",\"b\":tru"[..],
        b"{\"rSelf\":[{\"alias\":1,\"fInt32\":\"x\"}]}",
        b"\xff",
    ] {
        assert!(transcoder.json_to_wire(target, bad, &mut out).is_err());
        assert_eq!(out, b"kept");
        transcoder.json_to_wire(target, good, &mut out).unwrap();
        assert_eq!(out.split_off(4), to_wire(EVERYTHING, good).unwrap());
    }
    let wire = to_wire(EVERYTHING, good).unwrap();
    for bad in [&b"\x18"[..], b"\x9a\x03\x06\x0a\x01k\x12\x01\xff", b"\xea\x02\x04\x18\x01\x18\xff"] {
        assert!(transcoder.wire_to_json(target, bad, &mut out).is_err());
        assert_eq!(out, b"kept");
        transcoder.wire_to_json(target, &wire, &mut out).unwrap();
        assert_eq!(out.split_off(4), good);
    }
}

#[test]
fn unknown_fields_can_be_ignored() {
    let options = Options { ignore_unknown: true, ..Options::default() };
    let json = r#"{"nope": {"a": [1, {"b": null}]}, "fInt32": 1, "fColor": "PURPLE", "rColor": ["RED", "PURPLE"],
        "mFixed64Color": {"1": "PURPLE", "2": "RED"}}"#;
    let wire = with(&options, json).unwrap();
    assert_eq!(
        to_json(EVERYTHING, &wire).unwrap(),
        r#"{"fInt32":1,"rColor":["RED"],"mFixed64Color":{"2":"RED"}}"#
    );
    for bad in [r#"{"nope": tru}"#, r#"{"nope": "\ud800"}"#, r#"{"nope": 01}"#] {
        assert!(with(&options, bad).is_err(), "{bad}");
    }
}
