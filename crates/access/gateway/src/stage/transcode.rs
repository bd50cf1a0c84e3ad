//! `transcode`: from HTTP+JSON to one framed gRPC message, and back to JSON: whole for unary calls, message by message
//! for server streams.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use aqueduct_transcode::{BodyRule, Code, Match, Request as JsonRequest, decode_grpc_message};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body::Frame;
use tokio::time::Instant;

use crate::body::{Body, Expiry};
use crate::edge::Edge;
use crate::grpc::{Deframer, FRAME_HEAD, FrameError, seal};
use crate::reject::{APPLICATION_JSON, GRPC_DETAILS, GRPC_MESSAGE, GRPC_STATUS, Reject};
use crate::routes::Routes;
use crate::stage::Stage;
use crate::stage::forward::{RequestBody, failed};
use crate::stage::route::is_grpc;
use crate::upstream::connection::{Answer, Lease};

/// How old a stale answer is, from the service.
const AGE_MS: HeaderName = HeaderName::from_static("x-aqueduct-age-ms");
/// The same for the client: `age=1.250`, in seconds.
const STALE: HeaderName = HeaderName::from_static("x-aqueduct-stale");
/// A piece of a stream is sent on when it is this long, or when the upstream has nothing more at once.
const PIECE: usize = 64 << 10;

/// Reads the client's body and makes the framed request message. Also tells how long the body was.
pub(crate) async fn request<B: RequestBody>(
    edge: &Edge,
    found: &Match<'_>,
    head: &Parts,
    body: B,
) -> Result<(Bytes, usize), Reject> {
    let body = if found.binding.body() == BodyRule::None {
        Bytes::new()
    } else {
        let limit = edge.shared.options.limits.body_bytes;
        let body = read_body(body, limit, edge.shared.options.timeouts.body).await?;
        if !body.is_empty() {
            check_content_type(&head.headers)?;
        }
        body
    };
    let mut out = Vec::with_capacity(FRAME_HEAD + 64 + body.len());
    out.resize(FRAME_HEAD, 0);
    let request = JsonRequest { path: head.uri.path(), query: head.uri.query(), body: &body };
    edge.transcoder.borrow_mut().encode_request(found, request, &mut out)?;
    seal(&mut out);
    Ok((Bytes::from(out), body.len()))
}

/// JSON, or nothing said. A charset other than UTF-8 does not exist for JSON (RFC 8259, section 8.1).
fn check_content_type(headers: &HeaderMap) -> Result<(), Reject> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    if kind.trim().eq_ignore_ascii_case("application/json") && parameters.split(';').all(utf8) {
        return Ok(());
    }
    let message = format!("content-type `{}` is not application/json", value.to_str().unwrap_or("?"));
    Err(Reject::bad_request(Stage::Transcode, "content_type", message)
        .with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE))
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
            Ok(Some(Err(error))) => return Err(broken_body(&error.to_string())),
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
fn slow_body() -> Reject {
    Reject::new(Stage::Transcode, "slow_body", Code::DeadlineExceeded, "the body came too slowly")
        .with_http(StatusCode::REQUEST_TIMEOUT)
}

#[cold]
fn broken_body(error: &str) -> Reject {
    tracing::debug!(error, "request body broke off");
    Reject::bad_request(Stage::Transcode, "broken_body", "the body is malformed or broke off")
}

/// Turns the upstream's answer into the client's. The head of a stream waits for its first message, so that an early
/// failure still has its own HTTP status.
pub(crate) async fn response(
    (edge, routes): (&Rc<Edge>, &Rc<Routes>),
    found: &Match<'_>,
    head: &Parts,
    answer: Answer,
    deadline: Option<Instant>,
) -> Result<Response<Body>, Reject> {
    check_answer(&answer)?;
    let mut response = Response::new(Body::empty());
    copy_metadata(&answer.head.headers, response.headers_mut());
    let mut messages = Messages::new(answer, edge.shared.options.limits.message_bytes);
    if found.binding.server_streaming() {
        let style = Style::choose(&head.headers)?;
        let first = std::future::poll_fn(|cx| messages.poll_next(cx)).await?;
        let binding = routes.binding_index(found.binding);
        let stream = JsonStream {
            edge: Rc::clone(edge),
            routes: Rc::clone(routes),
            binding,
            style,
            messages: Some(messages),
            first,
            sent: false,
            expiry: Expiry::new(deadline),
        };
        response.headers_mut().insert(CONTENT_TYPE, style.content_type());
        if head.method != Method::HEAD {
            *response.body_mut() = Body::json(stream);
        }
        return Ok(response);
    }
    let message = only(&mut messages).await?;
    let mut out = Vec::with_capacity(message.len() * 2 + 64);
    edge.transcoder.borrow_mut().decode_response(found.binding, &message, &mut out)?;
    response.headers_mut().insert(CONTENT_TYPE, APPLICATION_JSON);
    if head.method == Method::HEAD {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(out.len()));
    } else {
        *response.body_mut() = Body::full(Bytes::from(out));
    }
    Ok(response)
}

