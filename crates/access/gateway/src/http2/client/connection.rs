//! A connection's state: its calls, its windows, and what is to be written. Its driver moves it on by what is read, those who call
//! by what they send.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use foldhash::fast::FixedState;
use tokio::io::AsyncWrite;

use super::call::{Receiver, Sender, State, Stream};
use super::{CONNECTION_WINDOW, HEADER_LIST};
use crate::http2::error::Error;
use crate::http2::fields::Fields;
use crate::http2::flow::{Flow, Side, WINDOW};
use crate::http2::frame::{ACK, Head, MAX, PING, Reason, SETTINGS, Violation};
use crate::http2::hpack::{Call, Encoder};
use crate::http2::inbox::Fault;
use crate::http2::reader::{Event, Reader, Settings};
use crate::http2::{STREAM_WINDOW, settings};

/// Calls at once before the upstream has said how many it takes.
const STREAMS: u32 = 100;
/// With so much to be written, no call begins, and no stream goes on: the upstream reads too slowly.
const MUCH: usize = 1 << 20;
/// With so much, it makes us answer without reading the answers.
const TOO_MUCH: usize = 2 << 20;
/// Received bytes after which the connection's window opens again.
const RELEASE: u32 = CONNECTION_WINDOW / 2;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whom a connection leads to.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) secure: bool,
    pub(crate) authority: http::uri::Authority,
}

/// What follows the head of a call.
#[derive(Debug)]
pub(crate) enum Sending {
    Nothing,
    /// All of it.
    Whole(Bytes),
    /// What a [`Sender`] sends.
    Stream,
}

/// A call that waits until the upstream takes another one.
#[derive(Debug)]
struct Waiting {
    stream: Stream,
    path: String,
    headers: Fields,
}

/// A connection, as its driver and its calls share it.
#[derive(Debug)]
pub(super) struct Shared(RefCell<Connection>);

#[derive(Debug)]
struct Connection {
    peer: Peer,
    flow: Flow<State>,
    encoder: Encoder,
    streams: HashMap<u32, Stream, FixedState>,
    waiting: VecDeque<Waiting>,
    /// The number of the next call.
    next: u32,
    /// Calls at once.
    most: u32,
    /// Received since the connection's window was opened.
    received: u32,
    /// No call begins any more.
    ended: Option<Error>,
}

impl Shared {
    pub(super) fn new(peer: Peer) -> Rc<Self> {
        let mut flow = Flow::new(MUCH);
        flow.out.bytes(PREFACE);
        settings(&mut flow.out, &[(2, 0), (4, STREAM_WINDOW), (6, HEADER_LIST)]);
        flow.out.window(0, CONNECTION_WINDOW - WINDOW);
        Rc::new(Self(RefCell::new(Connection {
            peer,
            flow,
            encoder: Encoder::new(),
            streams: HashMap::default(),
            waiting: VecDeque::new(),
            next: 1,
            most: STREAMS,
            received: 0,
            ended: None,
        })))
    }

    /// Whether another call begins at once.
    pub(super) fn has_room(&self) -> bool {
        let connection = self.0.borrow();
        connection.ended.is_none() && connection.waiting.is_empty() && connection.has_room()
    }

    /// Whether no call can begin any more.
    pub(super) fn has_ended(&self) -> bool {
        self.0.borrow().ended.is_some()
    }

    /// Whether no call can begin any more, and none is open.
    pub(super) fn is_done(&self) -> bool {
        let connection = self.0.borrow();
        connection.ended.is_some() && connection.streams.is_empty()
    }

