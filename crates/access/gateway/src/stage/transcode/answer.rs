//! An upstream's answer: its messages and its status, and what of its metadata goes on to the client.

use std::borrow::Cow;
use std::task::{Context, Poll, ready};

use aqueduct_transcode::{Code, decode_grpc_message};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::grpc::{Deframer, FrameError};
use crate::http2::Receiver;
use crate::options::Compat;
use crate::outgoing::Fault;
use crate::reject::{GRPC_DETAILS, GRPC_MESSAGE, GRPC_STATUS, Reject};
use crate::stage::Stage;
use crate::stage::forward::{Pump, failed};
use crate::stage::normalize::find;
use crate::stage::route::is_grpc;
use crate::upstream::connection::{Answer, Lease};

/// How old a stale answer is, from the service.
const AGE_MS: HeaderName = HeaderName::from_static("x-aqueduct-age-ms");
/// The same for the client: `age=1.250`, in seconds.
const STALE: HeaderName = HeaderName::from_static("x-aqueduct-stale");

/// An answer that is not gRPC gets the status of gRPC's HTTP table.
pub(crate) fn check(answer: &Answer) -> Result<(), Reject> {
    let head = &answer.head;
    if find(&head.headers, &GRPC_STATUS).is_some() {
        return Ok(());
    }
    let grpc = find(&head.headers, &CONTENT_TYPE).is_some_and(is_grpc);
    if head.status == StatusCode::OK && grpc {
        return Ok(());
    }
    let code =
        if head.status == StatusCode::OK { Code::Unknown } else { Code::from_http(head.status.as_u16()) };
    let message = format!("the upstream answered with HTTP {} and no gRPC status", head.status.as_u16());
    Err(Reject::upstream(code, message, None, HeaderMap::new()))
}

/// The messages of an answer and, after the last, its status.
#[derive(Debug)]
pub(crate) struct Messages {
    body: Receiver,
    _pump: Option<Pump>,
    _lease: Lease,
    /// The status of a trailers-only answer is in its head.
    head: HeaderMap,
    trailers: HeaderMap,
    deframer: Deframer,
    limit: usize,
    compat: Compat,
    fault: Fault,
}

impl Messages {
    /// Messages of at most `limit` bytes each. `fault` tells when it was the client whose stream broke off.
    pub(crate) fn new(answer: Answer, limit: usize, compat: Compat, fault: Fault) -> Self {
        let Answer { head, body, pump, lease } = answer;
        Self {
            body,
            _pump: pump,
            _lease: lease,
            head: head.headers,
            trailers: HeaderMap::new(),
            deframer: Deframer::default(),
            limit,
            compat,
            fault,
        }
    }

    /// The metadata that came with the status, once all messages were read.
    pub(crate) fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    /// The next message; `None` after the last when the status is OK, otherwise the status as an error.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Reject>> {
        let next = ready!(self.poll_upstream(cx));
        Poll::Ready(next.map_err(|upstream| self.fault.or(upstream)))
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Reject>> {
        loop {
            match self.deframer.next(self.limit) {
                Ok(None) => {}
                Ok(message) => return Poll::Ready(Ok(message)),
                Err(error) => return Poll::Ready(Err(bad_frame(error))),
            }
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.deframer.push(data);
                }
                Some(Err(error)) => return Poll::Ready(Err(failed(&error))),
                None => break,
            }
        }
        match ready!(self.body.poll_trailers(cx)) {
            Ok(Some(trailers)) => self.trailers = trailers,
            Ok(None) => {}
            Err(error) => return Poll::Ready(Err(failed(&error))),
        }
        Poll::Ready(self.status().and_then(|()| {
            if self.deframer.is_empty() {
                Ok(None)
            } else {
                Err(broken("the upstream's last message is cut off"))
            }
        }))
    }

    /// `Err` unless the trailers (or the head of a trailers-only answer) say OK.
    fn status(&self) -> Result<(), Reject> {
        let told = find(&self.trailers, &GRPC_STATUS);
        let (last, told) = match told {
            Some(_) => (&self.trailers, told),
            None => (&self.head, find(&self.head, &GRPC_STATUS)),
        };
        let code = match told {
            Some(value) => Code::from_header(value.as_bytes()).unwrap_or(Code::Unknown),
            None => return Err(without_status()),
        };
        if code == Code::Ok {
            return Ok(());
        }
        let message = last.get(GRPC_MESSAGE);
        let message = message.map_or(Cow::Borrowed(""), |value| decode_grpc_message(value.as_bytes()));
        let mut metadata = HeaderMap::new();
        copy_metadata(&self.head, &mut metadata, self.compat);
        copy_metadata(&self.trailers, &mut metadata, self.compat);
        Err(Reject::upstream(code, message.into_owned(), last.get(GRPC_DETAILS).cloned(), metadata))
    }
}