/// The one message of a unary call, once its status is known to be OK.
async fn only(messages: &mut Messages) -> Result<Bytes, Reject> {
    let message = std::future::poll_fn(|cx| messages.poll_next(cx)).await?;
    let message = message.ok_or_else(|| broken("the upstream answered OK without a message"))?;
    match std::future::poll_fn(|cx| messages.poll_next(cx)).await? {
        None => Ok(message),
        Some(_) => Err(broken("the upstream answered a unary call with several messages")),
    }
}

#[cold]
fn broken(what: &'static str) -> Reject {
    Reject::new(Stage::Transcode, "upstream_protocol", Code::Internal, what)
}

/// An answer that is not gRPC gets the status of gRPC's HTTP table.
fn check_answer(answer: &Answer) -> Result<(), Reject> {
    let head = &answer.head;
    if head.headers.contains_key(GRPC_STATUS) {
        return Ok(());
    }
    let grpc = head.headers.get(CONTENT_TYPE).is_some_and(is_grpc);
    if head.status == StatusCode::OK && grpc {
        return Ok(());
    }
    let code =
        if head.status == StatusCode::OK { Code::Unknown } else { Code::from_http(head.status.as_u16()) };
    let message = format!("the upstream answered with HTTP {} and no gRPC status", head.status.as_u16());
    Err(Reject::upstream(code, message, None, HeaderMap::new()))
}

/// `Err` unless the trailers (or the head of a trailers-only answer) say OK.
fn check_status(trailers: &HeaderMap) -> Result<(), Reject> {
    let code = match trailers.get(GRPC_STATUS) {
        Some(value) => Code::from_header(value.as_bytes()).unwrap_or(Code::Unknown),
        None => return Err(broken("the upstream ended its answer without a gRPC status")),
    };
    if code == Code::Ok {
        return Ok(());
    }
    let message = trailers
        .get(GRPC_MESSAGE)
        .map_or(Cow::Borrowed(""), |value| decode_grpc_message(value.as_bytes()))
        .into_owned();
    let mut metadata = HeaderMap::new();
    copy_metadata(trailers, &mut metadata);
    Err(Reject::upstream(code, message, trailers.get(GRPC_DETAILS).cloned(), metadata))
}

/// The upstream's own metadata goes on to the client; what belongs to gRPC or to the hop does not.
fn copy_metadata(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        let text = name.as_str();
        let internal = text.starts_with("grpc-")
            || text.ends_with("-bin")
            || matches!(
                text,
                "content-type"
                    | "content-length"
                    | "date"
                    | "connection"
                    | "te"
                    | "trailer"
                    | "transfer-encoding"
                    | "keep-alive"
                    | "upgrade"
                    | "server"
            );
        if *name == AGE_MS {
            if let Some(stale) = stale(value) {
                to.insert(STALE, stale);
            }
        } else if !internal {
            to.append(name, value.clone());
        }
    }
}

fn stale(age_ms: &HeaderValue) -> Option<HeaderValue> {
    let age: u64 = age_ms.to_str().ok()?.parse().ok()?;
    HeaderValue::from_str(&format!("age={}.{:03}", age / 1000, age % 1000)).ok()
}

/// The messages of an answer and, after the last, its status.
#[derive(Debug)]
struct Messages {
    body: RecvStream,
    _lease: Lease,
    /// The status of a trailers-only answer is in its head.
    head: HeaderMap,
    deframer: Deframer,
    limit: usize,
}

impl Messages {
    fn new(answer: Answer, limit: usize) -> Self {
        let Answer { head, body, lease } = answer;
        Self { body, _lease: lease, head: head.headers, deframer: Deframer::default(), limit }
    }

    /// The next message; `None` after the last when the status is OK, otherwise the status as an error.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Reject>> {
        loop {
            match self.deframer.next(self.limit) {
                Ok(None) => {}
                Ok(message) => return Poll::Ready(Ok(message)),
                Err(error) => return Poll::Ready(Err(bad_frame(error))),
            }
            match std::task::ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => {
                    drop(self.body.flow_control().release_capacity(data.len()));
                    self.deframer.push(data);
                }
                Some(Err(error)) => return Poll::Ready(Err(failed(&error))),
                None => break,
            }
        }
        let trailers = match std::task::ready!(self.body.poll_trailers(cx)) {
            Ok(trailers) => trailers,
            Err(error) => return Poll::Ready(Err(failed(&error))),
        };
        Poll::Ready(check_status(trailers.as_ref().unwrap_or(&self.head)).and_then(|()| {
            if self.deframer.is_empty() {
                Ok(None)
            } else {
                Err(broken("the upstream's last message is cut off"))
            }
        }))
    }
}

#[cold]
fn bad_frame(error: FrameError) -> Reject {
    match error {
        FrameError::Compressed => broken("the upstream compressed a message although that was not agreed"),
        FrameError::TooLong(length) => {
            let message = format!("the upstream's message of {length} bytes is over the limit");
            Reject::new(Stage::Transcode, "message_too_large", Code::ResourceExhausted, message)
                .with_http(StatusCode::BAD_GATEWAY)
        }
    }
}