    /// Begins a call, now or as soon as the upstream takes it. An error means that nothing was sent.
    pub(super) fn call(
        self: &Rc<Self>,
        path: &str,
        headers: Fields,
        sending: Sending,
    ) -> Result<(Receiver, Sender), Error> {
        let connection = &mut *self.0.borrow_mut();
        if let Some(error) = &connection.ended {
            return Err(match error {
                Error::GoAway(_) => error.clone(),
                _ => Error::GoAway(Reason::NO_ERROR),
            });
        }
        let (unsent, side) = match sending {
            Sending::Nothing => (Bytes::new(), Side::Ends),
            Sending::Whole(data) => (data, Side::Ends),
            Sending::Stream => (Bytes::new(), Side::Open),
        };
        let stream = Rc::new(RefCell::new(State::new(unsent, side)));
        if connection.waiting.is_empty() && connection.has_room() {
            connection.begin(&stream, path, &headers)?;
        } else {
            let stream = Rc::clone(&stream);
            connection.waiting.push_back(Waiting { stream, path: path.to_owned(), headers });
        }
        let receiver = Receiver { shared: Rc::clone(self), stream: Rc::clone(&stream) };
        Ok((receiver, Sender { shared: Rc::clone(self), stream }))
    }

    pub(super) fn open_window(&self, stream: u32, by: u32) {
        let connection = &mut *self.0.borrow_mut();
        connection.flow.out.window(stream, by);
        connection.flow.wake();
    }

    /// Sends what the windows allow.
    pub(super) fn send(&self, stream: &Stream, data: &mut Bytes) {
        let connection = &mut *self.0.borrow_mut();
        let state = &mut *stream.borrow_mut();
        let outbox = &mut state.outbox;
        if outbox.id != 0 && outbox.unsent.is_empty() && !data.is_empty() {
            std::mem::swap(&mut outbox.unsent, data);
            connection.flow.write(stream, outbox);
            std::mem::swap(&mut outbox.unsent, data);
        }
    }

    pub(super) fn end(&self, stream: &Stream) {
        let connection = &mut *self.0.borrow_mut();
        let state = &mut *stream.borrow_mut();
        if state.outbox.side == Side::Open {
            state.outbox.side = Side::Ends;
        }
        if state.outbox.id != 0 && !state.closed {
            connection.write(stream, state);
        }
    }

    /// Gives a call up.
    pub(super) fn reset(&self, stream: &Stream, reason: Reason) {
        let connection = &mut *self.0.borrow_mut();
        let (id, blocked) = {
            let state = &mut *stream.borrow_mut();
            if state.closed {
                return;
            }
            state.fail(&Error::Reset(reason));
            (state.outbox.id, state.outbox.blocked)
        };
        if blocked {
            connection.flow.forget(stream);
        }
        if id == 0 {
            connection.waiting.retain(|waiting| !Rc::ptr_eq(&waiting.stream, stream));
        } else {
            connection.flow.out.reset(id, reason);
            connection.forget(id);
        }
    }

    /// The driver looks: it is woken when there is something to be written from now on.
    pub(super) fn attend(&self, cx: &Context<'_>) {
        self.0.borrow_mut().flow.attend(cx);
    }

    /// The driver has written what it could.
    pub(super) fn wrote(&self) {
        self.0.borrow_mut().flow.wrote();
    }

    /// Writes what there is, and what can be sent once that is written. Ready when nothing is left.
    pub(super) fn poll_write<I: AsyncWrite + Unpin>(
        &self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = &mut *self.0.borrow_mut();
        loop {
            let full = !connection.flow.has_room();
            let written = connection.flow.poll_write(io, cx);
            if full && connection.flow.has_room() {
                connection.unblock();
                connection.begin_waiting();
            }
            if written.is_pending()
                || matches!(written, Poll::Ready(Err(_)))
                || connection.flow.out.len() == 0
            {
                return written;
            }
        }
    }

    /// All that was read.
    pub(super) fn receive(&self, reader: &mut Reader) -> Result<(), Violation> {
        let connection = &mut *self.0.borrow_mut();
        while let Some(event) = reader.next()? {
            connection.receive(event, reader)?;
        }
        if connection.flow.out.len() > TOO_MUCH {
            return Err(Violation::new(Reason::ENHANCE_YOUR_CALM, "it does not read what it asks for"));
        }
        Ok(())
    }

