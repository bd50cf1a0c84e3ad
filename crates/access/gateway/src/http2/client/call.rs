//! One call: what has come of its answer, and what of it has yet to be sent.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response};

use super::connection::{AFTER_THE_END, Shared};
use crate::http2::error::Error;
use crate::http2::flow::{Outbox, Sends, Side};
use crate::http2::frame::Reason;
use crate::http2::hpack::Block;
use crate::http2::inbox::{Fault, Inbox};
use crate::http2::reader::Reader;

/// What is known of a call.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The connection has forgotten it: nothing more will come, or is to be sent.
    pub(super) closed: bool,
    head: Option<(StatusCode, HeaderMap)>,
    /// The head has come.
    begun: bool,
    /// What was announced does not come.
    no_content: bool,
    pub(super) inbox: Inbox,
    trailers: Option<HeaderMap>,
    pub(super) outbox: Outbox,
}

impl Sends for State {
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

/// A call, as its connection and those who read and write it share it.
pub(super) type Stream = Rc<RefCell<State>>;

impl State {
    pub(super) fn new(unsent: Bytes, side: Side) -> Self {
        Self { outbox: Outbox { unsent, side, ..Outbox::default() }, ..Self::default() }
    }

    /// Both sides have said their last.
    pub(super) fn is_over(&self) -> bool {
        self.inbox.ended.is_some() && self.outbox.side == Side::Ended
    }

    /// Bytes may be of the head, of an informational one, or trailers.
    pub(super) fn headers(&mut self, block: Box<Block>, end: bool) -> Result<(), Fault> {
        let malformed = |what| Err(Fault::malformed(what));
        if let Some(what) = block.wrong {
            return malformed(what);
        }
        if block.too_long {
            return malformed("more headers than agreed");
        }
        if block.asked.is_some() {
            return malformed("a field of requests");
        }
        match (self.begun, block.status) {
            (false, Some(status)) if status.is_informational() => {
                return if end { malformed("an interim answer that ends") } else { Ok(()) };
            }
            (false, Some(status)) => {
                self.begun = true;
                self.no_content = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
                self.inbox.left = block.length;
                self.head = Some((status, block.fields));
            }
            (true, None) if end => self.trailers = Some(block.fields),
            (false, None) => return malformed("an answer without a status"),
            (true, _) => return malformed("a second head"),
        }
        if end { self.end() } else { Ok(()) }
    }

    /// Takes a piece of the body.
    pub(super) fn data(
        &mut self,
        (length, padding, end): (usize, usize, bool),
        reader: &mut Reader,
    ) -> Result<(), Fault> {
        if self.inbox.ended.is_some() {
            return Err(AFTER_THE_END);
        }
        if !self.begun {
            return Err(Fault::malformed("data before the head"));
        }
        self.inbox.admit(length, padding)?;
        self.inbox.keep(length, reader);
        if end { self.end() } else { Ok(()) }
    }

    /// The answer is complete.
    fn end(&mut self) -> Result<(), Fault> {
        if self.no_content {
            self.inbox.left = None;
        }
        self.inbox.end()
    }

    /// Whatever comes, nobody waits for it any more; what has come can still be read.
    pub(super) fn fail(&mut self, error: &Error) {
        self.closed = true;
        self.outbox.unsent = Bytes::new();
        self.inbox.fail(error);
        self.wake();
    }

    /// Wakes whoever reads, and whoever writes.
    pub(super) fn wake(&mut self) {
        self.inbox.wake();
        self.outbox.wake();
    }
}

/// The answer of a call. Dropped before its end, it resets the call.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(super) shared: Rc<Shared>,
    pub(super) stream: Stream,
}

impl Receiver {
    /// The head of the answer.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<response::Parts, Error>> {
        let state = &mut *self.stream.borrow_mut();
        if let Some((status, headers)) = state.head.take() {
            let (mut head, ()) = http::Response::new(()).into_parts();
            (head.status, head.headers) = (status, headers);
            return Poll::Ready(Ok(head));
        }
        match &state.inbox.ended {
            Some(Err(error)) => Poll::Ready(Err(error.clone())),
            // It has been taken.
            Some(Ok(())) => Poll::Ready(Err(Error::closed())),
            None => {
                state.inbox.wait(cx);
                Poll::Pending
            }
        }
    }

    /// The next piece of the body; the window opens as far as it was read.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let state = &mut *self.stream.borrow_mut();
        let Some(piece) = state.inbox.piece() else {
            return match &state.inbox.ended {
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(error)) => Poll::Ready(Some(Err(error.clone()))),
                None => {
                    state.inbox.wait(cx);
                    Poll::Pending
                }
            };
        };
        if let Some(by) = state.inbox.release(piece.len()) {
            self.shared.open_window(state.outbox.id, by);
        }
        Poll::Ready(Some(Ok(piece)))
    }

    /// The trailers, behind the last piece.
    pub(crate) fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Error>> {
        let state = &mut *self.stream.borrow_mut();
        match &state.inbox.ended {
            Some(Ok(())) => Poll::Ready(Ok(state.trailers.take())),
            Some(Err(error)) => Poll::Ready(Err(error.clone())),
            None => {
                state.inbox.wait(cx);
                Poll::Pending
            }
        }
    }

    pub(crate) async fn data(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    pub(crate) async fn trailers(&mut self) -> Result<Option<HeaderMap>, Error> {
        poll_fn(|cx| self.poll_trailers(cx)).await
    }

    /// Whether neither data nor trailers will come.
    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.stream.borrow();
        matches!(state.inbox.ended, Some(Ok(()))) && state.inbox.is_empty() && state.trailers.is_none()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let closed = self.stream.borrow().closed;
        if !closed {
            self.shared.reset(&self.stream, Reason::CANCEL);
        }
    }
}

/// The client's side of a call that goes on sending.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(super) shared: Rc<Shared>,
    pub(super) stream: Stream,
}

impl Sender {
    /// Ready when the upstream wants no more; otherwise the task is woken when that is so.
    pub(crate) fn poll_closed(&mut self, cx: &Context<'_>) -> Poll<()> {
        let state = &mut *self.stream.borrow_mut();
        if state.closed {
            return Poll::Ready(());
        }
        state.outbox.wait(cx);
        Poll::Pending
    }

    /// Sends as much of `data` as there is a window for. Ready when nothing is left of it, and whether the upstream wants more.
    pub(crate) fn poll_send(&mut self, data: &mut Bytes, cx: &Context<'_>) -> Poll<bool> {
        if self.poll_closed(cx).is_ready() {
            return Poll::Ready(false);
        }
        self.shared.send(&self.stream, data);
        if data.is_empty() { Poll::Ready(true) } else { Poll::Pending }
    }

    /// The client has sent its last.
    pub(crate) fn end(&mut self) {
        self.shared.end(&self.stream);
    }

    pub(crate) fn reset(&mut self, reason: Reason) {
        self.shared.reset(&self.stream, reason);
    }
}
