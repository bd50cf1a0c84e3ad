//! `forward`: the gRPC call to the endpoint that was picked, and its answer. The messages are opaque here.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aqueduct_runtime::task;
use aqueduct_transcode::Code;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Response};
use http_body::Frame;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::body::{Body, Expiry};
use crate::closing::Closing;
use crate::exchange::Ending;
use crate::grpc_web;
use crate::http2::{Error, Fields, Reason, Receiver, Sender, Sending};
use crate::outgoing::{Fault, Outgoing};
use crate::reject::{GRPC_STATUS, Reject};
use crate::retry::Cause;
use crate::stage::Stage;
use crate::stage::deadline::{GRPC_TIMEOUT, grpc_timeout};
use crate::stage::normalize::{find, once};
use crate::stage::transcode::answer;
use crate::upstream::connection::{Answer, Lease};
use crate::upstream::endpoint::{ConnectError, Endpoint};

/// What any HTTP codec hands us as a request body.
pub(crate) trait RequestBody:
    http_body::Body<Data = Bytes, Error: std::fmt::Display> + Unpin + 'static
{
}

impl<B: http_body::Body<Data = Bytes, Error: std::fmt::Display> + Unpin + 'static> RequestBody for B {}

/// The head of an upstream call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) path: PathAndQuery,
    pub(crate) headers: Fields,
    pub(crate) deadline: Option<Instant>,
}

/// The messages of a call, framed.
#[derive(Debug)]
pub(crate) enum Payload<B> {
    /// All that the client sends, usually one message; it can be sent again.
    Whole(Bytes),
    /// What the client goes on sending.
    Stream(Outgoing<B>),
    /// A stream that has gone.
    Gone,
}

impl<B: RequestBody> Payload<B> {
    /// Whether all of it is there and can be sent once more.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Payload::Whole(_))
    }

    /// Where it is said why the client's stream broke off.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Payload::Stream(outgoing) => outgoing.fault(),
            Payload::Whole(_) | Payload::Gone => Fault::default(),
        }
    }
}

/// The task that carries a client's stream. It ends with the call: dropping this resets the upstream's side of it.
#[derive(Debug)]
pub(crate) struct Pump(JoinHandle<()>);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends the call and waits for the head of the answer. An error that is [`Reject::unprocessed`] may be tried again
/// with the same payload.
pub(crate) async fn forward<B: RequestBody>(
    endpoint: &Rc<Endpoint>,
    call: Call,
    payload: &mut Payload<B>,
) -> Result<Answer, Reject> {
    if let Payload::Stream(outgoing) = payload
        && let Some(whole) = std::future::poll_fn(|cx| Poll::Ready(outgoing.poll_whole(cx))).await
    {
        *payload = Payload::Whole(whole);
    }
    let lease = endpoint.acquire().await.map_err(|error| unreachable(&error))?;
    let sending = match payload {
        Payload::Whole(frame) => Sending::Whole(frame.clone()),
        Payload::Stream(outgoing) if outgoing.is_empty() => Sending::Nothing,
        Payload::Stream(_) => Sending::Stream,
        Payload::Gone => return Err(Reject::new(Stage::Forward, "upstream_reset", Code::Unavailable, RESET)),
    };
    let streams = matches!(sending, Sending::Stream);
    let (mut body, send) = lease
        .send(&call.path, headers(call.headers, call.deadline), sending)
        .map_err(|error| failed(&error).unprocessed(Cause::GoAway))?;
    let mut pumping = None;
    if streams && let Payload::Stream(outgoing) = std::mem::replace(payload, Payload::Gone) {
        pumping = Some(Pump(task::spawn_local("request-pump", pump(outgoing, send))));
    }
    let may_repeat = payload.is_whole();
    match std::future::poll_fn(|cx| body.poll_head(cx)).await {
        Ok(head) => Ok(Answer { head, body, pump: pumping, lease }),
        Err(error) => Err(match refused(&error).filter(|_| may_repeat) {
            Some(cause) => failed(&error).unprocessed(cause),
            None => failed(&error),
        }),
    }
}

/// The headers of a call, with what is left of its time.
fn headers(mut headers: Fields, deadline: Option<Instant>) -> Fields {
    if let Some(deadline) = deadline {
        let mut left = grpc_timeout(deadline.saturating_duration_since(Instant::now()));
        once(&mut left);
        headers.insert(GRPC_TIMEOUT, left);
    }
    headers
}

/// Carries the client's messages to the upstream at the pace at which it takes them. A client that breaks off resets
/// the call.
async fn pump<B: RequestBody>(mut outgoing: Outgoing<B>, mut send: Sender) {
    loop {
        let piece = std::future::poll_fn(|cx| {
            if send.poll_closed(cx).is_ready() {
                return Poll::Ready(None);
            }
            outgoing.poll_piece(cx).map(Some)
        });
        match piece.await {
            // The upstream wants no more.
            None => return,
            Some(None) => return send.end(),
            Some(Some(Ok(mut data))) => {
                if !std::future::poll_fn(|cx| send.poll_send(&mut data, cx)).await {
                    return;
                }
            }
            Some(Some(Err(_))) => return send.reset(Reason::CANCEL),
        }
    }
}