    /// The connection ends: nothing will come on it any more.
    pub(super) fn fail(&self, error: &Error) {
        let connection = &mut *self.0.borrow_mut();
        if let Error::Violation(violation) = error {
            connection.flow.out.go_away(0, violation.reason);
        }
        for (_, stream) in connection.streams.drain() {
            stream.borrow_mut().fail(error);
        }
        connection.flow.clear();
        connection.refuse(Reason::NO_ERROR);
        connection.ended = Some(error.clone());
    }

    /// Says that the connection ends, as it should.
    pub(super) fn say_goodbye(&self) {
        self.0.borrow_mut().flow.out.go_away(0, Reason::NO_ERROR);
    }
}

impl Connection {
    fn has_room(&self) -> bool {
        self.streams.len() < self.most as usize && self.flow.has_room()
    }

    /// Sends the head of a call, and of its message what the windows allow.
    fn begin(&mut self, stream: &Stream, path: &str, headers: &Fields) -> Result<(), Error> {
        if self.next > MAX {
            let error = Error::GoAway(Reason::NO_ERROR);
            self.ended = Some(error.clone());
            return Err(error);
        }
        let id = self.next;
        self.next += 2;
        let state = &mut *stream.borrow_mut();
        let outbox = &mut state.outbox;
        (outbox.id, outbox.window) = (id, self.flow.initial.into());
        let end = outbox.side == Side::Ends && outbox.unsent.is_empty();
        if end {
            outbox.side = Side::Ended;
        }
        let call = Call { secure: self.peer.secure, authority: self.peer.authority.as_str(), path, headers };
        let encoder = &mut self.encoder;
        self.flow.out.headers(id, end, |out| encoder.encode(call, out));
        self.streams.insert(id, Rc::clone(stream));
        if !outbox.unsent.is_empty() {
            self.write(stream, state);
        }
        self.flow.wake();
        Ok(())
    }

    /// Sends what the windows allow; the call may be over then.
    fn write(&mut self, stream: &Stream, state: &mut State) {
        self.flow.write(stream, &mut state.outbox);
        self.close_if_over(state);
    }

    fn close_if_over(&mut self, state: &mut State) {
        if state.is_over() && !state.closed {
            state.closed = true;
            self.forget(state.outbox.id);
        }
    }

    /// Those who waited for a window may look again, the first first.
    fn unblock(&mut self) {
        let mut over = Vec::new();
        self.flow.unblock(|_, state| {
            if state.is_over() {
                state.closed = true;
                over.push(state.outbox.id);
            }
        });
        for id in over {
            self.forget(id);
        }
    }

    /// A call is over, and another one may begin.
    fn forget(&mut self, id: u32) {
        self.streams.remove(&id);
        self.flow.wake();
        self.begin_waiting();
    }

    fn begin_waiting(&mut self) {
        while self.has_room()
            && let Some(Waiting { stream, path, headers }) = self.waiting.pop_front()
        {
            match self.begin(&stream, &path, &headers) {
                Ok(()) => stream.borrow_mut().wake(),
                Err(error) => stream.borrow_mut().fail(&error),
            }
        }
    }

    /// Calls that were not sent never will be.
    fn refuse(&mut self, reason: Reason) {
        for waiting in self.waiting.drain(..) {
            waiting.stream.borrow_mut().fail(&Error::GoAway(reason));
        }
    }

    /// The call with this number; `None` when it is over.
    fn stream(&self, id: u32) -> Result<Option<Stream>, Violation> {
        if let Some(stream) = self.streams.get(&id) {
            return Ok(Some(Rc::clone(stream)));
        }
        if id.is_multiple_of(2) || id >= self.next {
            return Err(Violation::protocol("a frame on a stream that was never begun"));
        }
        Ok(None)
    }