/// How a stream of messages is written, by the client's `Accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// One JSON text a line.
    Lines,
}

impl Style {
    fn choose(headers: &HeaderMap) -> Result<Self, Reject> {
        let mut values = headers.get_all(ACCEPT).iter().peekable();
        if values.peek().is_none() {
            return Ok(Style::Lines);
        }
        let lines =
            values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|range| {
                let kind = range.split(';').next().unwrap_or_default().trim();
                kind.eq_ignore_ascii_case("application/x-ndjson") || kind == "*/*" || kind == "application/*"
            });
        if lines {
            return Ok(Style::Lines);
        }
        let message = "a stream is answered as application/x-ndjson; Accept does not allow that";
        Err(Reject::bad_request(Stage::Transcode, "accept", message).with_http(StatusCode::NOT_ACCEPTABLE))
    }

    fn content_type(self) -> HeaderValue {
        match self {
            Style::Lines => HeaderValue::from_static("application/x-ndjson"),
        }
    }
}

/// A stream of messages as JSON. A failure in the middle is its last element.
#[derive(Debug)]
pub(crate) struct JsonStream {
    edge: Rc<Edge>,
    routes: Rc<Routes>,
    /// Which binding transcodes the messages.
    binding: usize,
    style: Style,
    /// `None` once the stream has ended.
    messages: Option<Messages>,
    first: Option<Bytes>,
    sent: bool,
    expiry: Expiry,
}

impl JsonStream {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        let mut out = Vec::new();
        while let Some(messages) = &mut self.messages {
            let next = match self.first.take() {
                Some(first) => Ok(Some(first)),
                None if !self.sent && out.is_empty() => {
                    // No first message: the head had to wait for the end, which is known to be OK.
                    Ok(None)
                }
                None => match messages.poll_next(cx) {
                    Poll::Ready(next) => next,
                    Poll::Pending if !out.is_empty() => break,
                    Poll::Pending if self.expiry.poll_expired(cx) => Err(Reject::deadline(Stage::Forward)),
                    Poll::Pending => return Poll::Pending,
                },
            };
            let written = next.and_then(|message| match message {
                Some(message) => self.write(&message, &mut out).map(|()| true),
                None => Ok(false),
            });
            match written {
                Ok(true) if out.len() < PIECE => {}
                Ok(true) => break,
                Ok(false) => self.messages = None,
                Err(reject) => {
                    self.messages = None;
                    self.write_error(&reject, &mut out);
                }
            }
        }
        self.sent = true;
        Poll::Ready((!out.is_empty()).then(|| Frame::data(Bytes::from(out))))
    }

    fn write(&self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Reject> {
        let Some(binding) = self.routes.binding(self.binding) else { return Ok(()) };
        self.edge.transcoder.borrow_mut().decode_response(binding, message, out)?;
        match self.style {
            Style::Lines => out.push(b'\n'),
        }
        Ok(())
    }

    fn write_error(&self, reject: &Reject, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"error\":");
        out.extend_from_slice(&reject.to_json(&self.edge));
        match self.style {
            Style::Lines => out.extend_from_slice(b"}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_json_bodies_are_taken() {
        for (value, good) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json; charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("application/x-www-form-urlencoded", false),
            ("application/jsonx", false),
            ("text/json", false),
        ] {
            assert_eq!(check_content_type(&headers(&[("content-type", value)])).is_ok(), good, "{value}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn streams_are_lines_for_those_who_take_lines() {
        for (value, good) in [
            ("*/*", true),
            ("application/x-ndjson", true),
            ("text/html, application/*;q=0.5", true),
            ("image/png", false),
        ] {
            assert_eq!(Style::choose(&headers(&[("accept", value)])).is_ok(), good, "{value}");
        }
    }

    #[test]
    fn the_age_of_a_stale_answer_is_told_in_seconds() {
        let mut out = HeaderMap::new();
        let from = headers(&[
            ("x-aqueduct-age-ms", "1250"),
            ("grpc-encoding", "identity"),
            ("content-type", "application/grpc"),
            ("x-mine", "1"),
            ("x-trace-bin", "AAAA"),
        ]);
        copy_metadata(&from, &mut out);
        assert_eq!(out, headers(&[("x-aqueduct-stale", "age=1.250"), ("x-mine", "1")]));
        assert_eq!(stale(&HeaderValue::from_static("7")).unwrap(), "age=0.007");
        assert_eq!(stale(&HeaderValue::from_static("x")), None);
    }

    #[test]
    fn a_status_is_read_with_its_message() {
        let reject =
            check_status(&headers(&[("grpc-status", "5"), ("grpc-message", "no%20order")])).unwrap_err();
        assert_eq!(reject.code(), Code::NotFound);
        assert!(check_status(&headers(&[("grpc-status", "0")])).is_ok());
        assert_eq!(check_status(&HeaderMap::new()).unwrap_err().code(), Code::Internal);
        assert_eq!(check_status(&headers(&[("grpc-status", "99")])).unwrap_err().code(), Code::Unknown);
    }
}
