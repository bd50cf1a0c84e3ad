//! A request's body, read no faster than it is asked for.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::connection::Shared;
use super::stream::Stream;

/// The client broke its request off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client broke the stream off within the body")
    }
}

impl std::error::Error for BrokenOff {}

/// The body of a request that came over HTTP/2. A client's trailers mean nothing here.
#[derive(Debug)]
pub(crate) struct Incoming(Option<(Rc<Shared>, Stream)>);

impl Incoming {
    /// The body of a stream; where there is none, nothing is kept of the connection.
    pub(super) fn new(stream: Option<(Rc<Shared>, Stream)>) -> Self {
        Self(stream)
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &self.0 {
            Some((shared, stream)) => {
                shared.poll_data(stream, cx).map(|data| data.map(|data| data.map(Frame::data)))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(_, stream)| {
            let inbox = &stream.borrow().inbox;
            matches!(inbox.ended, Some(Ok(()))) && inbox.is_empty()
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some((_, stream)) = &self.0 else { return SizeHint::with_exact(0) };
        let mut hint = SizeHint::new();
        // What is to come at least.
        hint.set_lower(stream.borrow().inbox.left.unwrap_or_default());
        hint
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some((shared, stream)) = &self.0 {
            shared.abandon(stream);
        }
    }
}
