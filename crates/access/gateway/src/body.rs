//! The bodies that the gateway answers with: whole, relayed from an upstream gRPC stream, or transcoded from one.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::exchange::Exchange;
use crate::stage::forward::Relay;
use crate::stage::transcode::JsonStream;

/// An answer's body. The exchange it belongs to is finished when the body is: at its end, or when it is dropped.
#[derive(Debug)]
pub(crate) struct Body {
    content: Content,
    exchange: Option<Box<Exchange>>,
}

#[derive(Debug)]
enum Content {
    Empty,
    Full(Bytes),
    Relay(Box<Relay>),
    Json(Box<JsonStream>),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self { content: Content::Empty, exchange: None }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        let content = if bytes.is_empty() { Content::Empty } else { Content::Full(bytes) };
        Self { content, exchange: None }
    }

    pub(crate) fn relay(relay: Relay) -> Self {
        Self { content: Content::Relay(Box::new(relay)), exchange: None }
    }

    pub(crate) fn json(stream: JsonStream) -> Self {
        Self { content: Content::Json(Box::new(stream)), exchange: None }
    }

    /// The length, when the whole body is there.
    pub(crate) fn length(&self) -> Option<usize> {
        match &self.content {
            Content::Empty => Some(0),
            Content::Full(bytes) => Some(bytes.len()),
            Content::Relay(_) | Content::Json(_) => None,
        }
    }

    /// Keeps the exchange until the body has ended.
    pub(crate) fn hold(&mut self, exchange: Box<Exchange>) {
        self.exchange = Some(exchange);
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    /// A failure in the middle is told in the body or its trailers, in the client's dialect; see
    /// [`Reject`](crate::reject::Reject).
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let frame = match &mut this.content {
            Content::Empty => None,
            Content::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.content = Content::Empty;
                Some(Frame::data(bytes))
            }
            Content::Relay(relay) => ready!(relay.poll_frame(cx)),
            Content::Json(stream) => ready!(stream.poll_frame(cx)),
        };
        if let Some(exchange) = &mut this.exchange {
            match &frame {
                Some(frame) => exchange.sent(frame),
                None => exchange.ended(),
            }
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, |length| SizeHint::with_exact(length as u64))
    }
}

/// The deadline of a stream: a timer that costs nothing until the stream has to wait.
#[derive(Debug)]
pub(crate) struct Expiry(Option<Pin<Box<Sleep>>>);

impl Expiry {
    pub(crate) fn new(deadline: Option<Instant>) -> Self {
        Self(deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))))
    }

    /// Whether the deadline has passed; otherwise the task is woken when it does.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        self.0.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready())
    }
}
