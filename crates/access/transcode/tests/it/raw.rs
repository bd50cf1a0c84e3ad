//! `google.api.HttpBody`: bytes of any type, both ways, wherever the rule puts them.

use std::ops::Range;
use std::sync::LazyLock;

use aqueduct_transcode::{Options, RawBody, Router, Transcoder};

use crate::rules::{RAW, find, message, printed, router};

const REQUEST: &str = "Request";
const PART: &str = "Part";
const HTTP_BODY: &str = "google.api.HttpBody";

static DOWNLOADS: LazyLock<Router> = LazyLock::new(|| {
    router(
        &Options::default(),
        &[
            (REQUEST, HTTP_BODY, r#"get: "/all""#),
            (REQUEST, REQUEST, r#"get: "/field" response_body: "raw""#),
            (REQUEST, PART, r#"get: "/deep" response_body: "part.raw""#),
            (REQUEST, REQUEST, r#"get: "/oneof" response_body: "by_raw""#),
            ("Order", "Order", r#"get: "/group" response_body: "extra.raw""#),
            (REQUEST, REQUEST, r#"get: "/list" response_body: "raws""#),
            (REQUEST, REQUEST, r#"get: "/message""#),
        ],
    )
});

fn uploads() -> Router {
    router(
        &Options::default(),
        &[
            (
                HTTP_BODY,
                HTTP_BODY,
                r#"post: "/all/{content_type}" body: "*" additional_bindings { post: "/all" body: "*" }"#,
            ),
            (
                REQUEST,
                PART,
                r#"post: "/field/{id}" body: "raw" additional_bindings { post: "/field" body: "raw" }"#,
            ),
            (REQUEST, PART, r#"post: "/deep" body: "part.part.raw""#),
            (REQUEST, PART, r#"post: "/oneof" body: "by_raw""#),
            ("Order", "Order", r#"post: "/group/{id}/{extra.why}" body: "extra.raw""#),
            (REQUEST, PART, r#"post: "/list" body: "raws""#),
            (REQUEST, PART, r#"post: "/json" body: "part""#),
            (HTTP_BODY, HTTP_BODY, r#"get: "/none""#),
        ],
    )
}

#[test]
fn raw_bodies_become_data() {
    let router = uploads();
    for (path, raw) in [
        ("/all", true),
        ("/field", true),
        ("/deep", true),
        ("/oneof", true),
        ("/group/1/x", true),
        ("/list", false),
        ("/json", false),
    ] {
        assert_eq!(find(&router, "POST", path).binding.request_is_raw(), raw, "{path}");
    }
    assert!(!find(&router, "GET", "/none").binding.request_is_raw(), "there is no body");
    let check = |url: &str, body: &[u8], expect: Result<&str, &str>| {
        let found = message(&router, RAW, ("POST", url), body);
        assert_eq!(found.as_deref().map_err(String::as_str), expect, "{url}");
    };
    check("/all", b"a,b\xff", Ok(r#"{"contentType":"text/csv","data":"YSxi/w=="}"#));
    check("/all/text%2Fplain", b"", Ok(r#"{"contentType":"text/plain"}"#));
    check(
        "/all?content_type=x",
        b"",
        Err("unknown: content_type: the body is the whole request, so that there are no query parameters"),
    );
    check(
        "/field/7?note=n",
        b"{",
        Ok(r#"{"id":"7","raw":{"contentType":"text/csv","data":"ew=="},"note":"n"}"#),
    );
    check("/field?raw.content_type=x", b"", Err("unknown: raw.content_type: the field is the body"));
    check(
        "/deep?part.id=1",
        b"x",
        Ok(r#"{"part":{"id":"1","part":{"raw":{"contentType":"text/csv","data":"eA=="}}}}"#),
    );
    check(
        "/oneof?by_name=n",
        b"",
        Err("duplicate: by_name: another field of the same oneof is there already"),
    );
    check(
        "/group/7/because",
        b"x",
        Ok(r#"{"id":"7","extra":{"why":"because","raw":{"contentType":"text/csv","data":"eA=="}}}"#),
    );
    check("/json", b"x", Ok("{}"));
    check("/list", b"x", Ok("{}"));
    let long = vec![b'x'; 20_000];
    for path in ["/deep", "/group/1/x", "/all"] {
        assert!(message(&router, RAW, ("POST", path), &long).unwrap().len() > 26_000, "{path}");
    }
    let found = find(&router, "POST", "/deep");
    let mut out = b"kept".to_vec();
    Transcoder::encode_raw_piece(found.binding, b"more", &mut out);
    assert_eq!(printed(&found, &out[4..]), r#"{"part":{"part":{"raw":{"data":"bW9yZQ=="}}}}"#);
}

#[test]
fn raw_responses_are_ranges_of_the_wire() {
    let check = |path: &str, wire: &[u8], content_type: Option<&str>, data: Range<usize>, bytes: &[u8]| {
        let binding = find(&DOWNLOADS, "GET", path).binding;
        assert!(binding.response_is_raw());
        let found = Transcoder::new().decode_raw_response(binding, wire);
        assert_eq!(found, Ok(RawBody { content_type, data: data.clone() }), "{path}");
        assert_eq!(&wire[data], bytes);
    };
    check("/all", b"", None, 0..0, b"");
    check("/all", b"\x0a\x01t\x12\x02hi", Some("t"), 5..7, b"hi");
    check("/all", b"\x12\x02hi\x0a\x01t", Some("t"), 2..4, b"hi");
    check("/all", b"\x12\x02hi\x0a\x00\x12\x01x\x1a\x00", None, 8..9, b"x");
    check("/all", b"\x12\x02hi\x12\x00", None, 6..6, b"");
    check("/field", b"\x08\x01\x1a\x07\x0a\x01t\x12\x02hi", Some("t"), 9..11, b"hi");
    check("/field", b"\x08\x01", None, 0..0, b"");
    // In pieces: media type and data of different ones, and the last data.
    check("/field", b"\x1a\x04\x12\x02hi\x08\x01\x1a\x03\x0a\x01t", Some("t"), 4..6, b"hi");
    check("/field", b"\x1a\x04\x12\x02hi\x1a\x06\x0a\x01t\x12\x01x", Some("t"), 13..14, b"x");
    // So are the messages around it.
    check("/deep", b"\x22\x06\x62\x04\x12\x02hi\x22\x05\x62\x03\x0a\x01t", Some("t"), 6..8, b"hi");
    // Another member of the oneof, set later, replaces it; set earlier, it is replaced.
    check("/oneof", b"\x4a\x04\x12\x02hi\x3a\x01n", None, 0..0, b"");
    check("/oneof", b"\x3a\x01n\x4a\x04\x12\x02hi", None, 7..9, b"hi");
    check("/group", b"\x2b\x12\x04\x12\x02hi\x2c", None, 5..7, b"hi");
    for path in ["/list", "/message"] {
        let binding = find(&DOWNLOADS, "GET", path).binding;
        assert!(!binding.response_is_raw(), "{path}");
        let none = Ok(RawBody { content_type: None, data: 0..0 });
        assert_eq!(Transcoder::new().decode_raw_response(binding, b"\x0a\x01t\x12\x02hi"), none);
    }
    let refuses = |wire: &[u8], words: &str| {
        let error =
            Transcoder::new().decode_raw_response(find(&DOWNLOADS, "GET", "/all").binding, wire).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.code().http_status()), (words, 500));
    };
    refuses(b"\x12\x05hi", "the length runs past the end (at byte 2)");
    refuses(b"\x0a\x01\xff", "contentType: the string is not UTF-8 (at byte 2)");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::with_cases(2000)
    })]

    /// Whatever an upstream sends, the ranges are within it.
    #[test]
    fn ranges_stay_within_any_wire_message(wire in proptest::collection::vec(0u8..0x6b, 0..24)) {
        for path in ["/all", "/field", "/deep", "/oneof", "/group"] {
            let binding = find(&DOWNLOADS, "GET", path).binding;
            if let Ok(body) = Transcoder::new().decode_raw_response(binding, &wire) {
                proptest::prop_assert!(wire.get(body.data).is_some());
            }
        }
    }
}
