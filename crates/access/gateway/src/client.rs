//! One client connection: who it is, what it is doing, and when it has been doing nothing for too long.

use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use bytes::BytesMut;
use http::HeaderValue;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::options::Timeouts;
use crate::timer::Timer;

/// What is known of a connection. One timer a connection watches it (see [`Client::overdue`]): a timer a request, as
/// hyper has for request heads, would cost every request what only a slow one needs.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    /// It speaks TLS.
    secure: Cell<bool>,
    /// Who it is by its certificate, which has been verified.
    identity: OnceCell<HeaderValue>,
    forwarded: OnceCell<HeaderValue>,
    in_flight: Cell<usize>,
    /// When the last request ended, or the connection began.
    idle_since: Cell<Instant>,
    /// When the first byte of a head came that is not complete yet.
    head_since: Cell<Option<Instant>>,
    /// Since when the client has taken nothing of what we write.
    stalled_since: Cell<Option<Instant>>,
    /// It took bytes since somebody looked last.
    wrote: Cell<bool>,
    /// Of the deadlines of its requests.
    pub(crate) timer: Timer,
}

/// Why a connection should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// No request for a long time: say good-bye.
    Idle,
    /// A head that does not end.
    Head,
    /// An answer that the client does not take: hang up.
    Write,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            address,
            secure: Cell::new(false),
            identity: OnceCell::new(),
            forwarded: OnceCell::new(),
            in_flight: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            head_since: Cell::new(None),
            stalled_since: Cell::new(None),
            wrote: Cell::new(false),
            timer: Timer::default(),
        })
    }

    /// The client has shaken hands.
    pub(crate) fn secure(&self) {
        self.secure.set(true);
    }

    /// The scheme by which it reaches us.
    pub(crate) fn scheme(&self) -> HeaderValue {
        HeaderValue::from_static(if self.secure.get() { "https" } else { "http" })
    }

    /// The client has shown a certificate.
    pub(crate) fn identify(&self, identity: HeaderValue) {
        // Once a connection: nobody shows another one later.
        drop(self.identity.set(identity));
    }

    /// Who the client is, if it has shown a certificate.
    pub(crate) fn identity(&self) -> Option<&HeaderValue> {
        self.identity.get()
    }

    /// The peer's address as `x-forwarded-for` has it, made once a connection.
    pub(crate) fn forwarded(&self) -> &HeaderValue {
        self.forwarded.get_or_init(|| {
            let text = self.address.ip().to_canonical().to_string();
            HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown"))
        })
    }

    /// A request's head is complete. The connection is busy until the guard is dropped.
    pub(crate) fn begin(self: &Rc<Self>) -> Busy {
        self.in_flight.set(self.in_flight.get() + 1);
        self.head_since.set(None);
        Busy(Rc::clone(self))
    }

    /// Bytes came in. Between requests they are the beginning of a head.
    pub(crate) fn received(&self) {
        if self.in_flight.get() == 0 && self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
    }

    /// Whether a head has begun to come that is not complete yet.
    pub(crate) fn has_begun(&self) -> bool {
        self.head_since.get().is_some()
    }

    /// A write to the client made no progress, or did.
    pub(crate) fn stalled(&self, stalled: bool) {
        if !stalled {
            self.stalled_since.set(None);
        } else if self.stalled_since.get().is_none() {
            self.stalled_since.set(Some(Instant::now()));
        }
    }

    /// When to look next, or what to do now.
    pub(crate) fn due(&self, times: &Timeouts, now: Instant) -> Result<Instant, Overdue> {
        if self.in_flight.get() > 0 {
            let look = now + times.head.min(times.idle).min(times.write);
            let Some(since) = self.stalled_since.get() else { return Ok(look) };
            let due = since + times.write;
            return if due <= now { Err(Overdue::Write) } else { Ok(due.min(look)) };
        }
        let (since, patience, overdue) = match self.head_since.get() {
            Some(since) => (since, times.head, Overdue::Head),
            None => (self.idle_since.get(), times.idle, Overdue::Idle),
        };
        let due = since + patience;
        // A head may begin at any time, so look again within its time, whatever is due later.
        if due <= now { Err(overdue) } else { Ok(due.min(now + times.head)) }
    }

    /// Whether a request is in flight.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.get() > 0
    }

    /// The client took something of what we write.
    pub(crate) fn wrote(&self) {
        self.wrote.set(true);
    }

    /// Whether it did since the last look.
    pub(crate) fn take_wrote(&self) -> bool {
        self.wrote.take()
    }

    /// Resolves once the connection should end.
    pub(crate) async fn overdue(&self, times: &Timeouts) -> Overdue {
        loop {
            match self.due(times, Instant::now()) {
                Ok(next) => tokio::time::sleep_until(next).await,
                Err(overdue) => return overdue,
            }
        }
    }
}