#[cold]
fn unreachable(error: &ConnectError) -> Reject {
    tracing::debug!(%error, "an upstream cannot be reached");
    Reject::new(Stage::Forward, "connect", Code::Unavailable, "the upstream cannot be reached")
        .with_inside(error.to_string())
        .with_retry_after(1)
        .unprocessed(Cause::Connect)
}

const RESET: &str = "the upstream broke the call off";

/// Why another attempt is safe, if the upstream says that it has not touched the request (RFC 9113, sections 8.7 and 6.8).
fn refused(error: &Error) -> Option<Cause> {
    match error {
        Error::Reset(Reason::REFUSED_STREAM) => Some(Cause::Refused),
        Error::GoAway(Reason::NO_ERROR) => Some(Cause::GoAway),
        _ => None,
    }
}

/// gRPC over HTTP/2, "Errors": what a broken stream means as a status.
#[cold]
pub(crate) fn failed(error: &Error) -> Reject {
    let code = match error {
        Error::Reset(Reason::CANCEL) => Code::Cancelled,
        Error::Reset(Reason::ENHANCE_YOUR_CALM) | Error::GoAway(Reason::ENHANCE_YOUR_CALM) => {
            Code::ResourceExhausted
        }
        Error::Reset(Reason::INADEQUATE_SECURITY) | Error::GoAway(Reason::INADEQUATE_SECURITY) => {
            Code::PermissionDenied
        }
        Error::Reset(Reason::REFUSED_STREAM) => Code::Unavailable,
        Error::Reset(_) | Error::Malformed(_) => Code::Internal,
        Error::GoAway(_) | Error::Violation(_) | Error::Broken(_) => Code::Unavailable,
    };
    tracing::debug!(%error, "upstream call failed");
    Reject::new(Stage::Forward, "upstream_reset", code, RESET)
}

/// The answer of a gRPC call that passes through, messages and metadata untouched; for grpc-web in its form. What is not gRPC
/// does not pass: it becomes the status that gRPC maps it to. `closing` ends what is a stream.
pub(crate) fn relay(
    answer: Answer,
    (deadline, fault): (Option<Instant>, Fault),
    web: Option<grpc_web::Kind>,
    closing: Option<&Arc<Closing>>,
) -> Result<Response<Body>, Reject> {
    answer::check(&answer)?;
    let Answer { mut head, body, pump, lease } = answer;
    head.headers.remove(http::header::DATE);
    if let Some(kind) = web {
        head.headers.remove(http::header::CONTENT_LENGTH);
        head.headers.insert(http::header::CONTENT_TYPE, kind.content_type());
    }
    let told = find(&head.headers, &GRPC_STATUS).is_some();
    if told && body.is_end_stream() {
        // gRPC's Trailers-Only is a head that ends the stream. With so much as an empty frame behind it, clients see a stream
        // without trailers.
        return Ok(Response::from_parts(head, Body::empty()));
    }
    let relay = Relay {
        answer: Some((body, pump, lease)),
        expiry: Expiry::new(deadline, closing),
        fault,
        web,
        told,
        ending: None,
    };
    Ok(Response::from_parts(head, Body::relay(relay)))
}

/// The rest of a relayed answer. Its window opens only as far as the client has read.
#[derive(Debug)]
pub(crate) struct Relay {
    answer: Option<(Receiver, Option<Pump>, Lease)>,
    expiry: Expiry,
    fault: Fault,
    web: Option<grpc_web::Kind>,
    /// Whether the head has the status already.
    told: bool,
    ending: Option<Ending>,
}

impl Relay {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        let Some((body, ..)) = &mut self.answer else { return Poll::Ready(None) };
        let next = match body.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => {
                let data = match self.web {
                    None => data,
                    Some(kind) => kind.data(data),
                };
                return Poll::Ready(Some(Frame::data(data)));
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
            Poll::Ready(None) => body.poll_trailers(cx),
            Poll::Pending => Poll::Pending,
        };
        let cut = if next.is_pending() { self.expiry.poll_cut(cx) } else { None };
        let end = match cut {
            Some(cut) => Err(cut.reject(Stage::Forward)),
            None => ready!(next).map_err(|error| self.fault.or(failed(&error))),
        };
        self.answer = None;
        Poll::Ready(match end {
            Ok(Some(trailers)) => Some(self.last(trailers)),
            Ok(None) if self.told => None,
            Ok(None) => Some(self.refuse(answer::without_status())),
            Err(reject) => Some(self.refuse(reject)),
        })
    }

    fn refuse(&mut self, reject: Reject) -> Frame<Bytes> {
        self.ending = Some(Ending::of(&reject));
        self.last(reject.into_trailers())
    }

    fn last(&mut self, trailers: HeaderMap) -> Frame<Bytes> {
        let code = find(&trailers, &GRPC_STATUS).and_then(|value| Code::from_header(value.as_bytes()));
        self.ending.get_or_insert(Ending { code, refusal: None });
        match self.web {
            None => Frame::trailers(trailers),
            Some(kind) => Frame::data(kind.trailers(&trailers)),
        }
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending
    }
}
