//! What the gateway's own parsers of outside bytes promise, for the fuzz targets: each panics when a promise is broken. Not
//! for users.

mod http1;
mod http2;

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

pub use self::http1::{accepted, http1, serve_idle};
pub use self::http2::{accepted_http2, http2_server};
use crate::descriptors::fuzz_reflection;
use crate::grpc::Deframer;
use crate::grpc_web;
use crate::stage::transcode::accept::Style;
use crate::stage::transcode::request::{check_stream_content_type, is_form};
use crate::stage::{deadline, normalize};

/// What an upstream says over HTTP/2: to the client's own harness.
pub fn http2(data: &[u8]) {
    crate::http2::fuzzing::http2(data);
}

/// The first byte chooses the parser, the second how the rest is cut into pieces.
pub fn gateway(data: &[u8]) {
    let [which, size, rest @ ..] = data else { return };
    let size = usize::from(*size).max(1);
    match which % 4 {
        0 => base64(rest, size),
        1 => frames(rest, size),
        2 => fuzz_reflection(&Bytes::copy_from_slice(rest)),
        _ => headers(rest),
    }
}

/// Pieces say the same as the whole.
fn base64(text: &[u8], size: usize) {
    let decode = |size: usize| {
        let (mut rest, mut out) = (Vec::new(), Vec::new());
        let good = text.chunks(size).all(|piece| grpc_web::decode(&mut rest, piece, &mut out));
        (good && rest.is_empty()).then_some(out)
    };
    assert_eq!(decode(text.len().max(1)), decode(size), "pieces of {size}");
}

fn frames(wire: &[u8], size: usize) {
    let cut = |size: usize| {
        let mut deframer = Deframer::default();
        let mut found = Vec::new();
        for piece in wire.chunks(size) {
            deframer.push(Bytes::copy_from_slice(piece));
            loop {
                match deframer.next(4096) {
                    Ok(Some(message)) => found.push(message.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (found, Err(error)),
                }
            }
        }
        (found, Ok(deframer.is_empty()))
    };
    assert_eq!(cut(wire.len().max(1)), cut(size), "pieces of {size}");
}

/// Any value is an answer or a refusal.
fn headers(value: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let mut headers = HeaderMap::new();
    let names = [ACCEPT, CONTENT_TYPE, deadline::GRPC_TIMEOUT, HeaderName::from_static("x-request-timeout")];
    for name in names.into_iter().chain([HeaderName::from_static("x-any-bin")]) {
        headers.insert(name, value.clone());
    }
    let chosen = Style::choose(&headers);
    assert_eq!(chosen.is_ok(), Style::choose(&headers).is_ok());
    let _known = (grpc_web::Kind::of(&value), is_form(&headers), check_stream_content_type(&headers).is_ok());
    let _binary = normalize::check_binary(&headers).is_ok();
    let now = Instant::now();
    if let Ok(Some(deadline)) = deadline::decide(&mut headers, now, None, Duration::from_hours(1)) {
        assert!(deadline <= now + Duration::from_hours(1), "a deadline is clamped");
    }
}
