//! The sending side of a connection: what is to be written, and what the peer's windows allow of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::frame::{LONGEST, MAX, Reason, Violation};
use super::inbox::Fault;
use super::out::Out;

/// What each side may send before anything is said of windows (RFC 9113, section 6.9.2).
pub(super) const WINDOW: u32 = 65_535;

/// How far our side of a stream is.
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

/// Our side of a stream.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// 0 until it was begun.
    pub(super) id: u32,
    /// What we may still send.
    pub(super) window: i64,
    /// What is to be sent as soon as there is a window for it.
    pub(super) unsent: Bytes,
    pub(super) side: Side,
    /// It waits for a window.
    pub(super) blocked: bool,
    pub(super) writer: Option<Waker>,
}

impl Outbox {
    /// The task is woken when more can be sent, or nothing ever will be.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        if !self.writer.as_ref().is_some_and(|writer| writer.will_wake(cx.waker())) {
            self.writer = Some(cx.waker().clone());
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

/// A stream, as both sides of the connection's code see it.
pub(super) trait Sends {
    fn outbox(&mut self) -> &mut Outbox;
    /// The connection has forgotten it.
    fn is_closed(&self) -> bool;
}

/// The sending side of all streams.
#[derive(Debug)]
pub(super) struct Flow<S> {
    pub(super) out: Out,
    /// What a new stream may send.
    pub(super) initial: u32,
    /// What all may still send.
    pub(super) window: i64,
    /// Streams that have something to send and no window for it, the first to wait in front.
    blocked: VecDeque<Rc<RefCell<S>>>,
    /// With so much to be written no stream goes on: the peer reads too slowly.
    pub(super) much: usize,
    driver: Waker,
    /// It is going to look.
    woken: bool,
}

impl<S: Sends> Flow<S> {
    pub(super) fn new(much: usize) -> Self {
        Self {
            out: Out::default(),
            initial: WINDOW,
            window: WINDOW.into(),
            blocked: VecDeque::new(),
            much,
            driver: Waker::noop().clone(),
            woken: true,
        }
    }

    /// Whether more may be put into the buffer.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < self.much
    }

    /// There is something to be written.
    pub(super) fn wake(&mut self) {
        if !std::mem::replace(&mut self.woken, true) {
            self.driver.wake_by_ref();
        }
    }

    /// The driver looks: it is woken when there is something to be written from now on.
    pub(super) fn attend(&mut self, cx: &Context<'_>) {
        if !self.driver.will_wake(cx.waker()) {
            self.driver.clone_from(cx.waker());
        }
        self.woken = true;
    }

    /// The driver has written what it could.
    pub(super) fn wrote(&mut self) {
        self.woken = false;
    }

    /// Sends of what is unsent as much as the windows allow, and the end behind it.
    pub(super) fn write(&mut self, stream: &Rc<RefCell<S>>, outbox: &mut Outbox) {
        loop {
            let left = outbox.unsent.len();
            if outbox.side == Side::Ended || (left == 0 && outbox.side == Side::Open) {
                return;
            }
            let window = usize::try_from(outbox.window.min(self.window)).unwrap_or_default();
            let length = left.min(window).min(LONGEST);
            if (length == 0 && left > 0) || !self.has_room() {
                return self.block(stream, outbox);
            }
            let data = outbox.unsent.split_to(length);
            let used = i64::try_from(length).unwrap_or(i64::MAX);
            outbox.window -= used;
            self.window -= used;
            if outbox.side == Side::Ends && length == left {
                outbox.side = Side::Ended;
            }
            self.out.data(outbox.id, data, outbox.side == Side::Ended);
            self.wake();
        }
    }

    /// It waits for a window, or for room in the buffer.
    pub(super) fn block(&mut self, stream: &Rc<RefCell<S>>, outbox: &mut Outbox) {
        if !std::mem::replace(&mut outbox.blocked, true) {
            self.blocked.push_back(Rc::clone(stream));
        }
    }

    /// It waits no more.
    pub(super) fn forget(&mut self, stream: &Rc<RefCell<S>>) {
        self.blocked.retain(|blocked| !Rc::ptr_eq(blocked, stream));
    }

    /// Nobody waits any more.
    pub(super) fn clear(&mut self) {
        self.blocked.clear();
    }

    /// Those who waited for a window may look again, the first first; who has sent all of it is handed back.
    pub(super) fn unblock(&mut self, mut ended: impl FnMut(&mut Self, &mut S)) {
        for _ in 0..self.blocked.len() {
            if !self.has_room() {
                return;
            }
            let Some(stream) = self.blocked.pop_front() else { return };
            let state = &mut *stream.borrow_mut();
            state.outbox().blocked = false;
            if !state.is_closed() {
                self.go_on(&stream, state);
                ended(self, state);
            }
        }
    }

    /// There may be a window again.
    pub(super) fn go_on(&mut self, stream: &Rc<RefCell<S>>, state: &mut S) {
        let outbox = state.outbox();
        self.write(stream, outbox);
        outbox.wake();
    }

    /// The peer lets all streams together send more.
    pub(super) fn open(&mut self, by: u32) -> Result<(), Violation> {
        self.window += i64::from(by);
        if self.window > MAX.into() {
            return Err(Violation::new(Reason::FLOW_CONTROL_ERROR, "a window that is too large"));
        }
        Ok(())
    }

    /// The peer lets one stream send more.
    pub(super) fn open_stream(outbox: &mut Outbox, by: u32) -> Result<(), Fault> {
        outbox.window += i64::from(by);
        if outbox.window > MAX.into() {
            return Err(Fault(Reason::FLOW_CONTROL_ERROR, "a window that cannot be"));
        }
        Ok(())
    }

    /// The peer has changed what a new stream may send, and with it what all that are open may.
    pub(super) fn resize<'s>(
        &mut self,
        window: u32,
        streams: impl Iterator<Item = &'s Rc<RefCell<S>>>,
    ) -> Result<(), Violation>
    where
        S: 's,
    {
        let by = i64::from(window) - i64::from(self.initial);
        self.initial = window;
        for stream in streams {
            let state = &mut *stream.borrow_mut();
            state.outbox().window += by;
            if state.outbox().window > MAX.into() {
                return Err(Violation::new(Reason::FLOW_CONTROL_ERROR, "a window that is too large"));
            }
        }
        Ok(())
    }

    /// Writes what there is. Ready when nothing is left.
    pub(super) fn poll_write<I: AsyncWrite + Unpin>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.out.poll_write(io, cx)
    }
}
