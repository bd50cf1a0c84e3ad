//! One HTTP/2 connection to an endpoint, shared by the requests of a worker.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use aqueduct_runtime::task;
use http::uri::PathAndQuery;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http2::{self, Calls, Fields, Peer, Receiver, Sender, Sending};
use crate::metrics::EndpointMetrics;
use crate::stage::forward::Pump;

/// An open connection. It ends when the peer closes it, or when it was idle for too long.
#[derive(Debug)]
pub(crate) struct Connection {
    calls: Calls,
    streams: Cell<usize>,
    last_used: Cell<Instant>,
    retired: Cell<bool>,
    /// Wakes the driver once the connection is retired and its last stream has ended.
    released: Notify,
}

impl Connection {
    /// Begins on a stream that is open. The connection is driven by a task of this worker until it ends; `ended` is
    /// then called.
    pub(crate) fn open(
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: Peer,
        idle: Duration,
        metrics: Rc<EndpointMetrics>,
        ended: impl FnOnce() + 'static,
    ) -> Rc<Self> {
        let (calls, driver) = http2::open(stream, peer);
        let connection = Rc::new(Self {
            calls,
            streams: Cell::new(0),
            last_used: Cell::new(Instant::now()),
            retired: Cell::new(false),
            released: Notify::new(),
        });
        metrics.opened.inc();
        metrics.open.inc();
        let driven = Rc::clone(&connection);
        task::spawn_local("upstream-connection", async move {
            tokio::select! {
                biased;
                error = driver => tracing::debug!(%error, "upstream connection ended"),
                () = driven.unwanted(idle) => {}
            }
            driven.retired.set(true);
            metrics.open.dec();
            ended();
        });
        connection
    }

    /// Whether another stream can start at once.
    pub(crate) fn has_room(&self) -> bool {
        !self.retired.get() && self.calls.has_room()
    }

    /// Takes no more requests; those in flight end in peace.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.released.notify_one();
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get() || self.calls.has_ended()
    }

    /// Streams in flight.
    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Counts a stream until the lease is dropped.
    pub(crate) fn lease(self: &Rc<Self>) -> Lease {
        self.streams.set(self.streams.get() + 1);
        Lease { connection: Rc::clone(self) }
    }

    /// Resolves once nobody wants the connection: idle for too long, or retired and its last stream has ended.
    async fn unwanted(&self, idle: Duration) {
        loop {
            let due = self.last_used.get() + idle;
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.released.notified() => {}
            }
            let quiet = self.streams.get() == 0;
            if quiet && (self.retired.get() || self.last_used.get() + idle <= Instant::now()) {
                return;
            }
            if !quiet && due <= Instant::now() {
                // Busy for the whole time: look again one idle time from now.
                self.last_used.set(Instant::now());
            }
        }
    }
}

/// A place on a connection for one request. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Rc<Connection>,
}

impl Lease {
    /// Starts a call. An error means that nothing was sent.
    pub(crate) fn send(
        &self,
        path: &PathAndQuery,
        headers: Fields,
        sending: Sending,
    ) -> Result<(Receiver, Sender), http2::Error> {
        let sent = self.connection.calls.call(path.as_str(), headers, sending);
        if sent.is_err() {
            self.connection.retire();
        }
        sent
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.streams.set(connection.streams.get() - 1);
        if connection.streams.get() == 0 {
            connection.last_used.set(Instant::now());
            if connection.retired.get() {
                connection.released.notify_one();
            }
        }
    }
}

/// An upstream's answer, its head read and its body still coming.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Receiver,
    /// What carries the client's stream, as long as the answer is wanted.
    pub(crate) pump: Option<Pump>,
    pub(crate) lease: Lease,
}
