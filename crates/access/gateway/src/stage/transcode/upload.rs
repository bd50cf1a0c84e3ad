//! A client's stream of messages: JSON texts, one after the other or in one array, or the pieces of a raw body. Each becomes a
//! frame as soon as it is complete, so that the memory it takes is that of one message, however long the stream is.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use aqueduct_transcode::{Code, Detached, Match, Request as JsonRequest, Split, Splitter, Transcoder};
use bytes::{Buf, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri};
use tokio::time::Sleep;

use super::request::{content_type, is_ndjson, slow_body};
use crate::edge::Edge;
use crate::grpc::{FRAME_HEAD, seal};
use crate::outgoing::poll_data;
use crate::reject::Reject;
use crate::routes::Routes;
use crate::stage::Stage;
use crate::stage::forward::RequestBody;

/// Frames are sent on when they are this long together, or when the client has sent no more.
const PIECE: usize = 64 << 10;

/// A client's body, message by message.
#[derive(Debug)]
pub(crate) struct Upload<B> {
    body: B,
    edge: Rc<Edge>,
    routes: Rc<Routes>,
    found: Detached,
    uri: Uri,
    content: Content,
    ended: bool,
    patience: Patience,
}

/// How long the client may say nothing. Where the answer is a stream too, the client may be waiting for it between two messages:
/// then for ever.
#[derive(Debug)]
struct Patience {
    most: Duration,
    between_messages: bool,
    /// Armed when there is nothing to do but to wait.
    wait: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn poll_over(&mut self, cx: &mut Context<'_>, within: bool) -> bool {
        let most = self.most;
        (within || self.between_messages)
            && self
                .wait
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(most)))
                .as_mut()
                .poll(cx)
                .is_ready()
    }
}

#[derive(Debug)]
enum Content {
    Json {
        splitter: Splitter,
        /// What was read and is no whole message yet.
        buffer: BytesMut,
    },
    Raw {
        /// Said in the first message.
        content_type: Option<String>,
        piece: Bytes,
        first: bool,
    },
}

impl<B: RequestBody> Upload<B> {
    pub(crate) fn new(
        (edge, routes): (&Rc<Edge>, &Rc<Routes>),
        found: &Match<'_>,
        head: &Parts,
        body: B,
    ) -> Self {
        let content = if found.binding.request_is_raw() {
            Content::Raw {
                content_type: content_type(&head.headers).map(str::to_owned),
                piece: Bytes::new(),
                first: true,
            }
        } else {
            Content::Json { splitter: splitter(&head.headers), buffer: BytesMut::new() }
        };
        Self {
            body,
            edge: Rc::clone(edge),
            routes: Rc::clone(routes),
            found: found.detach(),
            uri: head.uri.clone(),
            content,
            ended: false,
            patience: Patience {
                most: routes.options().timeouts.body,
                between_messages: !found.binding.server_streaming(),
                wait: None,
            },
        }
    }

    /// Whether there is no message at all. A raw body without data still has a path and a query.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_end_stream() && matches!(self.content, Content::Json { .. })
    }

    /// The next frames.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Reject>>> {
        let mut out = Vec::new();
        while out.len() < PIECE {
            match self.next(&mut out) {
                Ok(Step::Message) => continue,
                Ok(Step::More) => {}
                Ok(Step::End) => break,
                Err(reject) => return Poll::Ready(Some(Err(reject))),
            }
            match poll_data(&mut self.body, cx) {
                Poll::Ready(Some(Ok(data))) => {
                    self.patience.wait = None;
                    self.content.push(data);
                }
                Poll::Ready(Some(Err(reject))) => return Poll::Ready(Some(Err(reject))),
                Poll::Ready(None) => self.ended = true,
                Poll::Pending if out.is_empty() && self.patience.poll_over(cx, self.content.is_within()) => {
                    return Poll::Ready(Some(Err(slow_body())));
                }
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready((!out.is_empty()).then(|| Ok(out.into())))
    }

    /// Makes a frame of the next message, if it is complete.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Step, Reject> {
        let Self { edge, routes, found, uri, content, ended, .. } = self;
        let Some(found) = routes.router().attach(found) else { return Ok(Step::End) };
        let request = |body| JsonRequest { path: uri.path(), query: uri.query(), body };
        let (start, limit) = (out.len(), routes.options().limits.body_bytes);
        match content {
            Content::Json { splitter, buffer } => match splitter.next(buffer, *ended)? {
                Split::Element { range, .. } if range.len() > limit => return Err(too_large(limit)),
                Split::Element { range, offset, consumed } => {
                    out.resize(start + FRAME_HEAD, 0);
                    let element = buffer.get(range).unwrap_or_default();
                    let done = edge.transcoder.borrow_mut().encode_request(&found, request(element), out);
                    done.map_err(|error| error.shifted(offset))?;
                    buffer.advance(consumed);
                }
                Split::More { consumed } => {
                    buffer.advance(consumed);
                    return if buffer.len() > limit { Err(too_large(limit)) } else { Ok(Step::More) };
                }
                Split::End => return Ok(Step::End),
            },
            Content::Raw { content_type, piece, first } => {
                if piece.is_empty() && !(*ended && *first) {
                    return Ok(if *ended { Step::End } else { Step::More });
                }
                out.resize(start + FRAME_HEAD, 0);
                let data = std::mem::take(piece);
                if std::mem::take(first) {
                    let mut transcoder = edge.transcoder.borrow_mut();
                    transcoder.encode_raw_request(&found, request(&data), content_type.as_deref(), out)?;
                } else {
                    Transcoder::encode_raw_piece(found.binding, &data, out);
                }
            }
        }
        seal(out.get_mut(start..).unwrap_or_default());
        Ok(Step::Message)
    }
}

/// What became of an attempt to make a message.
enum Step {
    /// It was made.
    Message,
    /// More of the body is needed.
    More,
    /// There is none.
    End,
}

impl Content {
    /// Whether a message has begun and not ended.
    fn is_within(&self) -> bool {
        matches!(self, Content::Json { buffer, .. } if !buffer.is_empty())
    }

    fn push(&mut self, data: Bytes) {
        match self {
            Content::Json { buffer, .. } => buffer.extend_from_slice(&data),
            Content::Raw { piece, .. } => *piece = data,
        }
    }
}

/// NDJSON has no arrays of messages: there, a `[` is a message that is a list.
fn splitter(headers: &HeaderMap) -> Splitter {
    if is_ndjson(headers) { Splitter::values() } else { Splitter::json() }
}

#[cold]
fn too_large(limit: usize) -> Reject {
    let message = format!("a message of the stream is longer than {limit} bytes");
    Reject::new(Stage::Transcode, "body_too_large", Code::ResourceExhausted, message)
        .with_http(StatusCode::PAYLOAD_TOO_LARGE)
}