/// A request in flight on a connection.
#[derive(Debug)]
pub(crate) struct Busy(Rc<Client>);

impl Drop for Busy {
    fn drop(&mut self) {
        let client = &self.0;
        client.in_flight.set(client.in_flight.get() - 1);
        if client.in_flight.get() == 0 {
            client.idle_since.set(Instant::now());
        }
    }
}

/// A client's socket, of which nobody knows yet what is spoken on it.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: S,
    client: Rc<Client>,
    /// What was read to tell the protocols apart.
    prefix: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Socket<S> {
    pub(crate) fn new(stream: S, client: Rc<Client>) -> Self {
        Self { stream, client, prefix: Vec::new() }
    }

    /// The stream, and what was read from it already.
    pub(crate) fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.prefix.as_slice().into())
    }

    /// Whether the client speaks HTTP/2 with prior knowledge (RFC 9113, section 3.4): reads until that is certain.
    /// The preface is then no part of what was [read](Self::into_parts).
    pub(crate) async fn sniff_http2(&mut self) -> io::Result<bool> {
        const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        loop {
            if !PREFACE.starts_with(&self.prefix) {
                return Ok(false);
            }
            if self.prefix.len() == PREFACE.len() {
                self.client.head_since.set(None);
                self.prefix.clear();
                return Ok(true);
            }
            let mut room = [0; PREFACE.len()];
            let missing = PREFACE.len() - self.prefix.len();
            let mut room = ReadBuf::new(room.get_mut(..missing).unwrap_or_default());
            poll_fn(|cx| Pin::new(&mut self.stream).poll_read(cx, &mut room)).await?;
            if room.filled().is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.client.received();
            self.prefix.extend_from_slice(room.filled());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn client() -> Rc<Client> {
        Client::new(SocketAddr::from(([127, 0, 0, 1], 1)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_is_idle_after_its_time() {
        let times = Timeouts::default();
        let begin = Instant::now();
        assert_eq!(client().overdue(&times).await, Overdue::Idle);
        assert_eq!(begin.elapsed(), times.idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_is_cut_after_its_time() {
        let times = Timeouts::default();
        let client = client();
        client.received();
        tokio::time::advance(Duration::from_secs(9)).await;
        client.received();
        let begin = Instant::now();
        assert_eq!(client.overdue(&times).await, Overdue::Head);
        assert_eq!(begin.elapsed(), Duration::from_secs(1), "further bytes buy no time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_flight_is_never_overdue() {
        let times = Timeouts::default();
        let client = client();
        client.received();
        let busy = client.begin();
        let wait = tokio::time::timeout(Duration::from_hours(1), client.overdue(&times));
        assert!(wait.await.is_err());
        drop(busy);
        let begin = Instant::now();
        assert_eq!(client.overdue(&times).await, Overdue::Idle);
        assert_eq!(begin.elapsed(), times.idle);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_is_cut_after_its_time() {
        let times = Timeouts::default();
        let client = client();
        let _busy = client.begin();
        client.stalled(true);
        tokio::time::advance(Duration::from_secs(50)).await;
        client.stalled(false);
        client.stalled(true);
        let begin = Instant::now();
        tokio::time::advance(Duration::from_secs(30)).await;
        client.stalled(true);
        assert_eq!(client.overdue(&times).await, Overdue::Write);
        assert_eq!(begin.elapsed(), times.write, "since it took something for the last time");
    }
}
