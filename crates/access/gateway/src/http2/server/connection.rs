//! A connection's state: its streams, its windows, what is to be written, and what its client may still cost.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use foldhash::fast::FixedState;
use http::{HeaderMap, Response, StatusCode};
use tokio::io::AsyncWrite;

use super::CONNECTION_WINDOW;
use super::budget::{Budget, WASTE};
use super::incoming::BrokenOff;
use super::receive::Step;
use super::stream::{State, Stream};
use crate::body::Body;
use crate::http2::flow::{Flow, Side, WINDOW};
use crate::http2::frame::{Head, MAX, PING, Reason, Violation};
use crate::http2::hpack::{Answer, Encoder};
use crate::http2::reader::Reader;
use crate::http2::{STREAM_WINDOW, settings};
use crate::options::Limits;

/// With so much to be written, no answer goes on: the client reads too slowly.
const MUCH: usize = 64 << 10;
/// With so much, it makes us answer without reading the answers.
const TOO_MUCH: usize = 4 * MUCH;
/// What the ping says whose answer tells that a client has heard the first good-bye.
pub(super) const GOODBYE: [u8; 8] = *b"good-bye";

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// The client was told, and may not have heard it.
    Told,
    /// It has heard it. Streams after this one are refused.
    Heard(u32),
}

/// A connection, as its driver and its streams share it.
#[derive(Debug)]
pub(super) struct Shared(RefCell<Connection>);

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) flow: Flow<State>,
    pub(super) encoder: Encoder,
    pub(super) streams: HashMap<u32, Stream, FixedState>,
    /// Streams at once.
    pub(super) most: usize,
    /// The latest stream.
    pub(super) last: u32,
    /// Streams that the client passed over at last, from and to.
    pub(super) gap: (u32, u32),
    /// Streams that we reset, of which something may still be on its way.
    pub(super) reset: VecDeque<u32>,
    /// What the client may still send.
    pub(super) room: u32,
    /// What has been read since it was told.
    pub(super) read: u32,
    /// Its window was opened since those who wait for it looked.
    pub(super) opened: bool,
    pub(super) budget: Budget,
    pub(super) leaving: Leaving,
    /// Something came since somebody looked.
    pub(super) heard: bool,
    /// The number of the header block that has not ended.
    pub(super) open_block: Option<u64>,
}

impl Shared {
    pub(super) fn new(limits: &Limits) -> Rc<Self> {
        let mut flow = Flow::new(MUCH);
        let longest = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
        settings(&mut flow.out, &[(3, limits.streams), (4, STREAM_WINDOW), (6, longest)]);
        flow.out.window(0, CONNECTION_WINDOW - WINDOW);
        Rc::new(Self(RefCell::new(Connection {
            flow,
            encoder: Encoder::new(),
            streams: HashMap::default(),
            most: limits.streams as usize,
            last: 0,
            gap: (0, 0),
            reset: VecDeque::new(),
            room: CONNECTION_WINDOW,
            read: 0,
            opened: false,
            budget: Budget::new(),
            leaving: Leaving::No,
            heard: true,
            open_block: None,
        })))
    }

    /// The next of what was read.
    pub(super) fn next(&self, reader: &mut Reader) -> Result<Option<Step>, Violation> {
        let connection = &mut *self.0.borrow_mut();
        let Some(event) = reader.next()? else {
            connection.open_block = reader.open_block();
            if std::mem::take(&mut connection.opened) {
                connection.unblock();
            }
            return connection.settle(reader.take_cost()).map(|()| None);
        };
        connection.heard = true;
        let step = connection.receive(event, reader)?;
        Ok(Some(step))
    }

    /// A request came to nothing before anybody looked at it.
    pub(super) fn wasted(&self) -> Result<(), Violation> {
        self.0.borrow_mut().settle(WASTE)
    }

