//! Heads of requests (RFC 9113, sections 8.1 to 8.3): what HPACK has read becomes a request, is malformed, or is refused.

use aqueduct_transcode::Code;
use http::header::{CONTENT_LENGTH, Entry, HOST, HeaderMap, HeaderValue, TE};
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, StatusCode, Uri, Version};

use crate::http1;
use crate::http2::frame::{Reason, Violation};
use crate::http2::hpack::{Asked, Block};
use crate::reject::Reject;
use crate::stage::Stage;

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request<()>,
    /// Bytes of its body, if that was told.
    pub(super) length: Option<u64>,
    /// Whether it waits for a 100 before it sends its body.
    pub(super) expects: bool,
    /// It is refused.
    pub(super) reject: Option<Reject>,
}

/// Understands a block. An error says what is malformed.
pub(super) fn read(block: Box<Block>) -> Result<Head, &'static str> {
    let Block { status, asked, mut fields, length, wrong, too_long } = *block;
    if let Some(what) = wrong {
        return Err(what);
    }
    if status.is_some() {
        return Err("a status in a request");
    }
    let mut reject = too_long.then(too_large);
    let asked = match asked {
        Some(asked) => asked,
        // What it asks for may not have been kept.
        None if too_long => Asked::default(),
        None => return Err("no method"),
    };
    if fields.get_all(TE).iter().any(|te| te.as_bytes() != b"trailers") {
        return Err("another TE than trailers");
    }
    // As over HTTP/1, where it is the same twice too.
    if fields.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err("more than one content-length");
    }
    let (method, uri) = if too_long { partly(asked) } else { target(asked, &mut fields)? };
    let expects = match http1::expects(&fields, false) {
        Ok(expects) => expects,
        Err(refused) => {
            reject.get_or_insert(refused);
            false
        }
    };
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = fields;
    Ok(Head { request, length, expects, reject })
}

/// What is asked for. Its authority is then the `Host`, as over HTTP/1.
fn target(asked: Asked, fields: &mut HeaderMap) -> Result<(Method, Uri), &'static str> {
    let Asked { method, scheme, authority, path } = asked;
    let method = method.ok_or("no method")?;
    if method == Method::CONNECT {
        return match (scheme, authority, path) {
            (false, Some(authority), None) => {
                let uri = Uri::try_from(authority.as_bytes()).map_err(|_| "no host")?;
                Ok((method, uri))
            }
            _ => Err("CONNECT with a scheme or a path, or without a host"),
        };
    }
    if !scheme {
        return Err("no scheme");
    }
    let path = path.ok_or("no path")?;
    let Some(authority) = authority else { return Ok((method, Uri::from(path))) };
    match fields.entry(HOST) {
        Entry::Vacant(host) => {
            host.insert(authority);
        }
        Entry::Occupied(mut host)
            if host.iter().nth(1).is_none()
                && host.get().as_bytes().eq_ignore_ascii_case(authority.as_bytes()) =>
        {
            host.insert(authority);
        }
        // The pipeline sees both, and refuses that.
        Entry::Occupied(_) => return Ok((method, absolute(&authority, path)?)),
    }
    Ok((method, Uri::from(path)))
}

fn absolute(authority: &HeaderValue, path: PathAndQuery) -> Result<Uri, &'static str> {
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority.as_bytes()).path_and_query(path);
    uri.build().map_err(|_| "an authority that is none")
}

/// As much as is known of a request that is refused.
fn partly(asked: Asked) -> (Method, Uri) {
    let unknown = http1::unknown().into_parts().0;
    (asked.method.unwrap_or(unknown.method), asked.path.map_or(unknown.uri, Uri::from))
}

/// Why a stream does not begin behind the last GOAWAY.
pub(super) const CLOSING: &str = "the gateway is shutting down";

/// What a stream is reset for, as metrics and the log have it.
#[cold]
pub(super) fn refusal(reason: Reason, what: &'static str) -> Reject {
    match reason {
        Reason::REFUSED_STREAM if what == CLOSING => Reject::closing(Stage::Normalize),
        Reason::REFUSED_STREAM => Reject::new(Stage::Normalize, "streams", Code::ResourceExhausted, what),
        _ => Reject::bad_request(Stage::Normalize, "malformed", what),
    }
}

/// The same of a connection.
#[cold]
pub(super) fn violation(Violation { reason, what }: Violation) -> Reject {
    match reason {
        Reason::ENHANCE_YOUR_CALM => Reject::new(Stage::Normalize, "flood", Code::ResourceExhausted, what),
        _ => Reject::bad_request(Stage::Normalize, "http2", what),
    }
}

#[cold]
fn too_large() -> Reject {
    let message = "the header list is longer than is taken here";
    Reject::new(Stage::Normalize, "head_too_large", Code::ResourceExhausted, message)
        .with_http(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}
