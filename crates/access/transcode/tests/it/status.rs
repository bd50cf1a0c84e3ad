//! `google.rpc.Status` as the JSON body of an error.

use aqueduct_transcode::{Code, Status, Transcoder};
use prost::Message as _;
use prost_types::Any;

use crate::fixture::FIXTURE;

/// `google.rpc.Status`, by hand.
fn details_bin(details: &[Any]) -> Vec<u8> {
    let mut wire = b"\x08\x05\x12\x01x".to_vec();
    for detail in details {
        wire.push(0x1a);
        prost::encoding::encode_varint(detail.encoded_len() as u64, &mut wire);
        wire.extend(detail.encode_to_vec());
    }
    wire
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    // Through the crate itself: a BytesValue prints as base64.
    let mut wire = b"\x0a".to_vec();
    prost::encoding::encode_varint(bytes.len() as u64, &mut wire);
    wire.extend(bytes);
    crate::fixture::to_json("google.protobuf.BytesValue", &wire)
        .unwrap()
        .trim_matches('"')
        .as_bytes()
        .to_vec()
}

fn render(details_bin: Option<&[u8]>) -> String {
    let mut out = Vec::new();
    let status = Status { code: Code::NotFound, message: "no \"order\"\n7", details_bin };
    Transcoder::new().render_status(&FIXTURE.schema, status, &mut out);
    String::from_utf8(out).unwrap()
}

const HEAD: &str = r#"{"code":5,"message":"no \"order\"\n7","details":"#;

#[test]
fn details_are_decoded() {
    let any = |name: &str, value: &[u8]| Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: value.to_vec(),
    };
    let known = any("google.rpc.ErrorInfo", b"\x0a\x01R\x1a\x06\x0a\x01k\x12\x01v");
    let delay = any("google.rpc.RetryInfo", b"\x0a\x02\x08\x02");
    let foreign = any("some.v1.Thing", b"\x01\x02\x03");
    let broken = any("google.rpc.ErrorInfo", b"\x0a\xff");
    let expect = [
        r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","metadata":{"k":"v"}}"#,
        r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"2s"}"#,
        r#"{"@type":"type.googleapis.com/some.v1.Thing","value":"AQID"}"#,
        r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","value":"Cv8="}"#,
    ]
    .join(",");
    let header = base64(&details_bin(&[known, delay, foreign, broken]));
    assert_eq!(render(Some(&header)), format!("{HEAD}[{expect}]}}"));
    let unpadded: Vec<u8> = header.into_iter().filter(|&byte| byte != b'=').collect();
    assert_eq!(render(Some(&unpadded)), format!("{HEAD}[{expect}]}}"));
}

#[test]
fn whatever_the_upstream_sends_the_body_is_json() {
    for header in [None, Some(&b""[..]), Some(b"***"), Some(&base64(b"\xff")), Some(&base64(b"\x1a\x05a"))] {
        assert_eq!(render(header), format!("{HEAD}[]}}"), "{header:?}");
    }
    // A detail that is not even an Any is left out, its neighbours are kept.
    let mut wire = b"\x1a\x02\x0a\x09".to_vec();
    wire.extend(&details_bin(&[Any { type_url: "x/y".to_owned(), value: Vec::new() }])[5..]);
    assert_eq!(render(Some(&base64(&wire))), format!("{HEAD}[{{\"@type\":\"x/y\",\"value\":\"\"}}]}}"));
}
