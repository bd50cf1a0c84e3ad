//! The client's body and the one framed message that is made from it.

use std::pin::Pin;
use std::time::Duration;

use aqueduct_transcode::{BodyRule, Code, Match, Request as JsonRequest};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;

use crate::edge::Edge;
use crate::grpc::{FRAME_HEAD, seal};
use crate::options::{Compat, Options};
use crate::outgoing::broken;
use crate::reject::Reject;
use crate::stage::Stage;
use crate::stage::forward::RequestBody;

/// What the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// JSON, or nothing.
    Json,
    /// The same, whatever the client calls it: grpc-gateway does not look.
    AnyJson,
    /// Bytes for a `google.api.HttpBody`, whatever they are.
    Raw,
    /// An HTML form: parameters, as in a query.
    Form,
    /// There is no place for a body: it is ignored.
    None,
}

impl Kind {
    pub(crate) fn of(found: &Match<'_>, headers: &HeaderMap, compat: Compat) -> Self {
        let binding = found.binding;
        let (none, lenient) = (binding.body() == BodyRule::None, compat == Compat::GrpcGateway);
        if lenient && is_form(headers) && (none || !binding.client_streaming()) {
            Kind::Form
        } else if none {
            Kind::None
        } else if binding.request_is_raw() {
            Kind::Raw
        } else if lenient {
            Kind::AnyJson
        } else {
            Kind::Json
        }
    }
}

/// Reads the client's body and makes the framed request message. Also tells how long the body was.
pub(crate) async fn whole<B: RequestBody>(
    (edge, options): (&Edge, &Options),
    (found, kind): (&Match<'_>, Kind),
    head: &Parts,
    body: B,
) -> Result<(Bytes, usize), Reject> {
    let body = if kind == Kind::None {
        Bytes::new()
    } else {
        read_body(body, options.limits.body_bytes, options.timeouts.body).await?
    };
    if kind == Kind::Json && !body.is_empty() {
        check_content_type(&head.headers)?;
    }
    let kind = if kind == Kind::Form && is_json(found, &body) { Kind::AnyJson } else { kind };
    let mut out = Vec::with_capacity(FRAME_HEAD + 64 + body.len());
    out.resize(FRAME_HEAD, 0);
    let request = JsonRequest { path: head.uri.path(), query: head.uri.query(), body: &body };
    let mut transcoder = edge.transcoder.borrow_mut();
    match kind {
        Kind::Json | Kind::AnyJson | Kind::None => transcoder.encode_request(found, request, &mut out)?,
        Kind::Form => transcoder.encode_form_request(found, request, &mut out)?,
        Kind::Raw => transcoder.encode_raw_request(found, request, content_type(&head.headers), &mut out)?,
    }
    seal(&mut out);
    Ok((Bytes::from(out), body.len()))
}

/// Whether what is called a form is JSON: `curl -d` calls all its bodies so. No parameter has a name that begins like this.
fn is_json(found: &Match<'_>, body: &[u8]) -> bool {
    let in_brackets = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    in_brackets && found.binding.body() != BodyRule::None && !found.binding.request_is_raw()
}

/// What the client says of its body.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

/// The media type, and whether the charset is UTF-8 where one is named.
fn media_type(headers: &HeaderMap) -> Option<(&str, bool)> {
    let (kind, parameters) = content_type(headers)?.split_once(';').or(Some((content_type(headers)?, "")))?;
    let utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    Some((kind.trim(), parameters.split(';').all(utf8)))
}

/// Whether the body is an HTML form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers)
        .is_some_and(|(kind, _)| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

/// Bodies are taken as they are: what was compressed would be read as something else.
pub(crate) fn check_encoding(headers: &HeaderMap) -> Result<(), Reject> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let message = format!(
                "content-encoding `{}` is not taken: send it plain",
                encoding.to_str().unwrap_or("?")
            );
            Err(Reject::bad_request(Stage::Transcode, "content_encoding", message)
                .with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE))
        }
        _ => Ok(()),
    }
}

/// JSON, or nothing said. A charset other than UTF-8 does not exist for JSON (RFC 8259, section 8.1).
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), Reject> {
    check(headers, &["application/json"])
}

/// The same, or JSON texts one after the other.
pub(crate) fn check_stream_content_type(headers: &HeaderMap) -> Result<(), Reject> {
    check(headers, &["application/json", NDJSON])
}

const NDJSON: &str = "application/x-ndjson";

/// Whether the client says that it sends JSON texts one after the other.
pub(crate) fn is_ndjson(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(NDJSON))
}

fn check(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Reject> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let good = media_type(headers)
        .is_some_and(|(kind, utf8)| utf8 && allowed.iter().any(|allowed| kind.eq_ignore_ascii_case(allowed)));
    if good { Ok(()) } else { Err(unsupported(value, allowed)) }
}

#[cold]
fn unsupported(value: &HeaderValue, allowed: &[&str]) -> Reject {
    let message = format!(
        "content-type `{}` is not taken; send {}",
        value.to_str().unwrap_or("?"),
        allowed.join(" or ")
    );
    Reject::bad_request(Stage::Transcode, "content_type", message)
        .with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// The whole body, as it came when it came in one piece.
async fn read_body<B: RequestBody>(mut body: B, limit: usize, patience: Duration) -> Result<Bytes, Reject> {
    // What the client announces is believed only when it is too much.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while !body.is_end_stream() {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let frame = match tokio::time::timeout(patience, frame).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(broken(&error)),
            Ok(None) => break,
            Err(_) => return Err(slow_body()),
        };
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + joined.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut first));
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

#[cold]
fn too_large(limit: usize) -> Reject {
    let message = format!("the body is longer than {limit} bytes");
    Reject::new(Stage::Transcode, "body_too_large", Code::ResourceExhausted, message)
        .with_http(StatusCode::PAYLOAD_TOO_LARGE)
}

#[cold]
pub(crate) fn slow_body() -> Reject {
    Reject::new(Stage::Transcode, "slow_body", Code::DeadlineExceeded, "the body came too slowly")
        .with_http(StatusCode::REQUEST_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_bodies_are_taken() {
        for (value, json, stream) in [
            ("application/json", true, true),
            ("Application/JSON; charset=UTF-8", true, true),
            ("application/json; charset=\"utf-8\"", true, true),
            ("application/json; charset=latin1", false, false),
            ("application/x-ndjson", false, true),
            ("application/x-www-form-urlencoded", false, false),
            ("application/jsonx", false, false),
            ("text/json", false, false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(check_content_type(&headers).is_ok(), json, "{value}");
            assert_eq!(check_stream_content_type(&headers).is_ok(), stream, "{value}");
            assert_eq!(is_form(&headers), value.contains("form"), "{value}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_ok());
    }
}
