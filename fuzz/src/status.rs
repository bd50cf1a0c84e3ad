//! `grpc-message` and `grpc-status-details-bin` to the JSON of an error.

use aqueduct_transcode::{Code, Status, Transcoder, decode_grpc_message};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use serde_json::Value as Json;

use crate::fixture::FIXTURE;

/// A byte for the code, a line with the `grpc-message`, and the details: their base64 as it is when the byte's highest
/// bit is set, their bytes otherwise.
pub fn status(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let line = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (message, details) = rest.split_at(line);
    let details = details.strip_prefix(b"\n");
    let details = details.map(|bytes| match first & 0x80 {
        0 => BASE64_STANDARD_NO_PAD.encode(bytes).into_bytes(),
        _ => bytes.to_vec(),
    });
    let code = Code::from_number(i64::from(first & 0x7f));
    let message = decode_grpc_message(message);
    let status = Status { code, message: &message, details_bin: details.as_deref() };

    let mut transcoder = Transcoder::new();
    let mut once = || {
        let mut out = b"before".to_vec();
        transcoder.render_status(&FIXTURE.schema, status, &mut out);
        out
    };
    let first = once();
    assert_eq!(first, once(), "a transcoder can be used again");
    let json: Json = serde_json::from_slice(first.strip_prefix(b"before").unwrap()).expect("it is JSON");
    assert_eq!(json["code"], code.number());
    assert_eq!(json.get("message").map_or("", |message| message.as_str().unwrap()), message);
    let members = json.as_object().unwrap();
    for detail in json.get("details").map_or(&[][..], |details| details.as_array().unwrap()) {
        let empty = detail.as_object().is_some_and(serde_json::Map::is_empty);
        assert!(detail["@type"].is_string() || empty, "a detail has a type, or is an empty Any: {detail}");
    }
    assert!(members.keys().all(|key| matches!(&**key, "code" | "message" | "details")), "{members:?}");
}
