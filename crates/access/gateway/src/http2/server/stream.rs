//! One stream: what has come of its request, and what of its answer has yet to be sent.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use crate::http2::error::Error;
use crate::http2::flow::{Outbox, Sends};
use crate::http2::frame::Reason;
use crate::http2::hpack::Block;
use crate::http2::inbox::{Fault, Inbox};

pub(super) const AFTER_THE_END: Fault = Fault(Reason::STREAM_CLOSED, "a frame after the end");

/// What is known of a stream.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The connection has forgotten it.
    pub(super) closed: bool,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    /// Nobody reads the body any more.
    pub(super) abandoned: bool,
    /// The client waits for a 100 before it sends its body.
    pub(super) expects: bool,
    /// Where its request is worked on, if it still is.
    pub(super) place: Option<usize>,
}

impl Sends for State {
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

/// A stream, as its connection, its request's work and its body share it.
pub(super) type Stream = Rc<RefCell<State>>;

impl State {
    /// A block behind the request's head.
    pub(super) fn trailers(&mut self, block: &Block, end: bool) -> Result<(), Fault> {
        if self.inbox.ended.is_some() {
            return Err(AFTER_THE_END);
        }
        if !end {
            return Err(Fault::malformed("a second head"));
        }
        let Block { status: None, asked: None, wrong: None, too_long: false, .. } = block else {
            return Err(Fault::malformed("trailers that are none"));
        };
        self.inbox.end()?;
        self.inbox.wake();
        Ok(())
    }

    /// Nothing more will come, or is to be sent.
    pub(super) fn fail(&mut self) {
        self.closed = true;
        self.outbox.unsent = Bytes::new();
        if self.inbox.ended.is_none() {
            self.inbox.fail(&Error::Reset(Reason::CANCEL));
        }
        self.inbox.wake();
        self.outbox.wake();
    }
}
