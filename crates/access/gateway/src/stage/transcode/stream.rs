//! A stream of messages as the client wants it. A failure in the middle is its last element; a raw stream, which has no
//! place for one, breaks off.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body::Frame;
use tokio::time::{Instant, Sleep};

use super::accept::Style;
use super::answer::Messages;
use super::raw;
use crate::body::{Broken, Expiry};
use crate::edge::Edge;
use crate::exchange::Ending;
use crate::reject::Reject;
use crate::routes::Routes;
use crate::stage::Stage;

/// A piece of a stream is sent on when it is this long, or when the upstream has nothing more at once.
const PIECE: usize = 64 << 10;

/// What transcodes the messages: a binding, by its place in routes that are kept for it.
#[derive(Debug)]
pub(crate) struct Transcoding {
    pub(crate) edge: Rc<Edge>,
    pub(crate) routes: Rc<Routes>,
    pub(crate) binding: usize,
}

/// How the stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON in one of its styles.
    Json(Style),
    /// The data of `google.api.HttpBody` messages, one after the other.
    Raw,
}

/// What is known when the head goes out.
#[derive(Debug)]
pub(crate) enum First {
    /// The first message.
    Message(Bytes),
    /// There is no message, and the status is OK.
    End,
    /// Nothing is left of it: it was taken, or the head would not wait any longer.
    Taken,
}

/// The rest of an answer.
#[derive(Debug)]
pub(crate) struct MessageStream {
    transcoding: Transcoding,
    form: Form,
    /// `None` once the stream has ended.
    messages: Option<Messages>,
    first: First,
    /// Whether an element was written.
    begun: bool,
    /// Whether the stream breaks off instead of ending.
    breaking: bool,
    /// How it ended, when that was told as an element.
    ending: Option<Ending>,
    expiry: Expiry,
    keep_alive: Option<KeepAlive>,
}

impl MessageStream {
    /// `keep_alive`: after how long a silence server-sent events get a comment, so that nobody on the way hangs up.
    pub(crate) fn new(
        transcoding: Transcoding,
        form: Form,
        (first, messages): (First, Messages),
        deadline: Option<Instant>,
        keep_alive: Duration,
    ) -> Self {
        let keep_alive = matches!(form, Form::Json(Style::Events)).then(|| KeepAlive::new(keep_alive));
        // A raw stream could not say why it ends: it has as long as there is.
        let closing = matches!(form, Form::Json(_)).then_some(&transcoding.edge.closing);
        let expiry = Expiry::new(deadline, closing);
        Self {
            transcoding,
            form,
            messages: Some(messages),
            first,
            begun: false,
            breaking: false,
            ending: None,
            expiry,
            keep_alive,
        }
    }

