//! What a connection's task and its request's body share: the socket, the bytes that were read from it, and how far the body has
//! come. One thread uses it, and nobody keeps it borrowed across an await.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::body::{BodyError, Source};
use super::chunked::Step;
use super::fields::Framing;
use super::head::{Head, Refused};
use super::progress::Progress;
use super::scan::{Bounds, Scan};

/// Room for a read. A connection has it only while there is something in it.
const READ: usize = 8 << 10;
/// Room for a read of a long body, which is doubled up to this as long as the client fills it.
const LONG_READ: usize = 64 << 10;
/// Less room than this is not worth a read.
const LEAST: usize = 1 << 10;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

thread_local! {
    /// The buffer of whichever connection of this thread reads next.
    static SPARE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// What becomes of a connection whose request has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// The body was read to its end.
    None,
    /// There is more of it, few enough bytes to be read away.
    Little,
    /// Nobody knows where the next request begins.
    Lost,
}

/// A body's rest is read away up to this many bytes, so that the connection can go on.
pub(super) const LITTLE: u64 = 64 << 10;

/// A socket and what was read from it.
#[derive(Debug)]
pub(super) struct Socket<I>(RefCell<Inner<I>>);

#[derive(Debug)]
struct Inner<I> {
    stream: I,
    read: BytesMut,
    scan: Scan,
    /// The room that the next read of a body gets.
    room: usize,
    /// The client has said its last.
    ended: bool,
    progress: Progress,
    /// Counts requests, so that a body that outlives its own cannot read that of the next.
    request: u32,
    abandoned: bool,
    /// Whether the client waits for `100 Continue`.
    expects: bool,
    /// What has yet to be written before the answer.
    interim: &'static [u8],
    /// Wakes the connection's task: the only one the socket ever wakes.
    task: Waker,
    /// Wakes whoever waits for the body, when that is another task.
    reader: Option<Waker>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Socket<I> {
    pub(super) fn new(stream: I, read: BytesMut) -> Self {
        Self(RefCell::new(Inner {
            stream,
            read,
            scan: Scan::default(),
            room: READ,
            ended: false,
            progress: Progress::Length(0),
            request: 0,
            abandoned: false,
            expects: false,
            interim: b"",
            task: Waker::noop().clone(),
            reader: None,
        }))
    }

    /// The next head; `None` when the client has closed the connection. `received` is told when there is a part of one.
    pub(super) fn poll_head(
        &self,
        bounds: Bounds,
        received: impl Fn(),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Box<Head>>, Box<Refused>>> {
        let inner = &mut *self.0.borrow_mut();
        loop {
            if !inner.read.is_empty() {
                if let Some(head) = inner.scan.head(&mut inner.read, bounds)? {
                    inner.attend(cx);
                    return Poll::Ready(Ok(Some(head)));
                }
                if !inner.read.is_empty() {
                    received();
                }
            }
            if inner.ended {
                return Poll::Ready(Ok(None));
            }
            let result = inner.poll_read(READ, cx);
            if inner.read.is_empty() {
                inner.give_back();
            }
            match ready!(result) {
                Ok(0) | Err(_) => inner.ended = true,
                Ok(_) => {}
            }
        }
    }

    /// A request begins; answers with its number.
    pub(super) fn begin(&self, framing: Framing, expects: bool) -> u32 {
        let inner = &mut *self.0.borrow_mut();
        inner.progress = Progress::new(framing);
        inner.request = inner.request.wrapping_add(1);
        (inner.abandoned, inner.expects, inner.room) = (false, expects, READ);
        inner.request
    }

    /// Looks after the reading side while the request is being answered. Ready when the client is gone: it has closed the
    /// connection, and nobody is about to find that out by reading the body.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let inner = &mut *self.0.borrow_mut();
        inner.attend(cx);
        if inner.poll_interim(cx).is_err() {
            return Poll::Ready(());
        }
        if inner.reader.is_none() && !inner.read.is_empty() {
            // Enough has been read ahead.
            return Poll::Pending;
        }
        if !inner.ended {
            match ready!(inner.poll_read(inner.room, cx)) {
                Ok(0) => inner.ended = true,
                Ok(_) => {
                    if let Some(reader) = inner.reader.take() {
                        reader.wake();
                    }
                    return Poll::Pending;
                }
                Err(_) => return Poll::Ready(()),
            }
        }
        match inner.reader.take() {
            Some(reader) => {
                reader.wake();
                Poll::Pending
            }
            // Whoever was woken will read that the body broke off.
            None if matches!(inner.progress, Progress::Failed(_)) => Poll::Pending,
            None => Poll::Ready(()),
        }
    }

    /// The answer begins: what has to go out before it.
    pub(super) fn take_interim(&self) -> &'static [u8] {
        let inner = &mut *self.0.borrow_mut();
        std::mem::take(&mut inner.interim)
    }

