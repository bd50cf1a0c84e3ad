//! What a client says, frame by frame, and what comes of it: another state of the connection, a request, or the end of one.

use std::cell::RefCell;
use std::rc::Rc;

use http::Request;

use super::budget::WASTE;
use super::connection::{Connection, GOODBYE, Leaving};
use super::request::{self, CLOSING};
use super::stream::{AFTER_THE_END, State, Stream};
use crate::http2::flow::Flow;
use crate::http2::frame::{ACK, Head, PING, Reason, SETTINGS, Violation};
use crate::http2::hpack::Block;
use crate::http2::inbox::Fault;
use crate::http2::reader::{CONTROL, Event, Reader, Settings};
use crate::reject::Reject;

/// What is to be done about something that the client said.
#[derive(Debug)]
pub(super) enum Step {
    Nothing,
    /// A request has come. In a box, so that all the data need not be moved as if it were one.
    Begin(Box<Begun>),
    /// The request that is worked on at this place is over.
    Gone(usize),
    /// A stream is refused: why, and the place at which it is worked on.
    Refused(Reason, &'static str, Option<usize>),
}

/// A request that has come.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) stream: Stream,
    pub(super) request: Request<()>,
    /// It is refused.
    pub(super) reject: Option<Reject>,
}

impl Connection {
    pub(super) fn receive(&mut self, event: Event, reader: &mut Reader) -> Result<Step, Violation> {
        match event {
            Event::Data { stream, length, padding, end } => {
                return self.data(stream, (length, padding, end), reader);
            }
            Event::Headers { stream, block, end } => return self.headers(stream, block, end),
            Event::Reset { stream, .. } => {
                let Some(stream) = self.stream(stream)? else { return Ok(Step::Nothing) };
                let state = &mut *stream.borrow_mut();
                return Ok(self.forget(&stream, state));
            }
            Event::Settings(settings) => self.settings(settings)?,
            Event::Ping(opaque) => self.flow.out.frame(Head::new(0, PING, ACK, 0), &opaque),
            Event::Pong(opaque) => {
                if opaque == GOODBYE && self.leaving == Leaving::Told {
                    self.leaving = Leaving::Heard(self.last);
                    self.flow.out.go_away(self.last, Reason::NO_ERROR);
                }
            }
            // It opens no streams for us, and may open others.
            Event::GoAway { .. } => {}
            Event::Window { stream: 0, by } => {
                if by == 0 {
                    return Err(Violation::protocol("a window that opens by nothing"));
                }
                self.flow.open(by)?;
                // Once for all that was read: however often it is opened, those who wait look once.
                self.opened = true;
            }
            Event::Window { stream, by } => {
                let Some(stream) = self.stream(stream)? else { return Ok(Step::Nothing) };
                let state = &mut *stream.borrow_mut();
                let opened = match by {
                    0 => Err(Fault::malformed("a window that opens by nothing")),
                    by => Flow::<State>::open_stream(&mut state.outbox, by),
                };
                if let Err(fault) = opened {
                    return self.fault(&stream, state, fault);
                }
                self.flow.go_on(&stream, state);
                self.close_if_answered(state);
            }
        }
        Ok(Step::Nothing)
    }

    /// The stream with this number; `None` when it is over.
    fn stream(&self, id: u32) -> Result<Option<Stream>, Violation> {
        if let Some(stream) = self.streams.get(&id) {
            return Ok(Some(Rc::clone(stream)));
        }
        if id.is_multiple_of(2) || self.is_idle(id) {
            return Err(Violation::protocol("a frame on a stream that was never begun"));
        }
        Ok(None)
    }

    /// Whether the client has never begun it.
    fn is_idle(&self, id: u32) -> bool {
        id > self.last || (self.gap.0..=self.gap.1).contains(&id)
    }

    fn data(
        &mut self,
        id: u32,
        (length, padding, end): (usize, usize, bool),
        reader: &mut Reader,
    ) -> Result<Step, Violation> {
        let all = u32::try_from(length + padding).unwrap_or(u32::MAX);
        let Some(room) = self.room.checked_sub(all) else {
            return Err(Violation::new(Reason::FLOW_CONTROL_ERROR, "more data than the window has room for"));
        };
        self.room = room;
        self.consume(padding);
        let Some(stream) = self.stream(id)? else {
            self.consume(length);
            self.late(id)?;
            return Ok(Step::Nothing);
        };
        let state = &mut *stream.borrow_mut();
        let admitted = match state.inbox.ended {
            Some(_) => Err(AFTER_THE_END),
            None => state.inbox.admit(length, padding),
        };
        if admitted.is_ok() && !state.abandoned {
            state.inbox.keep(length, reader);
        } else {
            self.consume(length);
        }
        let result = admitted.and_then(|()| if end { state.inbox.end() } else { Ok(()) });
        match result {
            Ok(()) => {
                state.inbox.wake();
                Ok(Step::Nothing)
            }
            Err(fault) => self.fault(&stream, state, fault),
        }
    }

