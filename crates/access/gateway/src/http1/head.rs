//! Request heads (RFC 9112, sections 2 to 6). httparse finds the tokens; what they must be, and how long the body is, is decided
//! here, so that no two readers of the same bytes can come to differ: whatever is doubtful is refused.

use std::mem::MaybeUninit;

use aqueduct_transcode::Code;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
};
use http::{Method, Request, StatusCode, Uri, Version};

use super::fields::{Framing, check_host, expects, framing, keep_alive, names};
use super::scan::Bounds;
use crate::reject::Reject;
use crate::stage::Stage;

/// Fields for which there is room on the stack.
const FIELDS: usize = 100;

/// A request's head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) request: Request<()>,
    pub(crate) framing: Framing,
    /// Whether the client goes on with this connection.
    pub(crate) keep_alive: bool,
    /// Whether it waits for `100 Continue` before it sends its body.
    pub(crate) expects: bool,
    /// Whether it reads trailers.
    pub(crate) trailers: bool,
}

/// A head that is refused, and as much of it as was understood.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) request: Request<()>,
    pub(crate) reject: Reject,
}

/// What stands for a request of which nothing is known.
pub(crate) fn unknown() -> Request<()> {
    let mut request = Request::new(());
    if let Ok(method) = Method::from_bytes(b"-") {
        *request.method_mut() = method;
    }
    request
}

#[cold]
pub(super) fn bad(reason: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Reject {
    Reject::bad_request(Stage::Normalize, reason, message)
}

#[cold]
pub(super) fn too_large(reason: &'static str, message: String) -> Reject {
    Reject::new(Stage::Normalize, reason, Code::ResourceExhausted, message)
        .with_http(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}

#[cold]
pub(super) fn too_many(fields: usize) -> Reject {
    too_large("head_too_large", format!("there are more than {fields} header fields"))
}

#[cold]
pub(super) fn uri_too_long(bytes: usize) -> Reject {
    let message = format!("the request line is longer than {bytes} bytes");
    Reject::new(Stage::Normalize, "uri_too_long", Code::ResourceExhausted, message)
        .with_http(StatusCode::URI_TOO_LONG)
}

/// The answer to a head that does not end.
#[cold]
pub(crate) fn slow() -> Refused {
    let message = "the request head came too slowly";
    let reject = Reject::new(Stage::Normalize, "slow_head", Code::DeadlineExceeded, message)
        .with_http(StatusCode::REQUEST_TIMEOUT);
    Refused { request: unknown(), reject }
}

/// Understands a whole head, the empty line at its end included.
pub(super) fn parse(bytes: &Bytes, bounds: Bounds) -> Result<Box<Head>, Box<Refused>> {
    // In a box from here on: it is handed on several times.
    let mut head = Box::new(Head {
        request: unknown(),
        framing: Framing::Length(0),
        keep_alive: true,
        expects: false,
        trailers: false,
    });
    let mut few = [const { MaybeUninit::uninit() }; FIELDS];
    let mut many = Vec::new();
    let room = if bounds.fields <= FIELDS {
        few.get_mut(..bounds.fields).unwrap_or_default()
    } else {
        many.resize_with(bounds.fields, MaybeUninit::uninit);
        &mut many[..]
    };
    match fill(&mut head, bytes, room, bounds) {
        Ok(()) => Ok(head),
        Err(reject) => Err(Box::new(Refused { request: head.request, reject })),
    }
}

fn fill<'b>(
    head: &mut Head,
    bytes: &'b Bytes,
    room: &mut [MaybeUninit<httparse::Header<'b>>],
    bounds: Bounds,
) -> Result<(), Reject> {
    let mut parsed = httparse::Request::new(&mut []);
    let complete = match parsed.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(length)) => length == bytes.len(),
        Ok(httparse::Status::Partial) => false,
        Err(error) => return Err(malformed(error, bytes, bounds)),
    };
    let (true, Some(method), Some(target), Some(version)) =
        (complete, parsed.method, parsed.path, parsed.version)
    else {
        return Err(bad("request_line", "the request head is malformed"));
    };
    let request = &mut head.request;
    *request.version_mut() = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    *request.method_mut() =
        Method::from_bytes(method.as_bytes()).map_err(|_| bad("request_line", "the method is not valid"))?;
    let authority = put_target(request, bytes.slice_ref(target.as_bytes()), bounds)?;
    let mut fields = HeaderMap::try_with_capacity(parsed.headers.len()).unwrap_or_default();
    let mut told = Told::default();
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| too_large("head_too_large", "a header's name is too long".to_owned()))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value))
            .map_err(|_| bad("header", format!("the value of the header {name} is not valid")))?;
        told.note(&name);
        fields.try_append(name, value).map_err(|_| too_many(bounds.fields))?;
    }
    check_host(&mut fields, version == 0, authority)?;
    head.framing = if told.length { framing(&fields, version == 0)? } else { Framing::Length(0) };
    let keep_alive = if told.connection { keep_alive(&fields) } else { None };
    head.keep_alive = keep_alive.unwrap_or(version > 0);
    head.expects = told.rare && expects(&fields, version == 0)? && head.framing != Framing::Length(0);
    head.trailers = told.rare && names(&fields, &TE, b"trailers");
    *head.request.headers_mut() = fields;
    Ok(())
}

