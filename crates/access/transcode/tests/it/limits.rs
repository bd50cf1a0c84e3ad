//! The limits of [`Options`], at their borders: what is just within passes, one more is refused, in both directions.

use aqueduct_transcode::{ErrorKind, Options, TranscodeError};

use crate::fixture::{EVERYTHING, to_json, to_json_with, to_wire, to_wire_with};

const LEGACY: &str = "test.v1.Legacy";
const ANY: &str = "google.protobuf.Any";

/// An opening bracket, what stands between it and the next one, and its closing bracket.
type Bracket = (&'static str, &'static str, &'static str);

/// `depth` brackets: `first`, then `rest` over and over. The innermost ones are empty.
fn nested(first: &[Bracket], rest: &[Bracket], depth: usize) -> String {
    let brackets: Vec<&Bracket> = first.iter().chain(rest.iter().cycle()).take(depth).collect();
    let mut json = String::new();
    for (at, (open, key, _)) in brackets.iter().enumerate() {
        json += open;
        json += if at + 1 < depth { key } else { "" };
    }
    brackets.iter().rev().for_each(|(_, _, close)| json += close);
    json
}

const LIST: Bracket = ("[", "", "]");
const MEMBER: Bracket = ("{", "\"a\":", "}");

const fn object(key: &'static str) -> Bracket {
    ("{", key, "}")
}

fn too_deep<T>(result: Result<T, TranscodeError>, kind: ErrorKind, what: &str) {
    let error = result.map(drop).expect_err(what);
    assert_eq!(error.kind(), kind, "{what}: {error}");
    assert!(error.message().contains("nested too deep"), "{what}: {error}");
}

#[test]
fn json_is_nested_100_deep_and_no_deeper() {
    // `brackets`: whether each bracket but the first is a message of its own, so that the wire has the same border.
    let check = |message: &str, first: &[Bracket], rest: &[Bracket], brackets: bool| {
        let what = nested(first, rest, 7);
        let json = |depth| nested(first, rest, depth).into_bytes();
        let wire = to_wire(message, &json(100)).expect(&what);
        too_deep(to_wire(message, &json(101)), ErrorKind::Limit, &what);
        // What is accepted can be printed.
        to_json(message, &wire).expect(&what);
        let deep = Options { depth: 200, ..Options::default() };
        let wire = to_wire_with(&deep, message, &json(200)).expect(&what);
        to_json_with(&deep, message, &wire).expect(&what);
        if brackets {
            let wire = to_wire_with(&deep, message, &json(101)).expect(&what);
            too_deep(to_json(message, &wire), ErrorKind::Upstream, &what);
        }
        let endless: String = rest.iter().map(|(open, key, _)| [*open, *key].concat()).collect();
        let start: String = first.iter().map(|(open, key, _)| [*open, *key].concat()).collect();
        too_deep(to_wire(message, (start + &endless.repeat(100_000)).as_bytes()), ErrorKind::Limit, &what);
    };
    check(EVERYTHING, &[], &[object("\"fSelf\":")], true);
    check(EVERYTHING, &[], &[object("\"rSelf\":"), LIST], false);
    check(EVERYTHING, &[], &[object("\"mSfixed32Self\":"), object("\"1\":")], false);
    check(EVERYTHING, &[object("\"wStruct\":")], &[MEMBER], true);
    check(EVERYTHING, &[object("\"wList\":")], &[LIST], true);
    check(EVERYTHING, &[object("\"wValue\":")], &[LIST, MEMBER], true);
    check(EVERYTHING, &[object("\"wValue\":")], &[MEMBER], true);
    check(ANY, &[], &[object("\"@type\":\"x/google.protobuf.Any\",\"value\":")], true);
    check(ANY, &[], &[object("\"@type\":\"x/test.v1.Everything\",\"wAny\":")], true);
    check(LEGACY, &[], &[object("\"item\":"), LIST, object("\"inner\":")], false);
}

/// A Timestamp is a message on the wire, and a string in JSON.
#[test]
fn what_has_no_brackets_is_no_level() {
    for value in
        ["\"wTimestamp\":\"1970-01-01T00:00:01Z\"", "\"wInt64\":\"1\"", "\"wMask\":\"a\"", "\"wValue\":1"]
    {
        let json = "{\"fSelf\":".repeat(99) + "{" + value + "}" + &"}".repeat(99);
        let wire = to_wire(EVERYTHING, json.as_bytes()).unwrap();
        assert_eq!(to_json(EVERYTHING, &wire), Ok(json));
    }
}

#[test]
fn ignored_fields_are_held_to_the_limit_too() {
    let options = Options { ignore_unknown: true, ..Options::default() };
    for rest in [LIST, MEMBER] {
        let json = |depth| nested(&[object("\"nope\":")], &[rest], depth).into_bytes();
        assert_eq!(to_wire_with(&options, EVERYTHING, &json(100)), Ok(Vec::new()));
        too_deep(to_wire_with(&options, EVERYTHING, &json(101)), ErrorKind::Limit, "ignored");
    }
}

fn wrapped(before: &[u8], content: &[u8], after: &[u8]) -> Vec<u8> {
    [before, content, after].concat()
}

fn with_length(tag: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = tag.to_vec();
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend(content);
    out
}

#[test]
fn the_wire_is_nested_100_messages_deep_and_no_deeper() {
    let check = |message: &str, what: &str, wrap: &dyn Fn(&[u8]) -> Vec<u8>| {
        let wire = |levels: usize| (1..levels).fold(Vec::new(), |content, _| wrap(&content));
        to_json(message, &wire(100)).expect(what);
        too_deep(to_json(message, &wire(101)), ErrorKind::Upstream, what);
        too_deep(to_json(message, &wire(5000)), ErrorKind::Upstream, what);
    };
    check(EVERYTHING, "messages", &|content| with_length(b"\x92\x01", content));
    check(EVERYTHING, "lists", &|content| with_length(b"\xea\x02", content));
    check(EVERYTHING, "maps", &|content| with_length(b"\xd2\x03", &with_length(b"\x12", content)));
    check(EVERYTHING, "unknown groups", &|content| wrapped(b"\xc3\x3e", content, b"\xc4\x3e"));
    let pairs = |levels: usize| {
        (0..levels).fold(Vec::new(), |content, _| wrapped(b"\x53", &with_length(b"\x12", &content), b"\x54"))
    };
    assert!(to_json(LEGACY, &pairs(49)).is_ok(), "a message in a group: 99 levels");
    too_deep(to_json(LEGACY, &pairs(50)), ErrorKind::Upstream, "a message in a group: 101 levels");
    too_deep(to_json(EVERYTHING, &b"\xc3\x3e".repeat(100_000)), ErrorKind::Upstream, "groups without end");
}

fn kind<T>(result: Result<T, TranscodeError>) -> Result<(), ErrorKind> {
    result.map(drop).map_err(|error| error.kind())
}

#[test]
fn elements_are_counted_over_the_whole_message() {
    let options = Options { elements: 1000, ..Options::default() };
    let (limit, upstream) = (Err(ErrorKind::Limit), Err(ErrorKind::Upstream));
    let json = |json: &str| kind(to_wire_with(&options, EVERYTHING, json.as_bytes()));
    let list = |element: &str, count: usize| format!("[{}]", vec![element; count].join(","));
    for (name, element) in
        [("rNested", "{}"), ("rwValue", "null"), ("wList", "[]"), ("rInt32", "0"), ("wValue", "{}")]
    {
        assert_eq!(json(&format!("{{\"{name}\":{}}}", list(element, 1000))), Ok(()), "{name}");
        assert_eq!(json(&format!("{{\"{name}\":{}}}", list(element, 1001))), limit, "{name}");
    }
    let map = |count: usize| {
        let entries: Vec<String> = (0..count).map(|key| format!("\"{key}\":{{}}")).collect();
        format!("{{\"mStringNested\":{{{}}}}}", entries.join(","))
    };
    assert_eq!((json(&map(1000)), json(&map(1001))), (Ok(()), limit));
    let spread = |count| {
        format!("{{\"rNested\":{},\"rSelf\":[{{\"rNested\":{}}}]}}", list("{}", 499), list("{}", count))
    };
    assert_eq!((json(&spread(500)), json(&spread(501))), (Ok(()), limit));

    let wire = |wire: &[u8]| kind(to_json_with(&options, EVERYTHING, wire));
    for (what, tag) in [
        ("messages", b"\xda\x02"),
        ("map entries", b"\x9a\x03"),
        ("Values", b"\xca\x05"),
        ("Anys", b"\xe2\x05"),
    ] {
        let elements = |count: usize| match what {
            "map entries" => (0..count)
                .flat_map(|key| with_length(tag, &with_length(b"\x0a", key.to_string().as_bytes())))
                .collect(),
            _ => with_length(tag, b"").repeat(count),
        };
        assert_eq!((wire(&elements(1000)), wire(&elements(1001))), (Ok(()), upstream), "{what}");
    }
    let packed = |count: usize| with_length(b"\xba\x02", &vec![0; count]);
    assert_eq!((wire(&packed(1000)), wire(&packed(1001))), (Ok(()), upstream), "a packed run");
}

/// Two bytes of the wire are an entry of sixteen while a message is read, even if only the last of them counts.
#[test]
fn fields_said_over_and_over_are_counted() {
    let options = Options { elements: 0, ..Options::default() };
    let wire = |count: usize| to_json_with(&options, EVERYTHING, &b"\x18\x01".repeat(count));
    assert_eq!(wire(65_536).as_deref(), Ok("{\"fInt32\":1}"));
    assert_eq!(kind(wire(65_537)), Err(ErrorKind::Upstream));
    // Of a closed enum the last value that it has counts.
    assert_eq!(to_json(LEGACY, &b"\x18\x09".repeat(300_000)).as_deref(), Ok("{}"));
    assert_eq!(
        to_json(LEGACY, &[b"\x18\x01".to_vec(), b"\x18\x09".repeat(300_000)].concat()).as_deref(),
        Ok("{\"level\":\"LOW\"}")
    );
}

/// Each element has two members of one oneof, of which the first is dropped: from its own entries, not from those of the
/// list.
#[test]
fn competing_members_in_a_long_list_stay_linear() {
    let wire = with_length(b"\xea\x02", b"\xe8\x03\x01\xf2\x03\x00").repeat(200_000);
    let json = to_json(EVERYTHING, &wire).unwrap();
    assert!(json.starts_with("{\"rSelf\":[{\"cString\":\"\"},{\"cString\":\"\"},"));
}

#[test]
fn the_json_is_bounded_to_the_byte() {
    let check = |wire: &[u8]| {
        let length = to_json(EVERYTHING, wire).unwrap().len();
        let print =
            |output_bytes| to_json_with(&Options { output_bytes, ..Options::default() }, EVERYTHING, wire);
        assert_eq!(kind(print(length)), Ok(()), "{wire:?}");
        let error = print(length - 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Upstream);
        assert_eq!(error.message(), format!("the JSON would be longer than {} bytes", length - 1));
    };
    check(b"");
    check(b"\x18\x01\x20\x01");
    check(&with_length(b"\x72", "a\u{1}\n\"é".repeat(1000).as_bytes()));
    check(&with_length(b"\x7a", &[7; 1000]));
    // One byte is `"COLOR_UNSPECIFIED",`.
    check(&with_length(b"\xd2\x02", &[0; 1000]));
    check(&b"\xd0\x02\x00".repeat(1000));
    check(&with_length(b"\xca\x04", &with_length(b"\x0a", b"path").repeat(1000)));
}

/// A string of control characters is six times as long in JSON: it is measured before it is written.
#[test]
fn a_string_that_is_too_long_is_not_printed_first() {
    use aqueduct_transcode::{Target, Transcoder};
    let wire = with_length(b"\x72", &vec![1; 1 << 20]);
    let options = Options { output_bytes: 2 << 20, ..Options::default() };
    let schema = &crate::fixture::FIXTURE.schema;
    let target = Target { schema, message: schema.message(EVERYTHING).unwrap(), options: &options };
    let mut out = Vec::new();
    assert!(Transcoder::new().wire_to_json(target, &wire, &mut out).is_err());
    assert!(out.capacity() < 1000, "{}", out.capacity());
}

#[test]
fn the_message_is_bounded_to_the_byte() {
    let check = |json: &str| {
        let length = to_wire(EVERYTHING, json.as_bytes()).unwrap().len();
        let read = |output_bytes| {
            to_wire_with(&Options { output_bytes, ..Options::default() }, EVERYTHING, json.as_bytes())
        };
        assert_eq!(kind(read(length)), Ok(()), "{json}");
        let error = read(length - 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(error.message(), format!("the message would be larger than {} bytes", length - 1));
    };
    check(r#"{"fInt32": 1}"#);
    check(&format!("{{\"fString\": \"{}\"}}", "a".repeat(1000)));
    // Two bytes are eleven.
    check(&format!("{{\"wList\": [{}]}}", vec!["0"; 1000].join(",")));
    check(&format!("{{\"rDouble\": [{}]}}", vec!["1"; 1000].join(",")));
}

#[test]
fn errors_do_not_repeat_a_long_input() {
    let long = "x".repeat(1 << 20);
    for json in [
        format!("{{\"{long}\": 1}}"),
        format!("{{\"fInt32\": \"{long}\"}}"),
        format!("{{\"mInt32Int64\": {{\"{long}\": 1}}}}"),
        format!("{{\"mStringString\": {{\"{long}\": 1}}}}"),
        format!("{{\"mStringString\": {{\"{long}\": \"\", \"{long}\": \"\"}}}}"),
        format!("{{\"wAny\": {{\"@type\": \"{long}\"}}}}"),
        format!("{{\"wAny\": {{\"@type\": \"x/google.protobuf.Duration\", \"{long}\": 1}}}}"),
    ] {
        let error = to_wire(EVERYTHING, json.as_bytes()).unwrap_err().to_string();
        assert!(
            error.len() < 300,
            "{} characters: {}",
            error.len(),
            error.chars().take(500).collect::<String>()
        );
    }
}
