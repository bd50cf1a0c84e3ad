//! A connection's state: its calls, its windows, and what is to be written. Its driver moves it on by what is read, those who call
//! by what they send.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use foldhash::fast::FixedState;
use http::HeaderMap;
use tokio::io::AsyncWrite;

use super::error::Error;
use super::frame::{
    ACK, CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Head, LONGEST, MAX, PING, Reason, SETTINGS,
    Violation,
};
use super::hpack::{Call, Encoder};
use super::out::Out;
use super::reader::{Event, Reader, Settings};
use super::stream::{Fault, Receiver, Sender, Side, State, Stream};
use super::{CONNECTION_WINDOW, HEADER_LIST, STREAM_WINDOW};

/// Calls at once before the upstream has said how many it takes.
const STREAMS: u32 = 100;
/// What each side may send before anything is said of windows (section 6.9.2).
const WINDOW: u32 = 65_535;
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
    headers: HeaderMap,
}

/// A connection, as its driver and its calls share it.
#[derive(Debug)]
pub(super) struct Shared(RefCell<Connection>);

#[derive(Debug)]
struct Connection {
    peer: Peer,
    out: Out,
    encoder: Encoder,
    streams: HashMap<u32, Stream, FixedState>,
    waiting: VecDeque<Waiting>,
    /// Calls that have something to send and no window for it, the first to wait in front.
    blocked: VecDeque<Stream>,
    /// The number of the next call.
    next: u32,
    /// Calls at once.
    most: u32,
    /// What a new call may send.
    initial: u32,
    /// What all may still send.
    window: i64,
    /// Received since the connection's window was opened.
    received: u32,
    /// No call begins any more.
    ended: Option<Error>,
    driver: Waker,
    /// It is going to look.
    woken: bool,
}

