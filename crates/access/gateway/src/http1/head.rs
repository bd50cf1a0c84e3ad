//! Request heads (RFC 9112, sections 2 to 6). httparse finds the tokens; what they must be, and how long the body is, is decided
//! here, so that no two readers of the same bytes can come to differ: whatever is doubtful is refused.

use std::mem::MaybeUninit;

use aqueduct_transcode::Code;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
};
use http::{Method, Request, StatusCode, Uri, Version};

use super::syntax::{is_authority, is_token};
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

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes; none without a `Content-Length`.
    Length(u64),
    Chunked,
}

/// A head that is refused, and as much of it as was understood.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) request: Request<()>,
    pub(crate) reject: Reject,
}

/// Bounds on a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

/// How far the head at the beginning of a buffer has been looked through, so that a slow one costs no more than a fast one.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    seen: usize,
    /// Where the line begins in which `seen` is.
    line: usize,
    lines: usize,
    skipped: bool,
}

impl Scan {
    /// Takes a complete head off the buffer.
    pub(crate) fn head(
        &mut self,
        buffer: &mut BytesMut,
        bounds: Bounds,
    ) -> Result<Option<Head>, Box<Refused>> {
        let refused = |reject| Box::new(Refused { request: unknown(), reject });
        let Some(length) = self.length(buffer, bounds).map_err(refused)? else { return Ok(None) };
        *self = Scan::default();
        parse(&buffer.split_to(length).freeze(), bounds).map(Some)
    }

    /// The head's length, once it has ended.
    fn length(&mut self, buffer: &mut BytesMut, bounds: Bounds) -> Result<Option<usize>, Reject> {
        // RFC 9112, section 2.2: clients used to send an empty line behind a body.
        if !self.skipped && buffer.starts_with(b"\r\n") {
            self.skipped = true;
            buffer.advance(2);
        }
        match buffer.first() {
            None => return Ok(None),
            Some(b'\r') if !self.skipped && buffer.len() == 1 => return Ok(None),
            Some(byte) if is_token(*byte) => {}
            Some(_) => return Err(bad("request_line", "the request does not begin with a method")),
        }
        while let Some(found) = buffer.get(self.seen..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let end = self.seen + found;
            if end == 0 || buffer.get(end - 1) != Some(&b'\r') {
                return Err(bad("line_end", "a line of the head ends with a bare line feed"));
            }
            let empty = end == self.line + 1;
            (self.seen, self.line, self.lines) = (end + 1, end + 1, self.lines + 1);
            if empty {
                return if self.seen > bounds.bytes {
                    Err(self.too_large(bounds))
                } else {
                    Ok(Some(self.seen))
                };
            }
            if self.lines > bounds.fields + 1 {
                return Err(too_many(bounds.fields));
            }
        }
        self.seen = buffer.len();
        if self.seen > bounds.bytes { Err(self.too_large(bounds)) } else { Ok(None) }
    }

    #[cold]
    fn too_large(&self, bounds: Bounds) -> Reject {
        let Bounds { bytes, .. } = bounds;
        if self.lines == 0 {
            uri_too_long(bytes)
        } else {
            let message = format!("the request head is longer than {bytes} bytes");
            too_large("head_too_large", message)
        }
    }
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
fn bad(reason: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Reject {
    Reject::bad_request(Stage::Normalize, reason, message)
}

#[cold]
fn too_large(reason: &'static str, message: String) -> Reject {
    Reject::new(Stage::Normalize, reason, Code::ResourceExhausted, message)
        .with_http(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}

#[cold]
fn too_many(fields: usize) -> Reject {
    too_large("head_too_large", format!("there are more than {fields} header fields"))
}

#[cold]
fn uri_too_long(bytes: usize) -> Reject {
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
fn parse(bytes: &Bytes, bounds: Bounds) -> Result<Head, Box<Refused>> {
    let mut head = Head {
        request: unknown(),
        framing: Framing::Length(0),
        keep_alive: true,
        expects: false,
        trailers: false,
    };
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
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| too_large("head_too_large", "a header's name is too long".to_owned()))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value))
            .map_err(|_| bad("header", format!("the value of the header {name} is not valid")))?;
        fields.try_append(name, value).map_err(|_| too_many(bounds.fields))?;
    }
    check_host(&mut fields, version == 0, authority)?;
    head.framing = framing(&fields, version == 0)?;
    if let Some(keep_alive) = keep_alive(&fields) {
        head.keep_alive = keep_alive;
    } else {
        head.keep_alive = version > 0;
    }
    head.expects = expects(&fields, version == 0)? && head.framing != Framing::Length(0);
    head.trailers = names(&fields, &TE, b"trailers");
    *head.request.headers_mut() = fields;
    Ok(())
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

/// RFC 9112, section 3.2: exactly one `Host` in an HTTP/1.1 request, at most one in an HTTP/1.0 one. The authority of an
/// absolute target takes its place.
fn check_host(fields: &mut HeaderMap, old: bool, authority: Option<Bytes>) -> Result<(), Reject> {
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
fn framing(fields: &HeaderMap, old: bool) -> Result<Framing, Reject> {
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
fn keep_alive(fields: &HeaderMap) -> Option<bool> {
    if !fields.contains_key(CONNECTION) {
        None
    } else if names(fields, &CONNECTION, b"close") {
        Some(false)
    } else {
        names(fields, &CONNECTION, b"keep-alive").then_some(true)
    }
}

/// Whether a list has an element of this name, whatever its parameters.
fn names(fields: &HeaderMap, list: &HeaderName, name: &[u8]) -> bool {
    let mut elements =
        fields.get_all(list).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    elements.any(|element| {
        let element = element.split(|byte| *byte == b';').next().unwrap_or_default();
        element.trim_ascii().eq_ignore_ascii_case(name)
    })
}

/// RFC 9110, section 10.1.1: the only expectation there is; HTTP/1.0 has none.
fn expects(fields: &HeaderMap, old: bool) -> Result<bool, Reject> {
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