    /// What ended the stream, if it did not end well.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.breaking {
            return Poll::Ready(Some(Err(Broken)));
        }
        let mut out = Vec::new();
        while self.messages.is_some() {
            let next = match self.poll_message(cx) {
                // Also one that always has more to say.
                Poll::Ready(Ok(Some(_))) if self.expiry.is_closing() => Err(Reject::closing(Stage::Forward)),
                Poll::Ready(next) => next,
                Poll::Pending if !out.is_empty() => break,
                Poll::Pending => {
                    if let Some(cut) = self.expiry.poll_cut(cx) {
                        Err(cut.reject(Stage::Forward))
                    } else {
                        let due = self.keep_alive.as_mut().is_some_and(|keep_alive| keep_alive.poll_due(cx));
                        let comment = || Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))));
                        return if due { comment() } else { Poll::Pending };
                    }
                }
            };
            match (next, &self.form) {
                (Ok(Some(message)), Form::Raw) => match self.raw(&message) {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(reject) => return self.break_off(cx, &reject),
                },
                (Err(reject), Form::Raw) => return self.break_off(cx, &reject),
                (Ok(None), Form::Raw) => self.messages = None,
                (next, &Form::Json(style)) => {
                    self.element(style, next, &mut out);
                    if out.len() >= PIECE {
                        break;
                    }
                }
            }
        }
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.sent();
        }
        Poll::Ready((!out.is_empty()).then(|| Ok(Frame::data(Bytes::from(out)))))
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Reject>> {
        match (std::mem::replace(&mut self.first, First::Taken), &mut self.messages) {
            (First::Message(message), _) => Poll::Ready(Ok(Some(message))),
            (First::Taken, Some(messages)) => messages.poll_next(cx),
            (First::End | First::Taken, _) => Poll::Ready(Ok(None)),
        }
    }

    /// The codec throws away what it has not flushed when a body fails, so it gets a turn to flush first.
    fn break_off(&mut self, cx: &Context<'_>, reject: &Reject) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.messages = None;
        self.ending = Some(Ending::of(reject));
        self.breaking = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn raw(&self, message: &Bytes) -> Result<Bytes, Reject> {
        let Transcoding { edge, routes, binding } = &self.transcoding;
        raw::data(edge, routes.binding(*binding), message).map(|body| body.data)
    }

    /// Writes a message, the end or the error that ends the stream.
    fn element(&mut self, style: Style, next: Result<Option<Bytes>, Reject>, out: &mut Vec<u8>) {
        let start = out.len();
        let written = match next {
            Ok(Some(message)) => self.message(style, &message, out).map(|()| true),
            Ok(None) => Ok(false),
            Err(reject) => Err(reject),
        };
        match written {
            Ok(true) => self.begun = true,
            Ok(false) => {
                self.messages = None;
                match style {
                    Style::Array if self.begun => out.push(b']'),
                    Style::Array => out.extend_from_slice(b"[]"),
                    Style::Lines | Style::Events | Style::Results => {}
                }
            }
            Err(reject) => {
                out.truncate(start);
                self.messages = None;
                self.ending = Some(Ending::of(&reject));
                self.error(style, &reject, out);
            }
        }
    }

    fn message(&self, style: Style, message: &[u8], out: &mut Vec<u8>) -> Result<(), Reject> {
        let Transcoding { edge, routes, binding } = &self.transcoding;
        let Some(binding) = routes.binding(*binding) else { return Ok(()) };
        out.extend_from_slice(self.before(style));
        edge.transcoder.borrow_mut().decode_response(binding, message, out)?;
        out.extend_from_slice(match style {
            Style::Lines => b"\n",
            Style::Array => b"",
            Style::Events => b"\n\n",
            Style::Results => b"}\n",
        });
        Ok(())
    }

    fn before(&self, style: Style) -> &'static [u8] {
        match style {
            Style::Lines => b"",
            Style::Array if self.begun => b",",
            Style::Array => b"[",
            Style::Events => b"data: ",
            Style::Results => b"{\"result\":",
        }
    }

    /// `{"error": Status}`, as the last element.
    fn error(&self, style: Style, reject: &Reject, out: &mut Vec<u8>) {
        let (before, after): (&[u8], &[u8]) = match style {
            Style::Lines | Style::Results => (b"", b"\n"),
            Style::Array => (self.before(style), b"]"),
            Style::Events => (b"event: error\ndata: ", b"\n\n"),
        };
        out.extend_from_slice(before);
        out.extend_from_slice(b"{\"error\":");
        let Transcoding { edge, routes, .. } = &self.transcoding;
        out.extend_from_slice(&reject.to_json(edge, routes.schema()));
        out.push(b'}');
        out.extend_from_slice(after);
    }
}

/// A raw stream's content type is that of its first message.
pub(crate) fn raw_content_type(
    transcoding: &Transcoding,
    first: &First,
) -> Result<Option<HeaderValue>, Reject> {
    let First::Message(message) = first else { return Ok(None) };
    let Transcoding { edge, routes, binding } = transcoding;
    raw::data(edge, routes.binding(*binding), message).map(|body| body.content_type)
}

/// The timer of a silent stream. It is armed anew only when it fires.
#[derive(Debug)]
struct KeepAlive {
    every: Duration,
    last_sent: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl KeepAlive {
    fn new(every: Duration) -> Self {
        let now = Instant::now();
        Self { every, last_sent: now, sleep: Box::pin(tokio::time::sleep_until(now + every)) }
    }

    fn sent(&mut self) {
        self.last_sent = Instant::now();
    }

    /// Whether it was silent for long enough; otherwise the task is woken when it was.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> bool {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let due = self.last_sent + self.every;
            if due <= Instant::now() {
                self.sent();
                self.sleep.as_mut().reset(self.last_sent + self.every);
                return true;
            }
            self.sleep.as_mut().reset(due);
        }
        false
    }
}
