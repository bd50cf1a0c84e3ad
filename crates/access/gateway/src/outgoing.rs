//! What a client sends as a stream: gRPC frames as they are, gRPC frames within grpc-web, or JSON made into frames.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::grpc_web;
use crate::reject::Reject;
use crate::stage::Stage;
use crate::stage::forward::RequestBody;
use crate::stage::transcode::upload::Upload;

/// The client's side of a call, as gRPC frames in pieces of any size.
#[derive(Debug)]
pub(crate) struct Outgoing<B> {
    source: Source<B>,
    /// What was polled already, and has yet to be handed on.
    first: Option<Result<Bytes, BrokenOff>>,
    fault: Fault,
}

#[derive(Debug)]
enum Source<B> {
    Grpc(Counted<B>),
    Web(grpc_web::Decoder<Counted<B>>),
    Json(Box<Upload<Counted<B>>>),
}

/// The stream broke off; the [`Fault`] says why.
#[derive(Debug)]
pub(crate) struct BrokenOff;

impl<B: RequestBody> Outgoing<B> {
    /// Frames that pass as they are.
    pub(crate) fn grpc(body: B) -> Self {
        Self::with(body, Source::Grpc)
    }

    /// Frames within grpc-web.
    pub(crate) fn web(body: B, kind: grpc_web::Kind) -> Self {
        Self::with(body, |body| Source::Web(grpc_web::Decoder::new(body, kind)))
    }

    /// JSON, message by message.
    pub(crate) fn json(body: B, upload: impl FnOnce(Counted<B>) -> Upload<Counted<B>>) -> Self {
        Self::with(body, |body| Source::Json(Box::new(upload(body))))
    }

    fn with(body: B, source: impl FnOnce(Counted<B>) -> Source<B>) -> Self {
        let fault = Fault(Some(Rc::default()));
        Self { source: source(Counted { body, fault: fault.clone() }), first: None, fault }
    }

    /// Where it is said why the stream broke off.
    pub(crate) fn fault(&self) -> Fault {
        self.fault.clone()
    }

    /// Whether nothing at all will come.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.source {
            Source::Grpc(body) => body.is_end_stream(),
            Source::Web(decoder) => decoder.is_empty(),
            Source::Json(upload) => upload.is_empty(),
        }
    }

    /// All of it, when it has come already, as the message of a unary call nearly always has: it then needs no task to carry
    /// it, and goes out with the end of the stream in one frame.
    pub(crate) fn poll_whole(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        if !matches!(self.source, Source::Grpc(_)) || self.first.is_some() {
            return None;
        }
        let Poll::Ready(Some(piece)) = self.poll_piece(cx) else { return None };
        match piece {
            Ok(data) if self.is_empty() => Some(data),
            piece => {
                self.first = Some(piece);
                None
            }
        }
    }

    /// The next piece.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if let Some(piece) = self.first.take() {
            return Poll::Ready(Some(piece));
        }
        let piece = match &mut self.source {
            Source::Grpc(body) => ready!(poll_data(body, cx)),
            Source::Web(decoder) => ready!(decoder.poll_piece(cx)),
            Source::Json(upload) => ready!(upload.poll_piece(cx)),
        };
        Poll::Ready(piece.map(|piece| {
            piece.map_err(|reject| {
                self.fault.set(reject);
                BrokenOff
            })
        }))
    }
}

/// The next data of a body; a client's trailers mean nothing here.
pub(crate) fn poll_data<B: RequestBody>(
    body: &mut B,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, Reject>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(broken(&error)))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
        }
    }
}

/// The client's body broke off or is malformed.
#[cold]
pub(crate) fn broken(error: &impl Display) -> Reject {
    tracing::debug!(%error, "request body broke off");
    Reject::bad_request(Stage::Transcode, "broken_body", "the body is malformed or broke off")
}

/// A client's body whose data is counted.
#[derive(Debug)]
pub(crate) struct Counted<B> {
    body: B,
    fault: Fault,
}

impl<B: RequestBody> http_body::Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let (Some(data), Some(seen)) = (frame.data_ref(), &self.fault.0)
        {
            seen.bytes.set(seen.bytes.get() + data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What became of a client's stream: how much came, and why it broke off, if it did. The upstream's call is then reset, and what
/// it answers to that is not the reason. A call of one message has none, and pays nothing for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Option<Rc<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    reject: RefCell<Option<Reject>>,
    bytes: Cell<u64>,
}

impl Fault {
    fn set(&self, reject: Reject) {
        if let Some(seen) = &self.0 {
            seen.reject.replace(Some(reject));
        }
    }

    /// The client's fault, when there is one; otherwise the upstream's.
    pub(crate) fn or(&self, upstream: Reject) -> Reject {
        self.0.as_ref().and_then(|seen| seen.reject.take()).unwrap_or(upstream)
    }

    /// Bytes of the client's body so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |seen| seen.bytes.get())
    }
}