    fn receive(&mut self, event: Event, reader: &mut Reader) -> Result<(), Violation> {
        match event {
            Event::Data { stream, length, padding, end } => {
                self.count(length + padding);
                let Some(stream) = self.stream(stream)? else { return Ok(()) };
                let result = {
                    let state = &mut *stream.borrow_mut();
                    state.data((length, padding, end), reader)
                };
                self.settle(&stream, result);
            }
            Event::Headers { stream, block, end } => {
                let Some(stream) = self.stream(stream)? else { return Ok(()) };
                let result = {
                    let state = &mut *stream.borrow_mut();
                    if state.inbox.ended.is_some() { Err(AFTER_THE_END) } else { state.headers(block, end) }
                };
                self.settle(&stream, result);
            }
            Event::Reset { stream: id, reason } => {
                if let Some(stream) = self.stream(id)? {
                    let blocked = {
                        let state = &mut *stream.borrow_mut();
                        state.fail(&Error::Reset(reason));
                        state.outbox.blocked
                    };
                    if blocked {
                        self.flow.forget(&stream);
                    }
                    self.forget(id);
                }
            }
            Event::Settings(settings) => self.settings(settings)?,
            Event::Ping(opaque) => self.flow.out.frame(Head::new(0, PING, ACK, 0), &opaque),
            Event::Pong(_) => {}
            Event::GoAway { last, reason } => self.go_away(last, reason),
            Event::Window { stream: 0, by } => {
                if by == 0 {
                    return Err(Violation::new(Reason::FLOW_CONTROL_ERROR, "a window that opens by nothing"));
                }
                self.flow.open(by)?;
                self.unblock();
            }
            Event::Window { stream, by } => {
                let Some(stream) = self.stream(stream)? else { return Ok(()) };
                let result = {
                    let state = &mut *stream.borrow_mut();
                    let opened = match by {
                        0 => Err(Fault(Reason::FLOW_CONTROL_ERROR, "a window that opens by nothing")),
                        by => Flow::<State>::open_stream(&mut state.outbox, by),
                    };
                    if opened.is_ok() {
                        self.flow.go_on(&stream, state);
                        self.close_if_over(state);
                        return Ok(());
                    }
                    opened
                };
                self.settle(&stream, result);
            }
        }
        Ok(())
    }

    /// The connection's window opens whoever reads: those of its streams are what bounds memory.
    fn count(&mut self, length: usize) {
        self.received += u32::try_from(length).unwrap_or_default();
        if self.received >= RELEASE {
            self.flow.out.window(0, std::mem::take(&mut self.received));
        }
    }

    /// After a frame of a call: it may be over, or have failed.
    fn settle(&mut self, stream: &Stream, result: Result<(), Fault>) {
        let state = &mut *stream.borrow_mut();
        match result {
            Ok(()) if state.is_over() => {
                state.closed = true;
                self.forget(state.outbox.id);
            }
            Ok(()) => {}
            Err(Fault(reason, what)) => {
                self.flow.out.reset(state.outbox.id, reason);
                state.fail(&Error::Malformed(what));
                self.forget(state.outbox.id);
            }
        }
        state.inbox.wake();
    }

    fn settings(&mut self, settings: Settings) -> Result<(), Violation> {
        if let Some(table) = settings.table {
            self.encoder.limit(table as usize);
        }
        if let Some(window) = settings.window {
            self.flow.resize(window, self.streams.values())?;
            self.unblock();
        }
        self.flow.out.frame(Head::new(0, SETTINGS, ACK, 0), &[]);
        if let Some(most) = settings.streams {
            self.most = most;
            self.begin_waiting();
        }
        Ok(())
    }

    fn go_away(&mut self, last: u32, reason: Reason) {
        let error = Error::GoAway(reason);
        for (_, stream) in self.streams.extract_if(|id, _| *id > last) {
            stream.borrow_mut().fail(&error);
        }
        self.refuse(reason);
        self.ended = Some(error);
    }
}

pub(super) const AFTER_THE_END: Fault = Fault(Reason::STREAM_CLOSED, "a frame after the end");