    /// The next piece of a body; the windows open as far as it was read.
    pub(super) fn poll_data(
        &self,
        stream: &Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let connection = &mut *self.0.borrow_mut();
        let state = &mut *stream.borrow_mut();
        if let Some(piece) = state.inbox.piece() {
            connection.consume(piece.len());
            if let Some(by) = state.inbox.release(piece.len())
                && !state.closed
            {
                connection.flow.out.window(state.outbox.id, by);
                connection.flow.wake();
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match state.inbox.ended {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(_)) => Poll::Ready(Some(Err(BrokenOff))),
            None => {
                if std::mem::take(&mut state.expects) && !state.closed {
                    let Connection { flow, encoder, .. } = connection;
                    let id = state.outbox.id;
                    flow.out.headers(id, false, |out| encoder.interim(StatusCode::CONTINUE, out));
                    flow.wake();
                }
                state.inbox.wait(cx);
                Poll::Pending
            }
        }
    }

    /// Nobody reads the body any more.
    pub(super) fn abandon(&self, stream: &Stream) {
        let connection = &mut *self.0.borrow_mut();
        let state = &mut *stream.borrow_mut();
        state.abandoned = true;
        let length = state.inbox.clear();
        connection.consume(length);
    }

    /// Whether an answer can go on; otherwise its task is woken when it can.
    pub(super) fn poll_room(&self, stream: &Stream, begun: bool, cx: &Context<'_>) -> Poll<()> {
        let connection = &mut *self.0.borrow_mut();
        let state = &mut *stream.borrow_mut();
        let outbox = &mut state.outbox;
        let window = outbox.unsent.is_empty() && outbox.window > 0 && connection.flow.window > 0;
        // A head needs no window.
        if connection.flow.has_room() && (window || !begun) {
            return Poll::Ready(());
        }
        outbox.wait(cx);
        connection.flow.block(stream, outbox);
        Poll::Pending
    }

    /// The head of an answer, behind which perhaps nothing comes.
    pub(super) fn answer(&self, stream: &Stream, response: &Response<Body>, end: bool) {
        self.write(stream, |connection, state| {
            let (status, headers) = (response.status(), response.headers());
            let length = if end { None } else { response.body().length() };
            let Connection { flow, encoder, .. } = connection;
            let answer = Answer { status, headers, length };
            flow.out.headers(state.outbox.id, end, |out| encoder.answer(answer, out));
            state.expects = false;
            if end {
                state.outbox.side = Side::Ended;
            }
        });
    }

    /// A piece of an answer's body, perhaps the last.
    pub(super) fn send(&self, stream: &Stream, data: Bytes, end: bool) {
        self.write(stream, |connection, state| {
            state.outbox.unsent = data;
            if end {
                state.outbox.side = Side::Ends;
            }
            connection.flow.write(stream, &mut state.outbox);
        });
    }

    /// The trailers of an answer, which end it.
    pub(super) fn trailers(&self, stream: &Stream, trailers: &HeaderMap) {
        self.write(stream, |connection, state| {
            let Connection { flow, encoder, .. } = connection;
            flow.out.headers(state.outbox.id, true, |out| encoder.trailers(trailers, out));
            state.outbox.side = Side::Ended;
        });
    }

    /// An answer cannot be completed.
    pub(super) fn break_off(&self, stream: &Stream) {
        let connection = &mut *self.0.borrow_mut();
        let state = &mut *stream.borrow_mut();
        if !state.closed {
            connection.reset(stream, state, Reason::INTERNAL_ERROR);
        }
    }

    fn write(&self, stream: &Stream, write: impl FnOnce(&mut Connection, &mut State)) {
        let connection = &mut *self.0.borrow_mut();
        let state = &mut *stream.borrow_mut();
        if !state.closed {
            write(connection, state);
            connection.close_if_answered(state);
            connection.flow.wake();
        }
    }

    /// Says that the connection takes no more requests than those that are on their way.
    pub(super) fn leave(&self) {
        let connection = &mut *self.0.borrow_mut();
        if connection.leaving == Leaving::No {
            connection.leaving = Leaving::Told;
            connection.flow.out.go_away(MAX, Reason::NO_ERROR);
            connection.flow.out.frame(Head::new(0, PING, 0, 0), &GOODBYE);
            connection.flow.wake();
        }
    }

    pub(super) fn ping(&self) {
        let connection = &mut *self.0.borrow_mut();
        connection.flow.out.frame(Head::new(0, PING, 0, 0), b"are-you?");
        connection.flow.wake();
    }

    /// Whether something came since the last look.
    pub(super) fn take_heard(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().heard)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.0.borrow().streams.is_empty()
    }

