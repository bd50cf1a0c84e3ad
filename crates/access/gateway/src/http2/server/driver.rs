//! The task of a connection: reads, begins requests, goes on with those that have something to do, writes.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::bell::{Bell, Bells};
use super::connection::{FLOOD, Shared};
use super::incoming::Incoming;
use super::receive::{Begun, Step};
use super::request;
use super::task::Task;
use super::watch::{Verdict, watch};
use crate::client::Client;
use crate::http2::frame::Violation;
use crate::http2::reader::{Reader, Speaker};
use crate::service::{Host, Service};

/// Room for a read. A connection has it only while there is something in it.
const READ: usize = 16 << 10;
/// Less room than this is not worth a read.
const LEAST: usize = 2 << 10;
/// Bytes that are read in one turn, and requests that are looked after, before others of the worker have theirs.
const TURN: usize = 256 << 10;
const TASKS: usize = 128;
/// How long, and for how many bytes, a connection that we have closed is read on, so that its client finds out why and not a reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;
/// The place of the watch.
const WATCH: usize = usize::MAX;

thread_local! {
    /// The buffer of whichever connection of this thread reads next.
    static SPARE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client has been told, and has nothing in flight.
    Done,
    /// It is gone, or there is no use in telling it anything.
    Gone(&'static str),
    /// It broke the protocol, or was too much.
    Violation(Violation),
}

/// Serves a connection behind its preface, until one side closes it. Whether that was because of what came beside its requests.
pub(crate) async fn serve<I, S>(mut io: I, host: Host<'_, S>) -> bool
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Incoming>,
{
    let shared = Shared::new(host.limits);
    let end = {
        let mut watching = pin!(watch(&shared, &host));
        let mut driver = Driver::new(&mut io, &shared, &host);
        poll_fn(|cx| driver.poll(watching.as_mut(), cx)).await
    };
    let client = host.client;
    match end {
        End::Done => {}
        End::Gone(why) => tracing::debug!(client = %client.address, why, "client connection ended"),
        End::Violation(violation) => {
            tracing::debug!(client = %client.address, why = violation.what, "client connection ended");
            host.refused(request::violation(violation));
            shared.fail(violation);
        }
    }
    shared.close();
    if let End::Gone(_) = end {
        // What fits; whoever does not read will not miss it.
        let _written = shared.poll_write(&mut io, &mut Context::from_waker(Waker::noop()));
    } else {
        let closed = Box::pin(close(&mut io, &shared));
        drop(tokio::time::timeout(LINGER.min(host.times.drain / 4), closed).await);
    }
    matches!(end, End::Violation(violation) if violation.what == FLOOD)
}

/// Writes what there still is, closes our side, and waits for the client to close its own: a socket that is closed with bytes unread
/// resets the connection, and with it may go what the client has not read yet. Whoever floods is read slowly, so that it has to wait, and
/// perhaps reads.
async fn close<I: AsyncRead + AsyncWrite + Unpin>(io: &mut I, shared: &Shared) -> io::Result<()> {
    poll_fn(|cx| shared.poll_write(io, cx).1).await?;
    shared.wrote();
    io.shutdown().await?;
    let mut room = vec![0; 4 << 10];
    loop {
        let mut left = LINGER_BYTES / 16;
        while left > 0 {
            let count = io.read(&mut room).await?;
            if count == 0 {
                return Ok(());
            }
            left = left.saturating_sub(count);
        }
        tokio::time::sleep(LINGER / 16).await;
    }
}

/// A place for a request's work, and its bell, which serves one request after the other.
struct Place<'h> {
    task: Option<Task<'h>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl Place<'_> {
    fn new(bells: &Arc<Bells>, place: usize) -> Self {
        let bell = bells.hang(place);
        Self { task: None, waker: Waker::from(Arc::clone(&bell)), bell }
    }
}

struct Driver<'h, I, S> {
    io: &'h mut I,
    shared: &'h Rc<Shared>,
    host: &'h Host<'h, S>,
    client: &'h Client,
    reader: Reader,
    places: Vec<Place<'h>>,
    free: Vec<usize>,
    watch: Place<'h>,
    bells: Arc<Bells>,
}

impl<'h, I, S> Driver<'h, I, S>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Incoming>,
{
    fn new(io: &'h mut I, shared: &'h Rc<Shared>, host: &'h Host<'h, S>) -> Self {
        let bells = Arc::default();
        let watch = Place::new(&bells, WATCH);
        watch.bell.ring();
        let reader = Reader::new(Speaker::Client, host.limits.head_bytes);
        let client = host.client;
        Self { io, shared, host, client, reader, places: Vec::new(), free: Vec::new(), watch, bells }
    }

    fn poll(
        &mut self,
        mut watching: Pin<&mut impl Future<Output = Verdict>>,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        self.bells.attend();
        self.shared.attend(cx);
        // What has come first: a request that has arrived is in flight before anything is said of the connection.
        if let Err(end) = self.read(cx) {
            return Poll::Ready(end);
        }
        let mut turns = 0;
        loop {
            while turns < TASKS
                && let Some(place) = self.bells.next()
            {
                turns += 1;
                if place != WATCH {
                    self.work(place);
                    continue;
                }
                self.watch.bell.heard();
                let verdict = watching.as_mut().poll(&mut Context::from_waker(&self.watch.waker));
                if let Poll::Ready(verdict) = verdict {
                    return Poll::Ready(match verdict {
                        Verdict::HangUp(why) => End::Gone(why),
                        Verdict::Violation(violation) => End::Violation(violation),
                    });
                }
            }
            let written = self.write(cx);
            if matches!(written, Poll::Ready(Err(_))) {
                return Poll::Ready(End::Gone("it has hung up"));
            }
            if written.is_ready() && self.shared.is_done() {
                return Poll::Ready(End::Done);
            }
            // What was written may have made room for more.
            if turns >= TASKS || !self.bells.have_rung() {
                break;
            }
        }
        self.shared.wrote();
        self.bells.sleep(cx);
        Poll::Pending
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let mut all = 0;
        while let Poll::Ready(read) = self.poll_read(cx) {
            match read {
                Ok(0) => return Err(End::Gone("it has closed the connection")),
                Ok(count) => all += count,
                Err(_) => return Err(End::Gone("it has hung up")),
            }
            self.understand().map_err(End::Violation)?;
            // What must be answered is written before more is taken in.
            if all >= TURN || !self.shared.has_room() {
                cx.waker().wake_by_ref();
                break;
            }
        }
        if self.reader.buffer.is_empty() {
            // Left to the next reader, if nobody holds slices of it.
            let mut buffer = std::mem::take(&mut self.reader.buffer);
            if buffer.try_reclaim(READ) {
                SPARE.set(buffer);
            }
        }
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let buffer = &mut self.reader.buffer;
        if buffer.capacity() == 0 {
            *buffer = SPARE.take();
        }
        if buffer.capacity() - buffer.len() < LEAST {
            buffer.reserve(READ);
        }
        pin!(self.io.read_buf(buffer)).poll(cx)
    }

    /// All that was read.
    fn understand(&mut self) -> Result<(), Violation> {
        while let Some(step) = self.shared.next(&mut self.reader)? {
            match step {
                Step::Nothing => {}
                Step::Begin(begun) => self.begin(*begun),
                Step::Gone(place) => self.gone(place)?,
                Step::Refused(reason, what, place) => {
                    place.map_or(Ok(()), |place| self.gone(place))?;
                    self.host.refused(request::refusal(reason, what));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, Begun { stream, request, reject }: Begun) {
        let is_head = request.method() == Method::HEAD;
        let task = if let Some(reject) = reject {
            Task::answer(Rc::clone(&stream), is_head, self.host.service.refuse(request, reject))
        } else {
            // Without a body nothing is kept of the connection.
            let has_body = stream.borrow().inbox.ended.is_none();
            let body = has_body.then(|| (Rc::clone(self.shared), Rc::clone(&stream)));
            let call = self.host.service.call(request.map(|()| Incoming::new(body)));
            Task::call(Rc::clone(&stream), is_head, Box::pin(call))
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::new(&self.bells, self.places.len()));
            self.places.len() - 1
        });
        stream.borrow_mut().place = Some(number);
        if let Some(place) = self.places.get_mut(number) {
            place.task = Some(task);
            place.bell.ring();
        }
    }

    /// The client has broken a request off.
    fn gone(&mut self, place: usize) -> Result<(), Violation> {
        if self.leave(place).is_some_and(|task| task.fresh) { self.shared.wasted() } else { Ok(()) }
    }

    fn leave(&mut self, number: usize) -> Option<Task<'h>> {
        let task = self.places.get_mut(number)?.task.take()?;
        self.free.push(number);
        Some(task)
    }

    fn work(&mut self, number: usize) {
        let Some(place) = self.places.get_mut(number) else { return };
        place.bell.heard();
        // Whoever it was may be gone.
        let Some(task) = &mut place.task else { return };
        if task.poll(self.shared, &mut Context::from_waker(&place.waker)).is_ready() {
            task.leave_place();
            drop(self.leave(number));
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (count, written) = self.shared.poll_write(self.io, cx);
        if count > 0 {
            self.client.wrote();
            self.client.stalled(false);
        }
        if written.is_pending() {
            self.client.stalled(true);
            return Poll::Pending;
        }
        ready!(written)?;
        self.client.stalled(false);
        Pin::new(&mut *self.io).poll_flush(cx)
    }
}