/// Of which of the fields that say something of the connection or the body there is one: usually of none, and then none is looked for.
#[derive(Debug, Default)]
struct Told {
    length: bool,
    connection: bool,
    /// `Expect` or `TE`.
    rare: bool,
}

impl Told {
    fn note(&mut self, name: &HeaderName) {
        self.length |= *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING;
        self.connection |= *name == CONNECTION;
        self.rare |= *name == EXPECT || *name == TE;
    }
}

/// What httparse refuses, told in our words.
#[cold]
fn malformed(error: httparse::Error, bytes: &[u8], bounds: Bounds) -> Reject {
    match error {
        httparse::Error::Version if has_other_version(bytes) => {
            let message = "HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here";
            Reject::new(Stage::Normalize, "version", Code::Unimplemented, message)
                .with_http(StatusCode::HTTP_VERSION_NOT_SUPPORTED)
        }
        httparse::Error::TooManyHeaders => too_many(bounds.fields),
        httparse::Error::HeaderName => bad("header", "a header's name is malformed"),
        httparse::Error::HeaderValue => bad("header", "a header's value has bytes that it may not have"),
        httparse::Error::NewLine => bad("line_end", "a line of the head does not end with CRLF"),
        httparse::Error::Version | httparse::Error::Token | httparse::Error::Status => {
            bad("request_line", "the request line is malformed")
        }
    }
}

/// Whether the first line ends with `HTTP/` and two digits with a dot between them: a version that there might be.
fn has_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(_), Some(_), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// RFC 9112, section 3.2. Sets the target in its origin form, and answers with the authority of an absolute one.
fn put_target(request: &mut Request<()>, target: Bytes, bounds: Bounds) -> Result<Option<Bytes>, Reject> {
    if request.method() == Method::CONNECT {
        return Err(bad("connect", "CONNECT is not served here"));
    }
    if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return Err(bad("target", "the request target has bytes that a URI may not have"));
    }
    let options = request.method() == Method::OPTIONS;
    let (origin, authority) = match target.first() {
        Some(b'/') => (target, None),
        Some(b'*') if target.len() == 1 && options => (target, None),
        _ => split_absolute(&target, options).map(|(origin, authority)| (origin, Some(authority)))?,
    };
    // What `http` keeps is no longer.
    if origin.len() >= usize::from(u16::MAX) {
        return Err(uri_too_long(bounds.bytes.min(usize::from(u16::MAX) - 1)));
    }
    *request.uri_mut() = Uri::from_maybe_shared(origin)
        .map_err(|_| bad("target", "the request target has bytes that a URI may not have"))?;
    Ok(authority)
}

/// `http://authority/path?query`, as clients of forward proxies send it.
fn split_absolute(target: &Bytes, options: bool) -> Result<(Bytes, Bytes), Reject> {
    let form = || bad("target", "the request target is neither a path nor an absolute http URI");
    let scheme = if has_prefix(target, b"http://") {
        7
    } else if has_prefix(target, b"https://") {
        8
    } else {
        return Err(form());
    };
    let rest = target.slice(scheme..);
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = (rest.slice(..end), rest.slice(end..));
    let path = match path.first() {
        Some(b'/') => path,
        Some(_) => [b"/", &path[..]].concat().into(),
        None if options => Bytes::from_static(b"*"),
        None => Bytes::from_static(b"/"),
    };
    Ok((path, authority))
}

fn has_prefix(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}
