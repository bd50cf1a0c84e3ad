//! The listener: HTTP/1.1 and HTTP/2 on one port, gRPC and HTTP+JSON in one connection.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use aqueduct_runtime::drain::{self, Drain, DrainHandle};
use aqueduct_runtime::task;
use aqueduct_saga::{Coordinator, Store};
use aqueduct_telemetry::health::Health;
use http::header::CONTENT_TYPE;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::service::Routes;

use crate::app::App;
use crate::{grpc, http as json};

/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 8_192;
/// For a request's head, also while a kept connection is idle.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
const HEAD_BYTES: usize = 64 << 10;
const HEADERS: usize = 100;
/// Requests in flight on one HTTP/2 connection.
const MOST_STREAMS: u32 = 1_024;
/// A peer that went away without a word is noticed after both.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// The pause after an accept failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens. Until it is [opened](Self::open) it answers probes, and everything else with 503.
#[derive(Debug)]
pub struct Server<S: Store> {
    app: Arc<App<S>>,
    address: SocketAddr,
    drain: DrainHandle,
}

impl<S: Store> Server<S> {
    /// Serves at a socket that listens, on the current runtime.
    pub fn start(listener: TcpListener, health: Health) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let app = Arc::new(App::new(health));
        let (handle, drain) = drain::channel();
        let routes = grpc::routes(&app).map_err(std::io::Error::other)?;
        let serve = Serve { app: Arc::clone(&app), routes };
        task::spawn("saga-server", accept(listener, serve, drain));
        Ok(Self { app, address, drain: handle })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests about this coordinator's sagas from now on.
    pub fn open(&self, coordinator: Coordinator<S>) {
        self.app.open(coordinator);
    }

    /// Accepts no more, and waits until every request in flight is answered, at most for `patience`. Answers how many
    /// connections were left.
    pub async fn drain(self, patience: Duration) -> usize {
        self.drain.drain(patience).await.left
    }
}

/// What a connection answers with.
struct Serve<S: Store> {
    app: Arc<App<S>>,
    routes: Routes,
}

impl<S: Store> Clone for Serve<S> {
    fn clone(&self) -> Self {
        Self { app: Arc::clone(&self.app), routes: self.routes.clone() }
    }
}

impl<S: Store> Serve<S> {
    async fn answer(mut self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let kind = request.headers().get(CONTENT_TYPE).map_or(&[][..], |kind| kind.as_bytes());
        if request.version() == Version::HTTP_2 && kind.starts_with(b"application/grpc") {
            // Its services are always ready.
            return self.routes.call(request).await;
        }
        Ok(json::answer(&self.app, request).await)
    }
}

#[derive(Debug, Clone, Copy)]
struct Spawn;

impl<F> Executor<F> for Spawn
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        task::spawn("saga-request", future);
    }
}

async fn accept<S: Store>(listener: tokio::net::TcpListener, serve: Serve<S>, drain: Drain) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let _accepting = drain.guard();
    loop {
        let next = async {
            // The semaphore is never closed.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = drain.started() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let (serve, drain, guard) = (serve.clone(), drain.clone(), drain.guard());
                task::spawn("saga-connection", async move {
                    Box::pin(connection(stream, serve, drain)).await;
                    drop((slot, guard));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<S: Store>(stream: TcpStream, serve: Serve<S>, drain: Drain) {
    // A connection without Nagle's algorithm only answers later.
    stream.set_nodelay(true).unwrap_or_default();
    tokio::select! {
        // Whoever connects and says nothing does not keep its place for ever.
        said = tokio::time::timeout(HEAD_WITHIN, stream.readable()) => if !matches!(said, Ok(Ok(()))) { return },
        () = drain.started() => return,
    }
    let service = service_fn(move |request| Box::pin(serve.clone().answer(request)));
    let mut builder = auto::Builder::new(Spawn);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // How a client leaves is its own affair.
        _ = connection.as_mut() => return,
        () = drain.started() => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}

#[cfg(test)]
mod tests;
