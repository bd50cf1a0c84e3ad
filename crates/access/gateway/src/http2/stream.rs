//! One call: what has come of its answer, and what of it has yet to be sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response};

use super::STREAM_WINDOW;
use super::connection::Shared;
use super::error::Error;
use super::frame::Reason;
use super::hpack::Block;

/// Pieces of a body up to this length are put together behind others that nobody has read yet, so that neither many small frames
/// nor the buffers that they were read into cost more memory than a window. The first that waits, and what is longer, is not copied.
const SMALL: usize = 1 << 10;

/// Up to this length a copy is cheaper than a share of the buffer.
const TINY: usize = 256;

/// How far our side of a call is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// More may be sent.
    #[default]
    Open,
    /// The end follows what is unsent.
    Ends,
    /// The end has been sent.
    Ended,
}

/// What is known of a call.
#[derive(Debug, Default)]
pub(super) struct State {
    /// 0 until it was sent.
    pub(super) id: u32,
    /// The connection has forgotten it: nothing more will come, or is to be sent.
    pub(super) closed: bool,
    head: Option<(StatusCode, HeaderMap)>,
    /// The head has come.
    pub(super) begun: bool,
    body: VecDeque<Bytes>,
    /// Small pieces behind the others.
    tail: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// Nothing more will come.
    pub(super) ended: Option<Result<(), Error>>,
    /// Bytes of the body that are still to come, if that was told.
    left: Option<u64>,
    reader: Option<Waker>,
    /// What the upstream may still send.
    room: u32,
    /// What has been read since it was told.
    read: u32,
    /// What we may still send.
    pub(super) window: i64,
    /// What is to be sent as soon as there is a window for it.
    pub(super) unsent: Bytes,
    pub(super) side: Side,
    /// It waits for a window.
    pub(super) blocked: bool,
    pub(super) writer: Option<Waker>,
}

/// A call, as its connection and those who read and write it share it.
pub(super) type Stream = Rc<RefCell<State>>;

/// Something is wrong with one answer: the stream is reset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault(pub(super) Reason, pub(super) &'static str);

impl State {
    pub(super) fn new(unsent: Bytes, side: Side) -> Self {
        Self { room: STREAM_WINDOW, unsent, side, ..Self::default() }
    }

    /// Both sides have said their last.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() && self.side == Side::Ended
    }

    /// Bytes may be of the head, of an informational one, or trailers.
    pub(super) fn headers(&mut self, block: Block, end: bool) -> Result<(), Fault> {
        let malformed = |what| Err(Fault(Reason::PROTOCOL_ERROR, what));
        if let Some(what) = block.wrong {
            return malformed(what);
        }
        match (self.begun, block.status) {
            (false, Some(status)) if status.is_informational() => {
                return if end { malformed("an interim answer that ends") } else { Ok(()) };
            }
            (false, Some(status)) => {
                self.begun = true;
                self.left = block.length;
                self.head = Some((status, block.fields));
            }
            (true, None) if end => self.trailers = Some(block.fields),
            (false, None) => return malformed("an answer without a status"),
            (true, _) => return malformed("a second head"),
        }
        if end { self.end() } else { Ok(()) }
    }

    /// Counts what came, and answers whether it is within the window.
    pub(super) fn count(&mut self, data: usize, padding: usize) -> Result<(), Fault> {
        let length = u32::try_from(data + padding).unwrap_or(u32::MAX);
        let Some(room) = self.room.checked_sub(length) else {
            return Err(Fault(Reason::FLOW_CONTROL_ERROR, "more data than the window has room for"));
        };
        if !self.begun {
            return Err(Fault(Reason::PROTOCOL_ERROR, "data before the head"));
        }
        self.room = room;
        self.read += u32::try_from(padding).unwrap_or_default();
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(data as u64) else {
                return Err(Fault(Reason::PROTOCOL_ERROR, "more data than was announced"));
            };
            *left = rest;
        }
        Ok(())
    }

    /// Whether a piece of this length is to be copied.
    pub(super) fn copies(&self, length: usize) -> bool {
        let others_wait = !(self.body.is_empty() && self.tail.is_empty());
        length <= TINY || length <= SMALL && others_wait
    }

    pub(super) fn small(&mut self, data: &[u8]) {
        if self.tail.is_empty() {
            // Exactly as much as is needed: nearly always it is the only one.
            self.tail.reserve_exact(data.len());
        }
        self.tail.extend_from_slice(data);
    }

    pub(super) fn large(&mut self, data: Bytes) {
        if !self.tail.is_empty() {
            self.body.push_back(std::mem::take(&mut self.tail).into());
        }
        self.body.push_back(data);
    }

    /// The answer is complete.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        let no_content = matches!(&self.head, Some((StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED, _)));
        if self.left.is_some_and(|left| left > 0) && !no_content {
            return Err(Fault(Reason::PROTOCOL_ERROR, "less data than was announced"));
        }
        self.ended = Some(Ok(()));
        Ok(())
    }

    /// Whatever comes, nobody waits for it any more; what has come can still be read.
    pub(super) fn fail(&mut self, error: &Error) {
        self.closed = true;
        self.unsent = Bytes::new();
        if self.ended.is_none() {
            self.ended = Some(Err(error.clone()));
        }
        self.wake();
    }

    /// Wakes whoever reads, and whoever writes.
    pub(super) fn wake(&mut self) {
        self.wake_reader();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn piece(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.body.pop_front() {
            return Some(piece);
        }
        (!self.tail.is_empty()).then(|| std::mem::take(&mut self.tail).into())
    }

    /// Counts what was read, and answers by how much the window opens again: only now and then, and not for what ends.
    fn release(&mut self, length: usize) -> Option<u32> {
        self.read += u32::try_from(length).unwrap_or_default();
        if self.read < STREAM_WINDOW / 2 || self.ended.is_some() {
            return None;
        }
        self.room += self.read;
        Some(std::mem::take(&mut self.read))
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            self.reader = Some(cx.waker().clone());
        }
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
        match &state.ended {
            Some(Err(error)) => Poll::Ready(Err(error.clone())),
            // It has been taken.
            Some(Ok(())) => Poll::Ready(Err(Error::closed())),
            None => {
                state.wait(cx);
                Poll::Pending
            }
        }
    }

    /// The next piece of the body; the window opens as far as it was read.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let state = &mut *self.stream.borrow_mut();
        let Some(piece) = state.piece() else {
            return match &state.ended {
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(error)) => Poll::Ready(Some(Err(error.clone()))),
                None => {
                    state.wait(cx);
                    Poll::Pending
                }
            };
        };
        if let Some(by) = state.release(piece.len()) {
            self.shared.open_window(state.id, by);
        }
        Poll::Ready(Some(Ok(piece)))
    }

    /// The trailers, behind the last piece.
    pub(crate) fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Error>> {
        let state = &mut *self.stream.borrow_mut();
        match &state.ended {
            Some(Ok(())) => Poll::Ready(Ok(state.trailers.take())),
            Some(Err(error)) => Poll::Ready(Err(error.clone())),
            None => {
                state.wait(cx);
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
        matches!(state.ended, Some(Ok(())))
            && state.body.is_empty()
            && state.tail.is_empty()
            && state.trailers.is_none()
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
        if !state.writer.as_ref().is_some_and(|writer| writer.will_wake(cx.waker())) {
            state.writer = Some(cx.waker().clone());
        }
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
