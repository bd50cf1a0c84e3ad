//! PATCH without a mask: it is filled from the keys of the body.

use std::sync::LazyLock;

use aqueduct_transcode::{Options, Router};

use crate::rules::{FORM, JSON, RAW, message, router};

fn patches(options: &Options) -> Router {
    router(
        options,
        &[
            (
                "Request",
                "Part",
                r#"patch: "/part" body: "part" additional_bindings { put: "/part" body: "part" }"#,
            ),
            ("Request", "Part", r#"patch: "/deep" body: "part.part""#),
            ("Request", "Part", r#"patch: "/path/{update_mask}" body: "part""#),
            ("Request", "Part", r#"patch: "/all" body: "*""#),
            ("Request", "Part", r#"patch: "/none""#),
            ("Request", "Part", r#"patch: "/note" body: "note""#),
            ("Request", "Part", r#"patch: "/extra" body: "part.extra""#),
            ("Request", "Part", r#"patch: "/raw" body: "raw""#),
            ("Request", "Part", r#"patch: "/id/{part.id}" body: "part""#),
            ("TwoMasks", "Part", r#"patch: "/two" body: "part""#),
            ("Part", "Part", r#"patch: "/inner" body: "part""#),
        ],
    )
}

/// The mask that a body gives, in JSON's casing.
#[track_caller]
fn check(url: &str, body: &str, expect: Option<&str>) {
    static ROUTER: LazyLock<Router> = LazyLock::new(|| patches(&Options::default()));
    let json = message(&ROUTER, JSON, ("PATCH", url), body.as_bytes()).unwrap();
    let mask = json.split_once("\"updateMask\":\"").or_else(|| json.split_once("\"mask\":\""));
    let mask = mask.and_then(|(_, rest)| rest.split('"').next());
    assert_eq!(mask, expect, "{url} {body}: {json}");
}

#[test]
fn keys_become_sorted_paths() {
    check("/part", r#"{"tags": ["a"], "id": 1}"#, Some("id,tags"));
    check("/part", r#"{"longNote": "x"}"#, Some("longNote"));
    check("/part", r#"{"long_note": "x"}"#, Some("longNote"));
    check("/part", r#"{"l\u006fngNote": "x"}"#, Some("longNote"));
    check(
        "/part",
        r#"{"part": {"longNote": "x", "part": {"id": 0}}, "flag": false}"#,
        Some("flag,part.longNote,part.part.id"),
    );
    check("/deep", r#"{"part": {"id": 1}, "id": 2}"#, Some("id,part.id"));
    check("/inner", r#"{"id": 2}"#, Some("id"));
    // Defaults, null and empty objects clear a field: its own path.
    check(
        "/part",
        r#"{"id": "0", "longNote": null, "part": {}, "byPart": null}"#,
        Some("byPart,id,longNote,part"),
    );
    check("/part", r#"{"part": {"part": { }, "tags": []}}"#, Some("part.part,part.tags"));
    // Lists, maps and what JSON writes in a form of its own are one value.
    check("/part", r#"{"parts": [{"id": 1}], "labels": {"a": 1}}"#, Some("labels,parts"));
    check(
        "/part",
        r#"{"extra": {"a": {"b": 1}}, "value": {"a": 1}, "list": [{"a": 1}]}"#,
        Some("extra,list,value"),
    );
    check("/part", r#"{"any": {"@type": "x/shaping.v1.Part", "id": 1}}"#, Some("any"));
    check(
        "/part",
        r#"{"at": "1970-01-01T00:00:00Z", "ttl": "1s", "mask": "a.b", "limit": 5}"#,
        Some("at,limit,mask,ttl"),
    );
    check(
        "/part",
        r#"{"nothing": {}, "raw": {"contentType": "a"}, "color": "RED", "pageSize": 1}"#,
        Some("color,nothing,pageSize,raw.contentType"),
    );
    check("/id/7", r#"{"id": 8}"#, Some("id"));
    check("/part", "{}", None);
    check("/part", "null", None);
    check("/part", "", None);
}

#[test]
fn a_mask_that_is_given_is_kept() {
    check("/part?updateMask=flag", r#"{"id": 1}"#, Some("flag"));
    check("/part?update_mask=flag,part.id", r#"{"id": 1}"#, Some("flag,part.id"));
    check("/part?note=n", r#"{"id": 1}"#, Some("id"));
    check("/part?updateMask=", r#"{"id": 1}"#, Some("id"));
    check("/path/flag", r#"{"id": 1}"#, Some("flag"));
}

#[test]
fn only_a_patch_of_a_message_with_one_mask_is_filled() {
    check("/all", r#"{"part": {"id": 1}}"#, None);
    check("/none", r#"{"id": 1}"#, None);
    check("/note", r#""x""#, None);
    check("/extra", r#"{"a": 1}"#, None);
    let router = patches(&Options::default());
    let two = message(&router, JSON, ("PATCH", "/two"), br#"{"id": 1}"#);
    assert_eq!(two.as_deref(), Ok(r#"{"part":{"id":"1"}}"#));
    let put = message(&router, JSON, ("PUT", "/part"), br#"{"id": 1}"#);
    assert_eq!(put.as_deref(), Ok(r#"{"part":{"id":"1"}}"#));
    let raw = message(&router, RAW, ("PATCH", "/raw"), b"{}");
    assert_eq!(raw.as_deref(), Ok(r#"{"raw":{"contentType":"text/csv","data":"e30="}}"#));
    let form = message(&router, FORM, ("PATCH", "/part"), b"part.id=1");
    assert_eq!(form.as_deref(), Ok(r#"{"part":{"id":"1"}}"#));
}

#[test]
fn unknown_keys_follow_the_rule_of_the_body() {
    let body = br#"{"nope": {"a": [1]}, "id": 1}"#;
    let strict = message(&patches(&Options::default()), JSON, ("PATCH", "/part"), body);
    assert_eq!(strict.unwrap_err(), "unknown: part.nope: shaping.v1.Part has no such field (at byte 2)");
    let options = Options { ignore_unknown: true, ..Options::default() };
    let lenient = message(&patches(&options), JSON, ("PATCH", "/part"), body);
    assert_eq!(lenient.as_deref(), Ok(r#"{"part":{"id":"1"},"updateMask":"id"}"#));
}

/// A long prefix costs the client its bytes once, but every path has it.
#[test]
fn the_mask_is_bounded() {
    let leaves = r#""id":1,"longNote":"","flag":true,"score":1"#;
    let mut body = format!("{{{leaves}}}");
    for _ in 0..90 {
        body = format!("{{{leaves},\"byPart\":{body}}}");
    }
    let options = Options { output_bytes: 100_000, ..Options::default() };
    let refused = message(&patches(&options), JSON, ("PATCH", "/part"), body.as_bytes()).unwrap_err();
    assert_eq!(refused, "limit: the field mask of the body would be longer than 100000 bytes");
    assert!(message(&patches(&Options::default()), JSON, ("PATCH", "/part"), body.as_bytes()).is_ok());
}