    /// Something comes of a stream that is over. It may have been on its way when we reset it; otherwise its client has said itself that
    /// it was the end.
    fn late(&mut self, id: u32) -> Result<(), Violation> {
        self.settle(CONTROL / 4)?;
        if self.reset.contains(&id) {
            return Ok(());
        }
        Err(Violation::new(Reason::STREAM_CLOSED, "a frame on a stream that is closed"))
    }

    fn headers(&mut self, id: u32, block: Box<Block>, end: bool) -> Result<Step, Violation> {
        if let Some(stream) = self.streams.get(&id).cloned() {
            let state = &mut *stream.borrow_mut();
            return match state.trailers(&block, end) {
                Ok(()) => Ok(Step::Nothing),
                Err(fault) => self.fault(&stream, state, fault),
            };
        }
        if id.is_multiple_of(2) {
            return Err(Violation::protocol("a stream with an even number"));
        }
        if id <= self.last {
            if self.is_idle(id) {
                return Err(Violation::protocol("a stream with a number below another's"));
            }
            self.late(id)?;
            return Ok(Step::Nothing);
        }
        if id > self.last + 2 {
            self.gap = (self.last + 1, id - 1);
        }
        self.last = id;
        if matches!(self.leaving, Leaving::Heard(_)) {
            return self.turn_away(id, Reason::REFUSED_STREAM, CLOSING);
        }
        if self.streams.len() >= self.most {
            return self.turn_away(id, Reason::REFUSED_STREAM, "more streams at once than there may be");
        }
        let request::Head { request, length, expects, reject } = match request::read(block) {
            Ok(head) => head,
            Err(what) => return self.turn_away(id, Reason::PROTOCOL_ERROR, what),
        };
        let mut state = State { expects: expects && !end, ..State::default() };
        (state.outbox.id, state.outbox.window) = (id, self.flow.initial.into());
        state.inbox.left = length;
        if end && let Err(Fault(reason, what)) = state.inbox.end() {
            return self.turn_away(id, reason, what);
        }
        state.abandoned = end || reject.is_some();
        let stream = Rc::new(RefCell::new(state));
        self.streams.insert(id, Rc::clone(&stream));
        Ok(Step::Begin(Box::new(Begun { stream, request, reject })))
    }

    /// A stream that does not begin.
    fn turn_away(&mut self, id: u32, reason: Reason, what: &'static str) -> Result<Step, Violation> {
        self.flow.out.reset(id, reason);
        self.remember(id);
        self.settle(WASTE)?;
        Ok(Step::Refused(reason, what, None))
    }

    /// The client broke the protocol within a stream.
    fn fault(&mut self, stream: &Stream, state: &mut State, fault: Fault) -> Result<Step, Violation> {
        self.settle(WASTE)?;
        let Fault(reason, what) = fault;
        Ok(match self.reset(stream, state, reason) {
            Step::Gone(place) => Step::Refused(reason, what, Some(place)),
            _ => Step::Refused(reason, what, None),
        })
    }

    pub(super) fn reset(&mut self, stream: &Stream, state: &mut State, reason: Reason) -> Step {
        self.flow.out.reset(state.outbox.id, reason);
        self.flow.wake();
        self.remember(state.outbox.id);
        self.forget(stream, state)
    }

    /// What is on its way on a stream that we reset is no error. Before a client has heard of it, there cannot be more of them than streams
    /// at once.
    pub(super) fn remember(&mut self, id: u32) {
        if self.reset.len() > 2 * self.most + 16 {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
    }

    /// A stream is broken off.
    fn forget(&mut self, stream: &Stream, state: &mut State) -> Step {
        if state.outbox.blocked {
            self.flow.forget(stream);
        }
        self.streams.remove(&state.outbox.id);
        state.fail();
        state.place.map_or(Step::Nothing, Step::Gone)
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
        Ok(())
    }
}