impl Shared {
    pub(super) fn new(peer: Peer) -> Rc<Self> {
        let mut out = Out::default();
        out.bytes(PREFACE);
        let mut settings = [0; 18];
        let values = [(2u16, 0), (4, STREAM_WINDOW), (6, HEADER_LIST)];
        for (room, (name, value)) in settings.as_chunks_mut::<6>().0.iter_mut().zip(values) {
            let [_, _, rest @ ..] = (u64::from(name) << 32 | u64::from(value)).to_be_bytes();
            *room = rest;
        }
        out.frame(Head::new(0, SETTINGS, 0, 0), &settings);
        out.window(0, CONNECTION_WINDOW - WINDOW);
        Rc::new(Self(RefCell::new(Connection {
            peer,
            out,
            encoder: Encoder::new(),
            streams: HashMap::default(),
            waiting: VecDeque::new(),
            blocked: VecDeque::new(),
            next: 1,
            most: STREAMS,
            initial: WINDOW,
            window: WINDOW.into(),
            received: 0,
            ended: None,
            driver: Waker::noop().clone(),
            woken: true,
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
        headers: HeaderMap,
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
        connection.out.window(stream, by);
        connection.wake();
    }

    /// Sends what the windows allow.
    pub(super) fn send(&self, stream: &Stream, data: &mut Bytes) {
        let connection = &mut *self.0.borrow_mut();
        let state = &mut *stream.borrow_mut();
        if state.id != 0 && state.unsent.is_empty() && !data.is_empty() {
            std::mem::swap(&mut state.unsent, data);
            connection.write(stream, state);
            std::mem::swap(&mut state.unsent, data);
        }
    }

    pub(super) fn end(&self, stream: &Stream) {
        let connection = &mut *self.0.borrow_mut();
        let state = &mut *stream.borrow_mut();
        if state.side == Side::Open {
            state.side = Side::Ends;
        }
        if state.id != 0 && !state.closed {
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
            (state.id, state.blocked)
        };
        if blocked {
            connection.blocked.retain(|blocked| !Rc::ptr_eq(blocked, stream));
        }
        if id == 0 {
            connection.waiting.retain(|waiting| !Rc::ptr_eq(&waiting.stream, stream));
        } else {
            connection.out.reset(id, reason);
            connection.forget(id);
        }
    }

    /// The driver looks: it is woken when there is something to be written from now on.
    pub(super) fn attend(&self, cx: &Context<'_>) {
        let connection = &mut *self.0.borrow_mut();
        if !connection.driver.will_wake(cx.waker()) {
            connection.driver.clone_from(cx.waker());
        }
        connection.woken = true;
    }

    /// The driver has written what it could.
    pub(super) fn wrote(&self) {
        let connection = &mut *self.0.borrow_mut();
        connection.woken = false;
    }

    /// Writes what there is, and what can be sent once that is written. Ready when nothing is left.
    pub(super) fn poll_write<I: AsyncWrite + Unpin>(
        &self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = &mut *self.0.borrow_mut();
        loop {
            let before = connection.out.len();
            let written = connection.out.poll_write(io, cx);
            if before >= MUCH && connection.out.len() < MUCH {
                connection.unblock();
                connection.begin_waiting();
            }
            if written.is_pending() || matches!(written, Poll::Ready(Err(_))) || connection.out.len() == 0 {
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
        if connection.out.len() > TOO_MUCH {
            return Err(Violation::new(Reason::ENHANCE_YOUR_CALM, "it does not read what it asks for"));
        }
        Ok(())
    }

    /// The connection ends: nothing will come on it any more.
    pub(super) fn fail(&self, error: &Error) {
        let connection = &mut *self.0.borrow_mut();
        if let Error::Violation(violation) = error {
            let payload = [[0; 4], violation.reason.0.to_be_bytes()].concat();
            connection.out.frame(Head::new(0, GOAWAY, 0, 0), &payload);
        }
        for (_, stream) in connection.streams.drain() {
            stream.borrow_mut().fail(error);
        }
        connection.blocked.clear();
        connection.refuse(Reason::NO_ERROR);
        connection.ended = Some(error.clone());
    }

    /// Says that the connection ends, as it should.
    pub(super) fn say_goodbye(&self) {
        self.0.borrow_mut().out.frame(Head::new(0, GOAWAY, 0, 0), &[0; 8]);
    }
}

impl Connection {
    fn has_room(&self) -> bool {
        self.streams.len() < self.most as usize && self.out.len() < MUCH
    }

    fn wake(&mut self) {
        if !std::mem::replace(&mut self.woken, true) {
            self.driver.wake_by_ref();
        }
    }

    /// Sends the head of a call, and of its message what the windows allow.
    fn begin(&mut self, stream: &Stream, path: &str, headers: &HeaderMap) -> Result<(), Error> {
        if self.next > MAX {
            let error = Error::GoAway(Reason::NO_ERROR);
            self.ended = Some(error.clone());
            return Err(error);
        }
        let id = self.next;
        self.next += 2;
        let state = &mut *stream.borrow_mut();
        (state.id, state.window) = (id, self.initial.into());
        let end = if state.side == Side::Ends && state.unsent.is_empty() {
            state.side = Side::Ended;
            END_STREAM
        } else {
            0
        };
        let (at, tail) = self.out.begin();
        let call = Call { secure: self.peer.secure, authority: self.peer.authority.as_str(), path, headers };
        self.encoder.encode(call, tail);
        let length = self.out.end(at, Head::new(0, HEADERS, END_HEADERS | end, id));
        if length > LONGEST {
            let block = self.out.take_back(at);
            let last = block.len().div_ceil(LONGEST) - 1;
            for (number, piece) in block.chunks(LONGEST).enumerate() {
                let kind = if number == 0 { HEADERS } else { CONTINUATION };
                let flags = if number == 0 { end } else { 0 } | if number == last { END_HEADERS } else { 0 };
                self.out.frame(Head::new(0, kind, flags, id), piece);
            }
        }
        self.streams.insert(id, Rc::clone(stream));
        if !state.unsent.is_empty() {
            self.write(stream, state);
        }
        self.wake();
        Ok(())
    }

    /// Sends of what is unsent as much as the windows allow, and the end behind it.
    fn write(&mut self, stream: &Stream, state: &mut State) {
        loop {
            let left = state.unsent.len();
            if state.side == Side::Ended || (left == 0 && state.side == Side::Open) {
                break;
            }
            let window = usize::try_from(state.window.min(self.window)).unwrap_or_default();
            let length = left.min(window).min(LONGEST);
            if (length == 0 && left > 0) || self.out.len() >= MUCH {
                if !std::mem::replace(&mut state.blocked, true) {
                    self.blocked.push_back(Rc::clone(stream));
                }
                break;
            }
            let data = state.unsent.split_to(length);
            let used = i64::try_from(length).unwrap_or(i64::MAX);
            state.window -= used;
            self.window -= used;
            if state.side == Side::Ends && length == left {
                state.side = Side::Ended;
            }
            self.out.data(state.id, data, state.side == Side::Ended);
            self.wake();
        }
        if state.is_over() {
            state.closed = true;
            self.forget(state.id);
        }
    }

    /// Those who waited for a window may look again, the first first.
    fn unblock(&mut self) {
        for _ in 0..self.blocked.len() {
            if self.window <= 0 || self.out.len() >= MUCH {
                return;
            }
            let Some(stream) = self.blocked.pop_front() else { return };
            let state = &mut *stream.borrow_mut();
            state.blocked = false;
            if !state.closed {
                self.go_on(&stream, state);
            }
        }
    }

    /// There may be a window again.
    fn go_on(&mut self, stream: &Stream, state: &mut State) {
        self.write(stream, state);
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    /// A call is over, and another one may begin.
    fn forget(&mut self, id: u32) {
        self.streams.remove(&id);
        self.wake();
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
                    data(state, (length, padding, end), reader)
                };
                self.settle(&stream, result);
            }
            Event::Headers { stream, block, end } => {
                let Some(stream) = self.stream(stream)? else { return Ok(()) };
                let result = {
                    let state = &mut *stream.borrow_mut();
                    if state.ended.is_some() { Err(AFTER_THE_END) } else { state.headers(block, end) }
                };
                self.settle(&stream, result);
            }
            Event::Reset { stream: id, reason } => {
                if let Some(stream) = self.stream(id)? {
                    let blocked = {
                        let state = &mut *stream.borrow_mut();
                        state.fail(&Error::Reset(reason));
                        state.blocked
                    };
                    if blocked {
                        self.blocked.retain(|blocked| !Rc::ptr_eq(blocked, &stream));
                    }
                    self.forget(id);
                }
            }
            Event::Settings(settings) => self.settings(settings)?,
            Event::Ping(opaque) => self.out.frame(Head::new(0, PING, ACK, 0), &opaque),
            Event::GoAway { last, reason } => self.go_away(last, reason),
            Event::Window { stream: 0, by } => {
                self.window += i64::from(by);
                if by == 0 || self.window > MAX.into() {
                    return Err(Violation::new(Reason::FLOW_CONTROL_ERROR, "a window that is too large"));
                }
                self.unblock();
            }
            Event::Window { stream, by } => {
                let Some(stream) = self.stream(stream)? else { return Ok(()) };
                let result = {
                    let state = &mut *stream.borrow_mut();
                    state.window += i64::from(by);
                    if by == 0 || state.window > MAX.into() {
                        Err(Fault(Reason::FLOW_CONTROL_ERROR, "a window that cannot be"))
                    } else {
                        self.go_on(&stream, state);
                        return Ok(());
                    }
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
            self.out.window(0, std::mem::take(&mut self.received));
        }
    }

    /// After a frame of a call: it may be over, or have failed.
    fn settle(&mut self, stream: &Stream, result: Result<(), Fault>) {
        let state = &mut *stream.borrow_mut();
        match result {
            Ok(()) if state.is_over() => {
                state.closed = true;
                self.forget(state.id);
            }
            Ok(()) => {}
            Err(Fault(reason, what)) => {
                self.out.reset(state.id, reason);
                state.fail(&Error::Malformed(what));
                self.forget(state.id);
            }
        }
        state.wake_reader();
    }

    fn settings(&mut self, settings: Settings) -> Result<(), Violation> {
        if let Some(table) = settings.table {
            self.encoder.limit(table as usize);
        }
        if let Some(window) = settings.window {
            let by = i64::from(window) - i64::from(self.initial);
            self.initial = window;
            for stream in self.streams.values() {
                let state = &mut *stream.borrow_mut();
                state.window += by;
                if state.window > MAX.into() {
                    return Err(Violation::new(Reason::FLOW_CONTROL_ERROR, "a window that is too large"));
                }
            }
            self.unblock();
        }
        self.out.frame(Head::new(0, SETTINGS, ACK, 0), &[]);
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

const AFTER_THE_END: Fault = Fault(Reason::STREAM_CLOSED, "a frame after the end");

fn data(
    state: &mut State,
    (length, padding, end): (usize, usize, bool),
    reader: &mut Reader,
) -> Result<(), Fault> {
    if state.ended.is_some() {
        return Err(AFTER_THE_END);
    }
    state.count(length, padding)?;
    if length == 0 {
    } else if state.copies(length) {
        state.small(reader.peek(length));
    } else {
        state.large(reader.take(length));
    }
    if end { state.end() } else { Ok(()) }
}
