//! The task of a connection: reads, moves the connection on, writes.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::HEADER_LIST;
use super::call::{Receiver, Sender};
use super::connection::{Peer, Sending, Shared};
use crate::http2::error::Error;
use crate::http2::fields::Fields;
use crate::http2::reader::{Reader, Speaker};

/// Room for a read.
const READ: usize = 32 << 10;
/// Less room than this is not worth a read.
const LEAST: usize = 4 << 10;
/// Bytes that are read in one turn, before others of the worker have theirs.
const TURN: usize = 256 << 10;

/// What calls are made with.
#[derive(Debug, Clone)]
pub(crate) struct Calls(Rc<Shared>);

impl Calls {
    /// Whether another call begins at once.
    pub(crate) fn has_room(&self) -> bool {
        self.0.has_room()
    }

    /// Whether no call can begin any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    /// Begins a call, now or as soon as the upstream takes it. An error means that nothing was sent.
    pub(crate) fn call(
        &self,
        path: &str,
        headers: Fields,
        sending: Sending,
    ) -> Result<(Receiver, Sender), Error> {
        self.0.call(path, headers, sending)
    }
}

/// Begins a connection on a stream that is open. Nothing is read or written until the driver is polled.
pub(crate) fn open<I: AsyncRead + AsyncWrite + Unpin>(io: I, peer: Peer) -> (Calls, Driver<I>) {
    let shared = Shared::new(peer);
    let reader = Reader::new(Speaker::Upstream, HEADER_LIST as usize);
    (Calls(Rc::clone(&shared)), Driver { io, reader, shared })
}

/// Drives a connection until it ends. Dropped before, it ends it: calls that are open fail.
#[derive(Debug)]
pub(crate) struct Driver<I: AsyncWrite + Unpin> {
    io: I,
    reader: Reader,
    shared: Rc<Shared>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Driver<I> {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let buffer = &mut self.reader.buffer;
        if buffer.capacity() - buffer.len() < LEAST {
            buffer.reserve(READ);
        }
        pin!(self.io.read_buf(buffer)).poll(cx)
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let mut read = 0;
        loop {
            match self.poll_read(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Poll::Ready(Error::closed()),
                Poll::Ready(Ok(count)) => read += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Error::Broken(Rc::new(error))),
            }
            if let Err(violation) = self.shared.receive(&mut self.reader) {
                return Poll::Ready(Error::Violation(violation));
            }
            if read >= TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        match self.poll_write(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Error::Broken(Rc::new(error))),
            Poll::Ready(Ok(())) if self.shared.is_done() => Poll::Ready(Error::closed()),
            Poll::Ready(Ok(())) | Poll::Pending => {
                self.shared.wrote();
                Poll::Pending
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.shared.poll_write(&mut self.io, cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Future for Driver<I> {
    type Output = Error;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Error> {
        let this = &mut *self;
        this.shared.attend(cx);
        let error = ready!(this.poll_turn(cx));
        this.shared.fail(&error);
        Poll::Ready(error)
    }
}

impl<I: AsyncWrite + Unpin> Drop for Driver<I> {
    fn drop(&mut self) {
        if !self.shared.has_ended() {
            self.shared.say_goodbye();
        }
        // What fits; whoever does not read will not miss it.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _written = self.shared.poll_write(&mut self.io, &mut cx).is_ready();
        self.shared.fail(&Error::closed());
    }
}
