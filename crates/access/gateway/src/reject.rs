//! The only place where a refusal becomes an HTTP or gRPC status: the gateway's own, and what an upstream answered.

use std::borrow::Cow;

use aqueduct_transcode::{Code, Schema, Status, TranscodeError};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use crate::body::Body;
use crate::edge::Edge;
use crate::grpc_web;
use crate::options::Compat;
use crate::retry::Cause;
use crate::stage::Stage;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(crate) const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// Which stage refused, and why, for clients that may know.
pub(crate) const REJECT: HeaderName = HeaderName::from_static("x-aqueduct-reject");
pub(crate) const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const APPLICATION_GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The language of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A `google.rpc.Status` as JSON under the mapped HTTP status.
    Json,
    /// HTTP 200 with the status in a trailers-only answer.
    Grpc,
    /// The same in one of grpc-web's forms, whose clients look into the head first.
    GrpcWeb(grpc_web::Kind),
}

impl Dialect {
    /// Which form of grpc-web, if it is one.
    pub(crate) fn web(self) -> Option<grpc_web::Kind> {
        match self {
            Dialect::GrpcWeb(kind) => Some(kind),
            Dialect::Json | Dialect::Grpc => None,
        }
    }
}

/// A request that is not answered with what it asked for. One pointer wide, so that the happy path pays nothing.
#[derive(Debug)]
pub(crate) struct Reject(Box<Inner>);

#[derive(Debug)]
struct Inner {
    stage: Stage,
    reason: &'static str,
    code: Code,
    /// Where HTTP is more precise than the gRPC code's mapping: 405, 413, 415 and the like.
    http: Option<StatusCode>,
    message: Cow<'static, str>,
    /// More than clients should know.
    inside: Option<String>,
    details: Option<HeaderValue>,
    headers: HeaderMap,
    unprocessed: Option<Cause>,
    element: bool,
}

impl Reject {
    /// `reason` is a word of a small set: a metric label.
    #[cold]
    pub(crate) fn new(
        stage: Stage,
        reason: &'static str,
        code: Code,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Reject(Box::new(Inner {
            stage,
            reason,
            code,
            http: None,
            message: message.into(),
            inside: None,
            details: None,
            headers: HeaderMap::new(),
            unprocessed: None,
            element: false,
        }))
    }

    /// INVALID_ARGUMENT, 400.
    #[cold]
    pub(crate) fn bad_request(
        stage: Stage,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(stage, reason, Code::InvalidArgument, message)
    }

    /// The deadline passed.
    #[cold]
    pub(crate) fn deadline(stage: Stage) -> Self {
        Self::new(stage, "deadline", Code::DeadlineExceeded, "the deadline passed before an answer was there")
    }

    /// The gateway is about to end, and the stream would not.
    #[cold]
    pub(crate) fn closing(stage: Stage) -> Self {
        Self::new(stage, "closing", Code::Unavailable, "the gateway is shutting down")
    }

    /// An answer of the upstream that is not OK. Not a refusal of ours: it is not counted as one.
    #[cold]
    pub(crate) fn upstream(
        code: Code,
        message: String,
        details: Option<HeaderValue>,
        metadata: HeaderMap,
    ) -> Self {
        let mut reject = Self::new(Stage::Forward, UPSTREAM, code, message);
        reject.0.details = details;
        reject.0.headers = metadata;
        reject
    }

    #[must_use]
    pub(crate) fn with_http(mut self, status: StatusCode) -> Self {
        self.0.http = Some(status);
        self
    }

    /// What is for the operators alone.
    #[must_use]
    pub(crate) fn with_inside(mut self, inside: String) -> Self {
        self.0.inside = Some(inside);
        self
    }

    #[must_use]
    pub(crate) fn with_allow(mut self, allow: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(allow) {
            self.0.headers.insert(ALLOW, value);
        }
        self
    }

