//! One HTTP/2 connection to an endpoint, shared by the requests of a worker.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use aqueduct_runtime::task;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::EndpointMetrics;
use crate::stage::forward::Pump;

/// Bytes one stream may send us before we have passed them on: bounds what a slow client makes us hold.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all streams of a connection together: as much as there can be. With less, the streams of one client that does
/// not read would use it up, and nothing would come for all others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// What pieces that are smaller than 256 bytes may waste in the buffers of a connection, by h2's reckoning.
const SMALL_PIECES: usize = 8 << 20;
/// Bytes of headers and trailers of one answer.
const HEADER_LIST: u32 = 64 << 10;

/// An open connection. It ends when the peer closes it, or when it was idle for too long.
#[derive(Debug)]
pub(crate) struct Connection {
    send: SendRequest<Bytes>,
    streams: Cell<usize>,
    last_used: Cell<Instant>,
    retired: Cell<bool>,
    /// Wakes the driver once the connection is retired and its last stream has ended.
    released: Notify,
}

impl Connection {
    /// Shakes hands on a stream that is open. The connection is driven by a task of this worker until it ends; `ended` is
    /// then called.
    pub(crate) async fn open(
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        idle: Duration,
        metrics: Rc<EndpointMetrics>,
        ended: impl FnOnce() + 'static,
    ) -> std::io::Result<Rc<Self>> {
        let (send, driver) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST)
            .data_frame_budget(SMALL_PIECES)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(std::io::Error::other)?;
        let connection = Rc::new(Self {
            send,
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
                result = driver => if let Err(error) = result {
                    tracing::debug!(%error, "upstream connection ended");
                },
                () = driven.unwanted(idle) => {}
            }
            driven.retired.set(true);
            metrics.open.dec();
            ended();
        });
        Ok(connection)
    }

    /// Whether another stream can start at once.
    pub(crate) fn has_room(&self) -> bool {
        !self.retired.get() && self.streams.get() < self.send.current_max_send_streams()
    }

    /// Takes no more requests; those in flight end in peace.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.released.notify_one();
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
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
    /// Starts a stream. An error means that nothing was sent.
    pub(crate) fn send(
        &self,
        head: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let sent = self.connection.send.clone().send_request(head, end);
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
    pub(crate) body: RecvStream,
    /// What carries the client's stream, as long as the answer is wanted.
    pub(crate) pump: Option<Pump>,
    pub(crate) lease: Lease,
}

impl Answer {
    pub(crate) fn new(response: Response<RecvStream>, lease: Lease, pump: Option<Pump>) -> Self {
        let (head, body) = response.into_parts();
        Self { head, body, pump, lease }
    }
}
