//! `body` and `response_body`: dotted paths, fields of any type, forms.

use aqueduct_transcode::{BodyRule, Options, Router, Transcoder};

use crate::rules::{FORM, JSON, find, message, router};

const REQUEST: &str = "Request";
const PART: &str = "Part";

fn requests(rules: &[&str]) -> Router {
    let rules: Vec<_> = rules.iter().map(|rule| (REQUEST, PART, *rule)).collect();
    router(&Options::default(), &rules)
}

#[test]
fn bodies_are_fields_anywhere() {
    let router = requests(&[
        r#"post: "/note/{id}" body: "part.long_note""#,
        r#"post: "/tags/{part.long_note}" body: "part.tags""#,
        r#"post: "/deep" body: "part.part.by_part""#,
        r#"post: "/labels" body: "part.labels""#,
        r#"post: "/extra" body: "part.extra""#,
        r#"post: "/json" body: "part.longNote""#,
    ]);
    let check = |url: &str, body: &str, expect: Result<&str, &str>| {
        let found = message(&router, JSON, ("POST", url), body.as_bytes());
        assert_eq!(found.as_deref().map_err(String::as_str), expect, "{url} {body}");
    };
    check("/note/7", r#""x""#, Ok(r#"{"id":"7","part":{"longNote":"x"}}"#));
    check("/note/7", r#""""#, Ok(r#"{"id":"7","part":{}}"#));
    check("/note/7", "null", Ok(r#"{"id":"7"}"#));
    check("/note/7", "", Ok(r#"{"id":"7"}"#));
    check("/json", r#""x""#, Ok(r#"{"part":{"longNote":"x"}}"#));
    check(
        "/note/7?part.id=3&part.tags=a",
        r#""x""#,
        Ok(r#"{"id":"7","part":{"id":"3","longNote":"x","tags":["a"]}}"#),
    );
    check("/note/7", "5", Err("value: part.longNote: expected a string, found 5 (at byte 0)"));
    check("/note/7?part.long_note=x", "null", Err("unknown: part.long_note: the field is the body"));
    check("/tags/n", r#"["a","b"]"#, Ok(r#"{"part":{"longNote":"n","tags":["a","b"]}}"#));
    check("/tags/n", r#"["a",5]"#, Err("value: part.tags[1]: expected a string, found 5 (at byte 5)"));
    check("/tags/n?part.tags=c", "[]", Err("unknown: part.tags: the field is the body"));
    check("/deep", r#"{"id":1}"#, Ok(r#"{"part":{"part":{"byPart":{"id":"1"}}}}"#));
    check("/deep?part.part.byPart.id=1", "{}", Err("unknown: part.part.byPart.id: the field is the body"));
    check("/deep?part.id=1&part.part.id=2", "{}", Ok(r#"{"part":{"id":"1","part":{"id":"2","byPart":{}}}}"#));
    check("/labels", r#"{"a":1}"#, Ok(r#"{"part":{"labels":{"a":1}}}"#));
    check(
        "/labels",
        r#"{"a":"x"}"#,
        Err(r#"value: part.labels["a"]: expected an int32, found "x" (at byte 5)"#),
    );
    check("/extra", r#"{"a":[null]}"#, Ok(r#"{"part":{"extra":{"a":[null]}}}"#));
    let binding = find(&router, "POST", "/deep").binding;
    assert_eq!(binding.body(), BodyRule::Field);
    assert!(!binding.request_is_raw() && !binding.response_is_raw());
}

#[test]
fn responses_are_fields_of_any_type() {
    let wire: &[u8] =
        b"\x08\x07\x12\x01t\x1a\x01a\x22\x04\x22\x02\x08\x01\x1a\x01b\x22\x06\x22\x04\x12\x02hi\
        \x2a\x05\x0a\x01k\x10\x02\x30\x01\x3a\x01\xff\x40\x00\x4a\x02\x08\x02\x52\x00\
        \x6a\x02\x08\x01\x72\x02\x08\x01\x7a\x03\x0a\x01a\x82\x01\x0a\x0a\x08\x0a\x01s\x12\x03\x1a\x01v\
        \x8a\x01\x02\x20\x01\x92\x01\x04\x0a\x02\x20\x01\xa2\x01\x00\xaa\x01\x02\x08\x05\xb8\x01\x01";
    let check = |field: &str, absent: &str, present: &str| {
        let rule = format!("get: \"/x\" response_body: \"{field}\"");
        let router = router(&Options::default(), &[(REQUEST, PART, &rule)]);
        let found = find(&router, "GET", "/x");
        for (wire, expect) in [(&b""[..], absent), (wire, present)] {
            let mut out = b"kept".to_vec();
            Transcoder::new().decode_response(found.binding, wire, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("kept{expect}"), "{field}");
        }
    };
    check("id", r#""0""#, r#""7""#);
    check("long_note", r#""""#, r#""t""#);
    check("longNote", r#""""#, r#""t""#);
    check("tags", "[]", r#"["a","b"]"#);
    check("part", "{}", r#"{"part":{"id":"1","longNote":"hi"}}"#);
    check("part.part", "{}", r#"{"id":"1","longNote":"hi"}"#);
    check("part.part.id", r#""0""#, r#""1""#);
    check("part.part.long_note", r#""""#, r#""hi""#);
    check("part.tags", "[]", "[]");
    check("part.at", "null", "null");
    check("labels", "{}", r#"{"k":2}"#);
    check("color", r#""COLOR_UNSPECIFIED""#, r#""RED""#);
    check("data", r#""""#, r#""/w==""#);
    check("page_size", "null", "0");
    check("parts", "[]", r#"[{"id":"2"}]"#);
    check("by_name", "null", r#""""#);
    check("at", "null", r#""1970-01-01T00:00:01Z""#);
    check("ttl", "null", r#""1s""#);
    check("mask", "null", r#""a""#);
    check("extra", "{}", r#"{"s":"v"}"#);
    check("value", "null", "true");
    check("list", "[]", "[true]");
    check("any", "{}", "{}");
    check("nothing", "{}", "{}");
    check("limit", "null", "5");
    check("score", "0", "0");
    check("flag", "false", "true");
    check(
        "*",
        "{}",
        r#"{"id":"7","longNote":"t","tags":["a","b"],"part":{"part":{"id":"1","longNote":"hi"}},"labels":{"k":2},"color":"RED","data":"/w==","pageSize":0,"parts":[{"id":"2"}],"byName":"","at":"1970-01-01T00:00:01Z","ttl":"1s","mask":"a","extra":{"s":"v"},"value":true,"list":[true],"nothing":{},"limit":5,"flag":true}"#,
    );
}

#[test]
fn an_absent_enum_of_proto2_is_null() {
    let rule = r#"get: "/x" response_body: "level""#;
    let router = router(&Options::default(), &[(REQUEST, "Free", rule)]);
    let mut out = Vec::new();
    Transcoder::new().decode_response(find(&router, "GET", "/x").binding, b"", &mut out).unwrap();
    assert_eq!(out, b"null");
}

#[test]
fn forms_bind_like_queries_on_the_whole_message() {
    let router = requests(&[
        r#"post: "/all/{id}" body: "*""#,
        r#"post: "/part/{part.id}" body: "part""#,
        r#"post: "/none""#,
    ]);
    let check = |url: &str, body: &str, expect: Result<&str, &str>| {
        let found = message(&router, FORM, ("POST", url), body.as_bytes());
        assert_eq!(found.as_deref().map_err(String::as_str), expect, "{url} {body}");
    };
    check("/all/7", "", Ok(r#"{"id":"7"}"#));
    check(
        "/all/7",
        "note=a+b%26&id=8&tags=x&part.long_note=n",
        Ok(r#"{"id":"7","part":{"longNote":"n"},"note":"a b&","tags":["x"]}"#),
    );
    check("/all/7?tags=q", "tags=f&&tags=g", Ok(r#"{"id":"7","tags":["q","f","g"]}"#));
    check("/part/7", "part.id=8&part.longNote=n", Ok(r#"{"part":{"id":"7","longNote":"n"}}"#));
    check("/none?id=1", "note=n", Ok(r#"{"id":"1","note":"n"}"#));
    check("/none?note=q", "tags=a&note=f", Err("duplicate: note: the parameter is there twice"));
    check(
        "/none?by_name=q",
        "by_part.id=1",
        Err("duplicate: by_part.id: another field of the same oneof is there already"),
    );
    check(
        "/none",
        "by_part.id=1&by%5Fname=x",
        Err("duplicate: by%5Fname: another field of the same oneof is there already"),
    );
    check("/none", "nope=1", Err("unknown: nope: shaping.v1.Request has no such field"));
    check("/none", "id=x", Err("value: id: expected an int64, found \"x\""));
    check("/none", "labels=x", Err("unknown: labels: a map cannot be a query parameter"));
    check("/none", "{\"id\": 1}", Err("unknown: {\"id\": 1}: shaping.v1.Request has no such field"));
    let found = message(&router, FORM, ("POST", "/none"), b"note=\xff");
    assert_eq!(found.unwrap_err(), "url: note: the value is not UTF-8");
}

#[test]
fn a_oneof_is_shared_by_body_and_query() {
    let router = requests(&[
        r#"post: "/part" body: "by_part""#,
        r#"post: "/name/{by_name}" body: "by_part""#,
        r#"post: "/inner" body: "part.by_part""#,
        r#"get: "/path/{by_name}""#,
    ]);
    let check = |method: &str, url: &str, body: &str, expect: Result<&str, &str>| {
        let found = message(&router, JSON, (method, url), body.as_bytes());
        assert_eq!(found.as_deref().map_err(String::as_str), expect, "{url} {body}");
    };
    let clash = |name: &str| format!("duplicate: {name}: another field of the same oneof is there already");
    check("POST", "/part?by_name=n", r#"{"id":1}"#, Err(&clash("by_name")));
    check("POST", "/part?note=n&by_other.id=1", "{}", Err(&clash("by_other.id")));
    // Without a body nothing clashes.
    check("POST", "/part?by_name=n", "", Ok(r#"{"byName":"n"}"#));
    check("POST", "/part?by_name=n", "null", Ok(r#"{"byName":"n"}"#));
    check("POST", "/part?by_other.id=1&by_name=n", "null", Err(&clash("by_name")));
    check("POST", "/inner?part.by_name=n", "{}", Err(&clash("part.by_name")));
    check("POST", "/inner?by_name=n&part.id=1", "{}", Ok(r#"{"part":{"id":"1","byPart":{}},"byName":"n"}"#));
    // The path wins over both.
    check("POST", "/name/n", r#"{"id":1}"#, Ok(r#"{"byName":"n"}"#));
    check("POST", "/name/n?by_name=x", "", Ok(r#"{"byName":"n"}"#));
    check("GET", "/path/n?by_part.id=1", "", Ok(r#"{"byName":"n"}"#));
}
