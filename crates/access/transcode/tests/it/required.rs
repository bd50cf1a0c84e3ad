//! proto2: required fields of requests.

use aqueduct_transcode::{Options, Transcoder};

use crate::rules::{FORM, JSON, RAW, find, message, router};

#[test]
fn a_request_needs_its_required_fields() {
    let router = router(
        &Options::default(),
        &[
            ("Order", "Order", r#"post: "/all" body: "*""#),
            ("Order", "Order", r#"post: "/order/{id}" body: "item""#),
            ("Order", "Order", r#"post: "/item/{item.sku}" body: "inner""#),
            ("Order", "Order", r#"post: "/raw/{extra.why}" body: "extra.raw""#),
            ("Free", "Order", r#"post: "/free" body: "*""#),
        ],
    );
    let check = |url: &str, body: &str, missing: Option<&str>| {
        let found = message(&router, JSON, ("POST", url), body.as_bytes());
        let words = missing.map(|path| format!("value: {path}: the field is required"));
        assert_eq!(found.err(), words, "{url} {body}");
    };
    check("/all", r#"{"id": 0}"#, None);
    check("/all", "{}", Some("id"));
    check("/all", "", Some("id"));
    check("/all", r#"{"id": null}"#, Some("id"));
    check("/all", r#"{"id": 1, "item": {}}"#, Some("item.sku"));
    check("/all", r#"{"id": 1, "item": {"sku": ""}}"#, None);
    check("/all", r#"{"id": 1, "items": [{"sku": "a"}, {"count": 1}]}"#, Some("items[1].sku"));
    check("/all", r#"{"id": 1, "bySku": {"a": {"sku": "a"}, "b": {}}}"#, Some("bySku[\"b\"].sku"));
    check("/all", r#"{"id": 1, "byNumber": {"7": {}}}"#, Some("byNumber[\"7\"].id"));
    check(
        "/all",
        r#"{"id": 1, "byNumber": {"7": {"id": 1, "inner": {}}}}"#,
        Some("byNumber[\"7\"].inner.id"),
    );
    check("/all", r#"{"id": 1, "extra": {}}"#, Some("extra.why"));
    check("/all", r#"{"id": 1, "extra": {"why": "x"}}"#, None);
    check("/all", r#"{"id": 1, "first": {}}"#, Some("first.sku"));
    check("/all", r#"{"id": 1, "second": {}, "free": {"free": {}}}"#, None);
    check("/all", r#"{"id": 1, "any": {"@type": "x/shaping.v1.Item"}}"#, None);
    check("/free", "{}", None);
    // Each brings a piece.
    check("/order/7", r#"{"sku": "a"}"#, None);
    check("/order/7", "", None);
    check("/order/7", r#"{"count": 1}"#, Some("item.sku"));
    check("/item/a", r#"{"id": 1}"#, Some("id"));
    check("/item/a?id=1&item.count=3", r#"{"id": 1}"#, None);
    check("/item/a?id=1", "{}", Some("inner.id"));
    let deep = format!("{}{{\"id\":1}}{}", "{\"id\":1,\"inner\":".repeat(99), "}".repeat(99));
    check("/all", &deep, None);
    let deep = deep.replace("{\"id\":1}", "{}");
    check("/all", &deep, Some(&format!("{}id", "inner.".repeat(99))));
    let form = message(&router, FORM, ("POST", "/all"), b"item.count=1&id=1");
    assert_eq!(form.unwrap_err(), "value: item.sku: the field is required");
    let raw = message(&router, RAW, ("POST", "/raw/because"), b"x");
    assert_eq!(raw.unwrap_err(), "value: id: the field is required");
}

#[test]
fn responses_are_not_checked() {
    let router = router(&Options::default(), &[("Free", "Order", r#"get: "/x""#)]);
    let mut out = Vec::new();
    Transcoder::new().decode_response(find(&router, "GET", "/x").binding, b"\x12\x00", &mut out).unwrap();
    assert_eq!(out, br#"{"item":{}}"#);
}
