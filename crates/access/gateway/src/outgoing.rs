//! What a client sends as a stream: gRPC frames as they are, gRPC frames within grpc-web, or JSON made into frames.

use std::cell::RefCell;
use std::fmt::Display;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

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
    Grpc(B),
    Web(grpc_web::Decoder<B>),
    Json(Box<Upload<B>>),
}

/// The stream broke off; the [`Fault`] says why.
#[derive(Debug)]
pub(crate) struct BrokenOff;

impl<B: RequestBody> Outgoing<B> {
    /// Frames that pass as they are.
    pub(crate) fn grpc(body: B) -> Self {
        Self { source: Source::Grpc(body), first: None, fault: Fault::new() }
    }

    /// Frames within grpc-web.
    pub(crate) fn web(body: B, kind: grpc_web::Kind) -> Self {
        Self { source: Source::Web(grpc_web::Decoder::new(body, kind)), first: None, fault: Fault::new() }
    }

    /// JSON, message by message.
    pub(crate) fn json(upload: Upload<B>) -> Self {
        Self { source: Source::Json(Box::new(upload)), first: None, fault: Fault::new() }
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

/// Why a client's stream broke off. The upstream's call is then reset, and what it answers to that is not the reason. A call
/// of one message has none, and pays nothing for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Option<Rc<RefCell<Option<Reject>>>>);

impl Fault {
    fn new() -> Self {
        Self(Some(Rc::default()))
    }

    fn set(&self, reject: Reject) {
        if let Some(fault) = &self.0 {
            fault.replace(Some(reject));
        }
    }

    /// The client's fault, when there is one; otherwise the upstream's.
    pub(crate) fn or(&self, upstream: Reject) -> Reject {
        self.0.as_ref().and_then(|fault| fault.take()).unwrap_or(upstream)
    }
}