    pub(super) fn open_block(&self) -> Option<u64> {
        self.0.borrow().open_block
    }

    /// Whether more may be put into the buffer.
    pub(super) fn has_room(&self) -> bool {
        self.0.borrow().flow.has_room()
    }

    /// Whether the client has heard that it is to go, and has been told all that it asked for.
    pub(super) fn is_done(&self) -> bool {
        let connection = self.0.borrow();
        matches!(connection.leaving, Leaving::Heard(_)) && connection.streams.is_empty()
    }

    pub(super) fn attend(&self, cx: &Context<'_>) {
        self.0.borrow_mut().flow.attend(cx);
    }

    /// The driver has written what it could. Nothing is kept for a connection on which nothing happens.
    pub(super) fn wrote(&self) {
        let connection = &mut *self.0.borrow_mut();
        connection.flow.wrote();
        connection.flow.out.release();
    }

    /// Writes what there is, and what can be sent once that is written. Ready when nothing is left; how much was written.
    pub(super) fn poll_write<I: AsyncWrite + Unpin>(
        &self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> (usize, Poll<io::Result<()>>) {
        let connection = &mut *self.0.borrow_mut();
        let mut all = 0;
        loop {
            let (before, full) = (connection.flow.out.len(), !connection.flow.has_room());
            let written = connection.flow.poll_write(io, cx);
            all += before - connection.flow.out.len();
            if full && connection.flow.has_room() {
                connection.unblock();
            }
            let stopped = written.is_pending() || matches!(written, Poll::Ready(Err(_)));
            if stopped || connection.flow.out.len() == 0 {
                connection.budget.sent(all);
                return (all, written);
            }
        }
    }

    /// The connection ends, and the client is told why.
    pub(super) fn fail(&self, violation: Violation) {
        let connection = &mut *self.0.borrow_mut();
        let last = match connection.leaving {
            Leaving::Heard(last) => last,
            _ => connection.last,
        };
        connection.flow.out.go_away(last, violation.reason);
        connection.close();
    }

    /// Nothing will come on it any more.
    pub(super) fn close(&self) {
        self.0.borrow_mut().close();
    }
}

impl Connection {
    fn close(&mut self) {
        for (_, stream) in self.streams.drain() {
            stream.borrow_mut().fail();
        }
        self.flow.clear();
    }

    /// The client pays.
    pub(super) fn settle(&mut self, cost: i64) -> Result<(), Violation> {
        let calm = |what| Err(Violation::new(Reason::ENHANCE_YOUR_CALM, what));
        if cost > 0 && !self.budget.charge(cost) {
            return calm(FLOOD);
        }
        if self.flow.out.len() > TOO_MUCH {
            return calm("it does not read what it asks for");
        }
        Ok(())
    }

    /// Our side has said its last: the stream is over, whatever the client would still say.
    pub(super) fn close_if_answered(&mut self, state: &mut State) {
        if state.outbox.side == Side::Ended && !state.closed {
            self.streams.remove(&state.outbox.id);
            if state.inbox.ended.is_none() {
                // RFC 9113, section 8.1: the rest of the request is not needed.
                self.flow.out.reset(state.outbox.id, Reason::NO_ERROR);
                self.remember(state.outbox.id);
            }
            state.fail();
        }
    }

    pub(super) fn unblock(&mut self) {
        let mut over = Vec::new();
        self.flow.unblock(|_, state| {
            if state.outbox.side == Side::Ended {
                over.push(state.outbox.id);
            }
        });
        for id in over {
            if let Some(stream) = self.streams.get(&id).cloned() {
                self.close_if_answered(&mut stream.borrow_mut());
            }
        }
    }

    /// Bytes of bodies have been read, or thrown away.
    pub(super) fn consume(&mut self, length: usize) {
        self.read += u32::try_from(length).unwrap_or_default();
        if self.read >= CONNECTION_WINDOW / 2 {
            let by = std::mem::take(&mut self.read);
            self.room += by;
            self.flow.out.window(0, by);
            self.flow.wake();
        }
    }
}

/// Why a client is cut that costs more than it pays.
pub(super) const FLOOD: &str = "more control frames than a client may send";
