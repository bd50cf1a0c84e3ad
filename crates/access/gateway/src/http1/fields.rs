//! What the fields of a head say of the connection and the body (RFC 9112, sections 3.2, 6 and 9.3), without the leniencies.

use aqueduct_transcode::Code;
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};

use super::head::bad;
use super::syntax::{is_authority, is_token};
use crate::reject::Reject;
use crate::stage::Stage;

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes; none without a `Content-Length`.
    Length(u64),
    Chunked,
}

/// RFC 9112, section 3.2: exactly one `Host` in an HTTP/1.1 request, at most one in an HTTP/1.0 one. The authority of an
/// absolute target takes its place.
pub(super) fn check_host(fields: &mut HeaderMap, old: bool, authority: Option<Bytes>) -> Result<(), Reject> {
    let mut hosts = fields.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if old => {}
        (None, _) => return Err(bad("host", "the Host header is missing")),
        (Some(_), Some(_)) => return Err(bad("host", "there is more than one Host header")),
        (Some(host), None) if is_authority(host.as_bytes()) => {}
        (Some(_), None) => return Err(bad("host", "the Host header is not a host with an optional port")),
    }
    if let Some(authority) = authority {
        let host =
            HeaderValue::from_maybe_shared(authority).ok().filter(|host| is_authority(host.as_bytes()));
        let wrong = || bad("host", "the target's authority is not a host with an optional port");
        fields.insert(HOST, host.ok_or_else(wrong)?);
    }
    Ok(())
}

/// RFC 9112, section 6.3, without its leniencies.
pub(super) fn framing(fields: &HeaderMap, old: bool) -> Result<Framing, Reject> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let (length, second) = (lengths.next(), lengths.next());
    if fields.contains_key(TRANSFER_ENCODING) {
        if length.is_some() {
            let message = "there are both Content-Length and Transfer-Encoding";
            return Err(bad("transfer_encoding", message));
        }
        if old {
            return Err(bad("transfer_encoding", "HTTP/1.0 has no Transfer-Encoding"));
        }
        return check_codings(fields).map(|()| Framing::Chunked);
    }
    let Some(length) = length else { return Ok(Framing::Length(0)) };
    let number = length.as_bytes().iter().try_fold(0u64, |number, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    });
    match number {
        Some(number) if second.is_none() && !length.is_empty() => Ok(Framing::Length(number)),
        Some(_) if second.is_some() => Err(bad("content_length", "there is more than one Content-Length")),
        _ => Err(bad("content_length", "the Content-Length is not a number")),
    }
}

/// Exactly one coding, `chunked`. Others before it are valid, and not known here.
fn check_codings(fields: &HeaderMap) -> Result<(), Reject> {
    let mut codings = fields
        .get_all(TRANSFER_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let first = codings.next().unwrap_or_default();
    let Some(last) = codings.next_back() else {
        return if first.eq_ignore_ascii_case(b"chunked") {
            Ok(())
        } else {
            Err(bad("transfer_encoding", "the last Transfer-Encoding must be chunked"))
        };
    };
    let unknown = |coding: &[u8]| {
        let name = coding.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        !name.is_empty() && name.iter().all(|byte| is_token(*byte)) && !name.eq_ignore_ascii_case(b"chunked")
    };
    if last.eq_ignore_ascii_case(b"chunked") && unknown(first) && codings.all(unknown) {
        let message = "the only Transfer-Encoding that is known here is chunked";
        return Err(Reject::new(Stage::Normalize, "transfer_encoding", Code::Unimplemented, message)
            .with_http(StatusCode::NOT_IMPLEMENTED));
    }
    Err(bad("transfer_encoding", "the Transfer-Encoding must be chunked, once and last"))
}

/// What `Connection` says of the connection, `close` before `keep-alive`.
pub(super) fn keep_alive(fields: &HeaderMap) -> Option<bool> {
    if !fields.contains_key(CONNECTION) {
        None
    } else if names(fields, &CONNECTION, b"close") {
        Some(false)
    } else {
        names(fields, &CONNECTION, b"keep-alive").then_some(true)
    }
}

/// Whether a list has an element of this name, whatever its parameters.
pub(super) fn names(fields: &HeaderMap, list: &HeaderName, name: &[u8]) -> bool {
    let mut elements =
        fields.get_all(list).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    elements.any(|element| {
        let element = element.split(|byte| *byte == b';').next().unwrap_or_default();
        element.trim_ascii().eq_ignore_ascii_case(name)
    })
}

/// RFC 9110, section 10.1.1: the only expectation there is; HTTP/1.0 has none.
pub(crate) fn expects(fields: &HeaderMap, old: bool) -> Result<bool, Reject> {
    let mut expects = false;
    for value in fields.get_all(EXPECT) {
        if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
            let message = "the only expectation that is met here is 100-continue";
            return Err(bad("expect", message).with_http(StatusCode::EXPECTATION_FAILED));
        }
        expects = !old;
    }
    Ok(expects)
}
