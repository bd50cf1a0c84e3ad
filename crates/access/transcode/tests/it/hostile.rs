//! Input made to hurt: depth, size, amplification. Each is answered by an error, quickly and in bounded memory.

use aqueduct_transcode::{ErrorKind, Options, Target, TranscodeError, Transcoder};

use crate::fixture::{EVERYTHING, FIXTURE, to_json, to_wire};

fn with(options: &Options, json: &str) -> Result<Vec<u8>, TranscodeError> {
    let message = FIXTURE.schema.message(EVERYTHING).unwrap();
    let mut out = Vec::new();
    let target = Target { schema: &FIXTURE.schema, message, options };
    Transcoder::new().json_to_wire(target, json.as_bytes(), &mut out).map(|()| out)
}

fn print_with(options: &Options, wire: &[u8]) -> Result<Vec<u8>, TranscodeError> {
    let message = FIXTURE.schema.message(EVERYTHING).unwrap();
    let mut out = Vec::new();
    let target = Target { schema: &FIXTURE.schema, message, options };
    Transcoder::new().wire_to_json(target, wire, &mut out).map(|()| out)
}

fn nested_json(open: &str, close: &str, depth: usize) -> String {
    open.repeat(depth) + "{}" + &close.repeat(depth)
}

#[test]
fn json_depth_is_bounded() {
    let limit = |result: Result<Vec<u8>, TranscodeError>| result.map_err(|error| error.kind()).map(|_| ());
    let check = |open: &str, close: &str| {
        assert_eq!(limit(to_wire(EVERYTHING, nested_json(open, close, 99).as_bytes())), Ok(()), "{open}");
        assert_eq!(
            limit(to_wire(EVERYTHING, nested_json(open, close, 100).as_bytes())),
            Err(ErrorKind::Limit),
            "{open}"
        );
        let endless = open.repeat(200_000);
        assert_eq!(limit(to_wire(EVERYTHING, endless.as_bytes())), Err(ErrorKind::Limit), "{open}");
    };
    check("{\"fSelf\":", "}");
    let list = "{\"wList\":".to_owned() + &"[".repeat(5_000);
    assert_eq!(limit(to_wire(EVERYTHING, list.as_bytes())), Err(ErrorKind::Limit));
    let any = "{\"@type\":\"x/google.protobuf.Any\",\"value\":".repeat(5_000);
    assert_eq!(limit(to_wire("google.protobuf.Any", any.as_bytes())), Err(ErrorKind::Limit));
    let message = to_wire(EVERYTHING, "{\"fSelf\":".repeat(101).as_bytes()).unwrap_err();
    assert!(message.to_string().starts_with("fSelf.fSelf.fSelf."));
    assert!(message.message().contains("nested too deep"));
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

#[test]
fn elements_are_counted_over_the_whole_message() {
    let options = Options { elements: 1000, ..Options::default() };
    let list = |count: usize| vec!["{}"; count].join(",");
    assert!(with(&options, &format!("{{\"rNested\":[{}]}}", list(1000))).is_ok());
    let error = with(&options, &format!("{{\"rNested\":[{}]}}", list(1001))).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Limit, Some("rNested")));
    let spread = format!("{{\"rNested\":[{}],\"rSelf\":[{{\"rNested\":[{}]}}]}}", list(500), list(500));
    assert_eq!(with(&options, &spread).unwrap_err().kind(), ErrorKind::Limit);

    assert!(print_with(&options, &b"\xda\x02\x00".repeat(1000)).is_ok());
    assert!(print_with(&options, &b"\xda\x02\x00".repeat(1001)).is_err());
    let mut packed = b"\xba\x02\xe9\x07".to_vec();
    packed.extend([0; 1001]);
    assert!(print_with(&options, &packed).is_err(), "packed bools");
}

#[test]
fn output_is_bounded() {
    let options = Options { output_bytes: 10_000, ..Options::default() };
    // Two bytes for `"COLOR_UNSPECIFIED",`.
    let wire = [b"\xd2\x02\xe8\x07".to_vec(), vec![0; 1000]].concat();
    let error = print_with(&options, &wire).unwrap_err();
    assert!(error.to_string().contains("longer than 10000 bytes"), "{error}");
    // The same unpacked, and without a list.
    assert!(print_with(&options, &b"\xd0\x02\x00".repeat(1000)).is_err());
    let tight = Options { output_bytes: 5, ..Options::default() };
    assert!(print_with(&tight, b"\x18\x01\x20\x01").is_err());
}

#[test]
fn wire_depth_is_bounded() {
    let nest = |depth: usize| {
        let mut wire = Vec::new();
        for _ in 0..depth {
            let mut outer = b"\x92\x01".to_vec();
            prost::encoding::encode_varint(wire.len() as u64, &mut outer);
            outer.extend(&wire);
            wire = outer;
        }
        wire
    };
    assert!(to_json(EVERYTHING, &nest(99)).is_ok());
    assert!(to_json(EVERYTHING, &nest(100)).unwrap_err().to_string().contains("nested too deep"));
    assert!(to_json(EVERYTHING, &nest(5_000)).is_err());
    assert!(
        to_json(EVERYTHING, &b"\xc3\x3e".repeat(100_000))
            .unwrap_err()
            .to_string()
            .contains("nested too deep"),
        "groups"
    );
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