/// The one message of a unary call, once its status is known to be OK.
pub(crate) async fn only(messages: &mut Messages) -> Result<Bytes, Reject> {
    let message = std::future::poll_fn(|cx| messages.poll_next(cx)).await?;
    let message = message.ok_or_else(|| broken("the upstream answered OK without a message"))?;
    match std::future::poll_fn(|cx| messages.poll_next(cx)).await? {
        None => Ok(message),
        Some(_) => Err(broken("the upstream answered a unary call with several messages")),
    }
}

/// The upstream has said all that it will, but not how it went.
#[cold]
pub(crate) fn without_status() -> Reject {
    broken("the upstream ended its answer without a gRPC status")
}

#[cold]
fn broken(what: &'static str) -> Reject {
    Reject::new(Stage::Transcode, "upstream_protocol", Code::Internal, what)
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

/// The upstream's own metadata goes on to the client, binary values as their base64; what belongs to gRPC or to the hop
/// does not.
pub(crate) fn copy_metadata(from: &HeaderMap, to: &mut HeaderMap, compat: Compat) {
    for (name, value) in from {
        let text = name.as_str();
        if *name == AGE_MS {
            if let Some(stale) = stale(value) {
                to.insert(STALE, stale);
            }
        } else if !is_internal(text) {
            match compat {
                Compat::Off => drop(to.append(name, value.clone())),
                Compat::GrpcGateway => append_prefixed(to, "grpc-metadata-", text, value),
            }
        }
    }
}

/// `Grpc-Metadata-…` and `Grpc-Trailer-…`, as grpc-gateway names them.
pub(crate) fn append_prefixed(to: &mut HeaderMap, prefix: &str, name: &str, value: &HeaderValue) {
    if let Ok(name) = HeaderName::try_from(format!("{prefix}{name}")) {
        to.append(name, value.clone());
    }
}

/// What belongs to gRPC or to the hop.
pub(crate) fn is_internal(name: &str) -> bool {
    name.starts_with("grpc-")
        || matches!(
            name,
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
        )
}

fn stale(age_ms: &HeaderValue) -> Option<HeaderValue> {
    let age: u64 = age_ms.to_str().ok()?.parse().ok()?;
    HeaderValue::from_str(&format!("age={}.{:03}", age / 1000, age % 1000)).ok()
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
    fn metadata_goes_on_and_what_is_of_the_hop_does_not() {
        let from = headers(&[
            ("x-aqueduct-age-ms", "1250"),
            ("grpc-encoding", "identity"),
            ("content-type", "application/grpc"),
            ("x-mine", "1"),
            ("x-trace-bin", "AAAA"),
        ]);
        let copied = |compat| {
            let mut out = HeaderMap::new();
            copy_metadata(&from, &mut out, compat);
            out
        };
        let expect = headers(&[("x-aqueduct-stale", "age=1.250"), ("x-mine", "1"), ("x-trace-bin", "AAAA")]);
        assert_eq!(copied(Compat::Off), expect);
        let expect = headers(&[
            ("x-aqueduct-stale", "age=1.250"),
            ("grpc-metadata-x-mine", "1"),
            ("grpc-metadata-x-trace-bin", "AAAA"),
        ]);
        assert_eq!(copied(Compat::GrpcGateway), expect);
        assert_eq!(stale(&HeaderValue::from_static("7")).unwrap(), "age=0.007");
        assert_eq!(stale(&HeaderValue::from_static("x")), None);
    }
}
