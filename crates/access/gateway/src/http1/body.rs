//! A request's body: slices of the connection's read buffer, read no faster than they are asked for.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::chunked::ChunkError;
use super::fields::Framing;

/// The connection that a body is read from. Behind a pointer, so that the pipeline is compiled once, whatever carries the bytes.
pub(super) trait Source {
    /// The next piece of the body of this request.
    fn poll_data(&self, request: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;
    /// The bytes that are left, as far as that is known; zero at the end.
    fn left(&self, request: u32) -> Option<u64>;
    /// Nobody wants the rest.
    fn abandon(&self, request: u32);
}

/// Why a body cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The client closed the connection within it.
    Closed,
    /// Its chunks are malformed.
    Chunk(ChunkError),
    /// Its request has been answered.
    Over,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::Closed => "the client closed the connection within the body",
            BodyError::Chunk(error) => error.as_str(),
            BodyError::Over => "the request has been answered already",
        })
    }
}

impl std::error::Error for BodyError {}

/// The body of a request that came over HTTP/1.
pub(crate) struct Incoming(Option<(Rc<dyn Source>, u32)>);

impl Incoming {
    /// The body of a request; where there is none, nothing is kept of the connection.
    pub(super) fn new(source: impl FnOnce() -> Rc<dyn Source>, request: u32, framing: Framing) -> Self {
        Self((framing != Framing::Length(0)).then(|| (source(), request)))
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &self.0 {
            Some((source, request)) => {
                source.poll_data(*request, cx).map(|data| data.map(|data| data.map(Frame::data)))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(source, request)| source.left(*request) == Some(0))
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.0.as_ref().map_or(Some(0), |(source, request)| source.left(*request));
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some((source, request)) = &self.0 {
            source.abandon(*request);
        }
    }
}
