//! A body that is compressed on its way out. Each message of a stream can be read as soon as it is sent: it is flushed, so
//! that server-sent events and lines stay live.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::Streaming;
use super::encoder::{Encoder, Failed};
use crate::body::{Broken, Content};
use crate::exchange::Ending;

/// What is compressed between two looks at the client.
const PIECE: usize = 64 << 10;

/// A body and its compressor.
#[derive(Debug)]
pub(crate) struct Squeeze {
    content: Content,
    encoder: Encoder,
    _streaming: Streaming,
    /// What has come and is not compressed yet.
    rest: Bytes,
    /// Whether a message should not wait for the next.
    live: bool,
    end: End,
}

#[derive(Debug)]
enum End {
    NotYet,
    Trailers(HeaderMap),
    Reached,
}

impl Squeeze {
    pub(crate) fn new(content: Content, (streaming, encoder): (Streaming, Encoder)) -> Self {
        let live = !matches!(content, Content::Full(_));
        Self { content, encoder, _streaming: streaming, rest: Bytes::new(), live, end: End::NotYet }
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.content.ending()
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            match std::mem::replace(&mut self.end, End::Reached) {
                End::NotYet => self.end = End::NotYet,
                End::Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                End::Reached => return Poll::Ready(None),
            }
            if self.rest.is_empty() {
                match ready!(self.content.poll_frame(cx)) {
                    None => return self.last(End::Reached),
                    // What is broken off gets no proper end.
                    Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => self.rest = data,
                        Err(frame) => {
                            return self.last(End::Trailers(frame.into_trailers().unwrap_or_default()));
                        }
                    },
                }
            }
            let piece = self.rest.split_to(self.rest.len().min(PIECE));
            let mut out = Vec::with_capacity(piece.len() / 2);
            let done = if self.live && self.rest.is_empty() {
                self.encoder.flush(&piece, &mut out)
            } else {
                self.encoder.write(&piece, &mut out)
            };
            if let Err(Failed) = done {
                return Poll::Ready(Some(Err(Broken)));
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
        }
    }

    fn last(&mut self, end: End) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut out = Vec::new();
        let done = self.encoder.finish(&[], &mut out);
        self.end = end;
        Poll::Ready(Some(done.map(|()| Frame::data(out.into())).map_err(|Failed| Broken)))
    }
}