    /// What becomes of the connection. Before the answer goes out, a body that nobody wants is not waited for.
    pub(super) fn rest(&self, answered: bool) -> Rest {
        let inner = &mut *self.0.borrow_mut();
        if inner.ended || inner.expects {
            // A client that was not told to go on may send its body or not.
            return if inner.progress.left() == Some(0) && !inner.ended { Rest::None } else { Rest::Lost };
        }
        if inner.abandoned && matches!(inner.progress, Progress::Chunked(_)) {
            inner.progress.discard(&mut inner.read);
        }
        match &inner.progress {
            Progress::Length(0) => Rest::None,
            Progress::Length(left) if inner.abandoned && *left > LITTLE => Rest::Lost,
            Progress::Chunked(_) if inner.abandoned && !answered => Rest::Lost,
            Progress::Length(_) | Progress::Chunked(_) => Rest::Little,
            Progress::Failed(_) => Rest::Lost,
        }
    }

    /// The request is over: its body, if there is still someone who holds it, gets nothing any more.
    pub(super) fn retire(&self) {
        let inner = &mut *self.0.borrow_mut();
        inner.request = inner.request.wrapping_add(1);
        inner.abandoned = true;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    /// Reads the rest of a body away. False when it is too long, or broke off.
    pub(super) fn poll_discard(&self, budget: &mut u64, cx: &mut Context<'_>) -> Poll<bool> {
        let inner = &mut *self.0.borrow_mut();
        loop {
            let before = inner.read.len();
            let done = inner.progress.discard(&mut inner.read);
            *budget = budget.saturating_sub((before - inner.read.len()) as u64);
            if done {
                return Poll::Ready(true);
            }
            if *budget == 0 || inner.ended || matches!(inner.progress, Progress::Failed(_)) {
                return Poll::Ready(false);
            }
            match ready!(inner.poll_read(READ, cx)) {
                Ok(0) | Err(_) => inner.ended = true,
                Ok(_) => {}
            }
        }
    }

    /// Closes our side, and reads until the client closes its own: a socket that is closed with bytes unread resets the
    /// connection, and with it may go the answer.
    pub(super) fn poll_linger(&self, budget: &mut u64, cx: &mut Context<'_>) -> Poll<()> {
        let inner = &mut *self.0.borrow_mut();
        if ready!(Pin::new(&mut inner.stream).poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        while !inner.ended && *budget > 0 {
            inner.read.clear();
            match ready!(inner.poll_read(READ, cx)) {
                Ok(0) | Err(_) => inner.ended = true,
                Ok(count) => *budget = budget.saturating_sub(count as u64),
            }
        }
        Poll::Ready(())
    }

    /// Closes our side.
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_shutdown(cx)
    }

    /// Whether everything that was read has been used.
    pub(super) fn is_drained(&self) -> bool {
        self.0.borrow().read.is_empty()
    }

    pub(super) fn poll_write(&self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_write(cx, bytes)
    }

    pub(super) fn poll_write_vectored(
        &self,
        pieces: &[IoSlice<'_>],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_write_vectored(cx, pieces)
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_flush(cx)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Inner<I> {
    /// The task that asks is the connection's.
    fn attend(&mut self, cx: &Context<'_>) {
        if !self.task.will_wake(cx.waker()) {
            self.task.clone_from(cx.waker());
        }
    }

    /// Reads once into what room there is, or into new one.
    fn poll_read(&mut self, room: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() == 0 {
            self.read = SPARE.take();
        } else if self.read.is_empty() && self.read.capacity() < READ / 2 {
            // Whole again, if nobody holds slices of it: then the next request is in one piece.
            let _reclaimed = self.read.try_reclaim(READ);
        }
        if self.read.capacity() - self.read.len() < LEAST {
            self.read.reserve(room);
        }
        let free = self.read.capacity() - self.read.len();
        let result = pin!(self.stream.read_buf(&mut self.read)).poll(cx);
        if matches!(result, Poll::Ready(Ok(count)) if count == free) {
            self.room = (self.room * 2).min(LONG_READ);
        }
        result
    }

    /// Leaves an empty buffer to the next reader, if nobody holds slices of it.
    fn give_back(&mut self) {
        let mut buffer = std::mem::take(&mut self.read);
        if buffer.try_reclaim(READ) && buffer.capacity() <= 2 * READ {
            SPARE.set(buffer);
        }
    }

    /// Sends on what the client waits for before it sends its body.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.interim.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, self.interim) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.interim = self.interim.get(count..).unwrap_or_default(),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
            if self.interim.is_empty() {
                // What does not go out now goes out with the answer.
                drop(Pin::new(&mut self.stream).poll_flush(cx));
            }
        }
        Ok(())
    }

    /// Reads for whoever asks, on behalf of the connection's task: it is woken, and wakes the other.
    fn poll_read_for(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = match self.progress {
            // No more than what belongs to the body, if that is little.
            Progress::Length(left) => usize::try_from(left).unwrap_or(self.room).clamp(LEAST, self.room),
            _ => self.room,
        };
        if cx.waker().will_wake(&self.task) {
            return self.poll_read(room, cx);
        }
        let task = std::mem::replace(&mut self.task, Waker::noop().clone());
        let result = self.poll_read(room, &mut Context::from_waker(&task));
        self.task = task;
        if result.is_pending() {
            self.reader = Some(cx.waker().clone());
        }
        result
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Source for Socket<I> {
    fn poll_data(&self, request: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let inner = &mut *self.0.borrow_mut();
        if inner.request != request {
            return Poll::Ready(Some(Err(BodyError::Over)));
        }
        if std::mem::take(&mut inner.expects) && inner.read.is_empty() {
            inner.interim = CONTINUE;
            // The connection's task sends it, and the rest of it if need be.
            inner.task.wake_by_ref();
        }
        loop {
            let step = inner.progress.decode(&mut inner.read);
            let is_own = cx.waker().will_wake(&inner.task);
            match step {
                Ok(Step::Data(data)) => {
                    if !is_own && inner.read.is_empty() {
                        // The connection's task looks after the socket again.
                        inner.task.wake_by_ref();
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Ok(Step::End) => {
                    if !is_own {
                        inner.task.wake_by_ref();
                    }
                    return Poll::Ready(None);
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(Step::More) => {}
            }
            if inner.ended {
                return Poll::Ready(Some(Err(inner.progress.fail(BodyError::Closed))));
            }
            match ready!(inner.poll_read_for(cx)) {
                Ok(0) | Err(_) => inner.ended = true,
                Ok(_) => {}
            }
        }
    }

    fn left(&self, request: u32) -> Option<u64> {
        let inner = self.0.borrow();
        if inner.request == request { inner.progress.left() } else { None }
    }

    fn abandon(&self, request: u32) {
        let inner = &mut *self.0.borrow_mut();
        if inner.request == request {
            inner.abandoned = true;
            inner.reader = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_ahead_than_a_buffer_holds() {
        let (server, mut client) = tokio::io::duplex(1 << 20);
        client.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        let socket = Socket::new(server, BytesMut::new());
        for _ in 0..1000 {
            assert!(socket.poll_gone(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        let read = socket.0.borrow().read.len();
        assert!(read > 0 && read <= READ, "{read} bytes");
    }

    #[tokio::test]
    async fn a_body_gets_nothing_of_the_next_request() {
        let (server, mut client) = tokio::io::duplex(64);
        client.write_all(b"abcdef").await.unwrap();
        let socket = Socket::new(server, BytesMut::new());
        let mut cx = Context::from_waker(Waker::noop());
        let first = socket.begin(Framing::Length(3), false);
        assert_eq!(socket.poll_data(first, &mut cx), Poll::Ready(Some(Ok(Bytes::from_static(b"abc")))));
        assert_eq!(socket.poll_data(first, &mut cx), Poll::Ready(None));
        socket.retire();
        let second = socket.begin(Framing::Length(3), false);
        assert_eq!(socket.poll_data(first, &mut cx), Poll::Ready(Some(Err(BodyError::Over))));
        assert_eq!(socket.left(first), None);
        assert_eq!(socket.poll_data(second, &mut cx), Poll::Ready(Some(Ok(Bytes::from_static(b"def")))));
    }
}
