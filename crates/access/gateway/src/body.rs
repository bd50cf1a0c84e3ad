//! The bodies that the gateway answers with: whole, relayed from an upstream gRPC stream, or transcoded from one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::closing::{Closing, Cut, Watch};
use crate::compress::Streaming;
use crate::compress::encoder::Encoder;
use crate::compress::squeeze::Squeeze;
use crate::exchange::{Ending, Exchange};
use crate::stage::forward::Relay;
use crate::stage::transcode::stream::MessageStream;

/// An answer's body. The exchange it belongs to is finished when the body is: at its end, or when it is dropped.
#[derive(Debug)]
pub(crate) struct Body {
    content: Content,
    exchange: Option<Box<Exchange>>,
}

/// What a body is made of.
#[derive(Debug)]
pub(crate) enum Content {
    Empty,
    Full(Bytes),
    /// Bytes, when there are some left, and trailers.
    Trailed(Bytes, Box<HeaderMap>),
    Relay(Box<Relay>),
    Messages(Box<MessageStream>),
    Squeezed(Box<Squeeze>),
}

/// A body that cannot be completed and has no place to say so: the connection (or the stream of an HTTP/2 one) is broken
/// off, so that the client cannot take the part for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream's answer broke off")
    }
}

impl std::error::Error for Broken {}

impl Content {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(match self {
            Content::Empty => None,
            Content::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Content::Empty;
                Some(Ok(Frame::data(bytes)))
            }
            Content::Trailed(bytes, trailers) => {
                let (bytes, trailers) = (std::mem::take(bytes), std::mem::take(trailers));
                if bytes.is_empty() {
                    *self = Content::Empty;
                    Some(Ok(Frame::trailers(*trailers)))
                } else {
                    *self = Content::Trailed(Bytes::new(), trailers);
                    Some(Ok(Frame::data(bytes)))
                }
            }
            Content::Relay(relay) => ready!(relay.poll_frame(cx)).map(Ok),
            Content::Messages(stream) => ready!(stream.poll_frame(cx)),
            Content::Squeezed(squeeze) => ready!(squeeze.poll_frame(cx)),
        })
    }

    /// How a stream ended whose last frame does not say.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match self {
            Content::Empty | Content::Full(_) | Content::Trailed(..) => None,
            Content::Relay(relay) => relay.ending(),
            Content::Messages(stream) => stream.ending(),
            Content::Squeezed(squeeze) => squeeze.ending(),
        }
    }
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

    pub(crate) fn messages(stream: MessageStream) -> Self {
        Self { content: Content::Messages(Box::new(stream)), exchange: None }
    }

    /// The same whole body with trailers behind it, if there are any.
    #[must_use]
    pub(crate) fn with_trailers(self, trailers: HeaderMap) -> Self {
        match self.content {
            content if trailers.is_empty() => Self { content, ..self },
            Content::Full(bytes) => Self { content: Content::Trailed(bytes, Box::new(trailers)), ..self },
            _ => Self { content: Content::Trailed(Bytes::new(), Box::new(trailers)), ..self },
        }
    }

    /// The length, when the whole body is there.
    pub(crate) fn length(&self) -> Option<usize> {
        match &self.content {
            Content::Empty => Some(0),
            Content::Full(bytes) => Some(bytes.len()),
            Content::Trailed(..) | Content::Relay(_) | Content::Messages(_) | Content::Squeezed(_) => None,
        }
    }

    /// The whole body, when it is there.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Full(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The same compressed on its way out.
    #[must_use]
    pub(crate) fn squeezed(self, with: (Streaming, Encoder)) -> Self {
        let Self { content, exchange } = self;
        Self { content: Content::Squeezed(Box::new(Squeeze::new(content, with))), exchange }
    }

    /// Keeps the exchange until the body has ended.
    pub(crate) fn hold(&mut self, exchange: Box<Exchange>) {
        self.exchange = Some(exchange);
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    /// A failure in the middle is told in the body or its trailers, in the client's dialect; see
    /// [`Reject`](crate::reject::Reject). Only a raw body has no place for it.
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let frame = ready!(this.content.poll_frame(cx));
        if let Some(exchange) = &mut this.exchange {
            match &frame {
                Some(Ok(frame)) => {
                    exchange.sent(frame);
                    // Nothing can follow trailers, and nobody asks for it.
                    if frame.is_trailers() {
                        exchange.ended(this.content.ending());
                    }
                }
                Some(Err(Broken)) | None => exchange.ended(this.content.ending()),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, |length| SizeHint::with_exact(length as u64))
    }
}

/// What ends a stream that does not end by itself: its deadline, or the gateway's own end. Neither costs anything until
/// the stream has to wait.
#[derive(Debug)]
pub(crate) struct Expiry {
    deadline: Option<Pin<Box<Sleep>>>,
    closing: Option<Watch>,
}

impl Expiry {
    /// With `closing` for what may go on for ever and has a place to say why it ends.
    pub(crate) fn new(deadline: Option<Instant>, closing: Option<&Arc<Closing>>) -> Self {
        let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        Self { deadline, closing: closing.map(Watch::new) }
    }

    /// Whether the stream has to end although it has more to say.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.as_ref().is_some_and(Watch::has_begun)
    }

    /// Why the stream ends now; otherwise the task is woken when there is a reason.
    pub(crate) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Option<Cut> {
        if self.deadline.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready()) {
            return Some(Cut::Deadline);
        }
        self.closing.as_mut().is_some_and(|closing| closing.poll_begun(cx)).then_some(Cut::Closing)
    }
}