    /// One of the ways to prove who one is.
    #[must_use]
    pub(crate) fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.0.headers.append(WWW_AUTHENTICATE, challenge);
        self
    }

    #[must_use]
    pub(crate) fn with_retry_after(mut self, seconds: u16) -> Self {
        self.0.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    /// Marks a failure of which the upstream has certainly processed nothing, so that trying again is safe.
    #[must_use]
    pub(crate) fn unprocessed(mut self, cause: Cause) -> Self {
        self.0.unprocessed = Some(cause);
        self
    }

    /// Tells it as the only element of a stream, `{"error": Status}`, under its own HTTP status: grpc-gateway's way.
    #[must_use]
    pub(crate) fn into_element(mut self) -> Self {
        self.0.element = true;
        self
    }

    /// Why the upstream has certainly processed nothing, if that is so.
    pub(crate) fn unprocessed_for(&self) -> Option<Cause> {
        self.0.unprocessed
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// What happened, in words for operators.
    pub(crate) fn inside(&self) -> &str {
        self.0.inside.as_deref().unwrap_or(&self.0.message)
    }

    /// Where and why the gateway refused; `None` when the upstream did.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let Inner { stage, reason, .. } = *self.0;
        (reason != UPSTREAM).then_some(Refusal { stage, reason })
    }

    /// The `google.rpc.Status` as JSON, without a line end.
    pub(crate) fn to_json(&self, edge: &Edge, schema: &Schema) -> Vec<u8> {
        let inner = &*self.0;
        let mut out = Vec::with_capacity(128);
        let status = Status {
            code: inner.code,
            message: &inner.message,
            details_bin: inner.details.as_ref().map(HeaderValue::as_bytes),
        };
        edge.transcoder.borrow_mut().render_status(schema, status, &mut out);
        out
    }

    /// The whole answer.
    pub(crate) fn into_response(self, dialect: Dialect, compat: Compat, edge: &Edge) -> Response<Body> {
        match dialect {
            Dialect::Json => {
                let mut body = self.to_json(edge, edge.routes().schema());
                let inner = *self.0;
                if inner.element {
                    body = [b"{\"error\":", body.as_slice(), b"}\n"].concat();
                }
                let mut response = Response::new(Body::full(Bytes::from(body)));
                *response.status_mut() = inner.http.unwrap_or_else(|| http_status(inner.code));
                *response.headers_mut() = inner.headers;
                response.headers_mut().insert(CONTENT_TYPE, APPLICATION_JSON);
                if compat == Compat::GrpcGateway
                    && inner.code == Code::Unauthenticated
                    && inner.reason == UPSTREAM
                    && let Ok(challenge) = HeaderValue::from_str(&inner.message)
                {
                    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                }
                response
            }
            Dialect::Grpc => self.trailers_only(APPLICATION_GRPC),
            Dialect::GrpcWeb(kind) => self.trailers_only(kind.content_type()),
        }
    }

    fn trailers_only(self, content_type: HeaderValue) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = self.into_trailers();
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }

    /// The status as gRPC trailers.
    pub(crate) fn into_trailers(self) -> HeaderMap {
        let inner = *self.0;
        let mut trailers = inner.headers;
        trailers.insert(GRPC_STATUS, HeaderValue::from(u16::from(inner.code.number())));
        if let Ok(message) = HeaderValue::from_str(&percent_encode(&inner.message)) {
            trailers.insert(GRPC_MESSAGE, message);
        }
        if let Some(details) = inner.details {
            trailers.insert(GRPC_DETAILS, details);
        }
        trailers
    }
}

/// Where the gateway refused a request, and why: a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) stage: Stage,
    pub(crate) reason: &'static str,
}

impl Refusal {
    /// `stage/reason`.
    #[cold]
    pub(crate) fn header(self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{}/{}", self.stage.name(), self.reason)).ok()
    }
}

/// The reason of an answer that is the upstream's own.
const UPSTREAM: &str = "upstream";

impl From<TranscodeError> for Reject {
    #[cold]
    fn from(error: TranscodeError) -> Self {
        Self::new(Stage::Transcode, error.kind().as_str(), error.code(), error.to_string())
    }
}

/// 499 is not in the `http` crate's list of names, but it is a valid status.
fn http_status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// gRPC over HTTP/2, "Percent-Encoded": everything but visible ASCII and space, and `%` itself.
fn percent_encode(message: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded_as_grpc_says() {
        for (plain, encoded) in
            [("plain text", "plain text"), ("100%", "100%25"), ("é\n", "%C3%A9%0A"), ("", "")]
        {
            assert_eq!(percent_encode(plain), encoded);
        }
    }

    #[test]
    fn a_refusal_as_trailers_has_code_and_message() {
        let trailers = Reject::bad_request(Stage::Route, "x", "a\tb").into_trailers();
        assert_eq!(trailers[GRPC_STATUS], "3");
        assert_eq!(trailers[GRPC_MESSAGE], "a%09b");
    }
}
