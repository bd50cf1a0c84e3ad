//! One server of an upstream, and the connections a worker has to it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use http::uri::Authority;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::http2::Peer;
use crate::metrics::EndpointMetrics;
use crate::options::Upstream;
use crate::tls::Connector;
use crate::upstream::connection::{Connection, Lease};

/// A server and its connections. Everything happens on one worker, so that nothing is locked.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: String,
    authority: Authority,
    options: Upstream,
    tls: Option<Arc<Connector>>,
    connections: RefCell<Vec<Rc<Connection>>>,
    dialing: Cell<bool>,
    /// Wakes those who wait for the dial in progress.
    dialed: Notify,
    /// Why the last dial failed, if it did: so did those who waited for it.
    failure: RefCell<Option<ConnectError>>,
    metrics: Rc<EndpointMetrics>,
}

/// Why there is no connection. Nothing was sent.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect to {address}: {error}")]
    Failed { address: String, error: Rc<std::io::Error> },
    #[error("cannot connect to {address}: no answer within {within:?}")]
    TimedOut { address: String, within: std::time::Duration },
}

impl Endpoint {
    /// `None` when the address is not `host:port`.
    pub(crate) fn new(
        address: &str,
        options: &Upstream,
        tls: Option<Arc<Connector>>,
        metrics: Rc<EndpointMetrics>,
    ) -> Option<Rc<Self>> {
        Some(Rc::new(Self {
            address: address.to_owned(),
            authority: address.parse().ok()?,
            options: options.clone(),
            tls,
            connections: RefCell::default(),
            dialing: Cell::new(false),
            dialed: Notify::new(),
            failure: RefCell::default(),
            metrics,
        }))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A place on an open connection, or on a new one. One dial at a time: the others wait for its result and share
    /// the connection. Dropping the future gives up waiting, and lets another caller dial.
    pub(crate) async fn acquire(self: &Rc<Self>) -> Result<Lease, ConnectError> {
        loop {
            if let Some(connection) = self.ready() {
                self.metrics.reused.inc();
                return Ok(connection.lease());
            }
            if !self.dialing.get() {
                // In a box: every call would carry the room for it, and that is moved and read for each request.
                return Box::pin(self.dial()).await.map(|connection| connection.lease());
            }
            self.dialed.notified().await;
            if let Some(failure) = self.failure.borrow().clone() {
                return Err(failure);
            }
        }
    }

    /// The least loaded connection with room; a full one only when there may be no more connections.
    fn ready(&self) -> Option<Rc<Connection>> {
        let mut connections = self.connections.borrow_mut();
        // Nearly always there is one and it has room.
        if let [only] = connections.as_slice()
            && only.has_room()
        {
            return Some(Rc::clone(only));
        }
        connections.retain(|connection| !connection.is_retired());
        let best =
            connections.iter().min_by_key(|connection| (!connection.has_room(), connection.streams()))?;
        (best.has_room() || connections.len() >= self.options.connections).then(|| Rc::clone(best))
    }

    async fn dial(self: &Rc<Self>) -> Result<Rc<Connection>, ConnectError> {
        let dialing = Dialing::begin(self);
        let within = self.options.connect_timeout;
        let me: Weak<Self> = Rc::downgrade(self);
        let ended = move || {
            if let Some(me) = me.upgrade() {
                me.connections.borrow_mut().retain(|connection| !connection.is_retired());
            }
        };
        let idle = self.options.idle_timeout;
        let open = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let metrics = Rc::clone(&self.metrics);
            let peer = Peer { secure: self.tls.is_some(), authority: self.authority.clone() };
            Ok(match &self.tls {
                None => Connection::open(stream, peer, idle, metrics, ended),
                Some(tls) => {
                    let stream = tls.connect(stream, &self.address).await?;
                    Connection::open(stream, peer, idle, metrics, ended)
                }
            })
        };
        let result = match tokio::time::timeout(within, open).await {
            Ok(Ok(connection)) => {
                self.connections.borrow_mut().push(Rc::clone(&connection));
                Ok(connection)
            }
            Ok(Err(error)) => {
                Err(ConnectError::Failed { address: self.address.clone(), error: Rc::new(error) })
            }
            Err(_) => Err(ConnectError::TimedOut { address: self.address.clone(), within }),
        };
        if let Err(failure) = &result {
            self.metrics.connect_failures.inc();
            self.failure.replace(Some(failure.clone()));
        }
        drop(dialing);
        result
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // No configuration names it any more: what is in flight ends in peace, and nothing new begins.
        for connection in self.connections.take() {
            connection.retire();
        }
    }
}

/// Marks a dial in progress until it is dropped, so that a caller who goes away in the middle leaves nobody waiting.
struct Dialing<'a> {
    endpoint: &'a Endpoint,
}

impl<'a> Dialing<'a> {
    fn begin(endpoint: &'a Endpoint) -> Self {
        endpoint.dialing.set(true);
        endpoint.failure.take();
        Self { endpoint }
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.endpoint.dialing.set(false);
        self.endpoint.dialed.notify_waiters();
    }
}
