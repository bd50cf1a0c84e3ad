//! The access layer: carries one client request from socket to backend and back.
//!
//! A [`Gateway`] runs a number of worker threads. Each has its own runtime, listening socket (`SO_REUSEPORT`) and
//! upstream connections; a request never leaves the thread that read it. HTTP/1.1 and HTTP/2 requests with JSON are
//! transcoded to gRPC by the `google.api.http` rules of the descriptors; gRPC requests pass through.
//!
//! The way of a request is one function, `pipeline::carry`, and each of its stages is a module of that name under
//! `stage/`. The gateway knows nothing of any service: descriptors and routes are all it is told.

mod addresses;
mod background;
mod body;
mod client;
mod compress;
mod cors;
mod descriptors;
mod edge;
mod exchange;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod grpc_web;
mod http1;
mod metrics;
mod options;
mod outgoing;
mod pipeline;
mod probe;
mod reject;
mod retry;
mod routes;
mod server;
mod stage;
mod tls;
mod upstream;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use aqueduct_runtime::drain::{self, Drain, DrainHandle, Drained};
use aqueduct_runtime::worker::{RuntimeStats, Workers};
use aqueduct_runtime::{listen, task};
use aqueduct_telemetry::access::AccessLog;
use aqueduct_telemetry::health::Health;
use aqueduct_telemetry::metrics::Registry;
use tokio::sync::watch;

pub use crate::compress::{Algorithm, Compression};
pub use crate::cors::Cors;
pub use crate::descriptors::Descriptors;
use crate::edge::{Edge, Shared};
use crate::metrics::Families;
pub use crate::options::{
    Compat, DotSegments, DoubleSlashes, EncodedSlashes, LimitKey, Limits, Listen, Network, Options, Paths,
    Probes, Problem, RateLimit, RateLimitHeaders, Retries, Route, Timeouts, Upstream,
};
pub use crate::tls::{ClientAuth, KeyPair, Pem, Tls, TlsVersion, UpstreamTls};
pub use aqueduct_transcode::Defaults;

/// Where the gateway tells what it does.
#[derive(Debug)]
pub struct Observers<'a> {
    /// Gets the gateway's metrics.
    pub registry: &'a Registry,
    /// Gets a line a request, when there is one.
    pub access: Option<AccessLog>,
    /// Answers the probes, and gets the upstreams' checks.
    pub health: Health,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options are wrong; every problem is named.
    #[error("the gateway's options are wrong: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Problem>),
    /// A socket or a thread could not be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    workers: Workers<()>,
    drain: DrainHandle,
    patience: std::time::Duration,
    stop: watch::Sender<bool>,
    addresses: Vec<SocketAddr>,
}

impl Gateway {
    /// Binds every address and starts the workers. On an error nothing is left running.
    pub fn start(options: Options, observers: Observers<'_>) -> Result<Self, StartError> {
        let options = Arc::new(options);
        let compiled = options.compile(options.sets(), None).map_err(StartError::Invalid)?;
        warn(&options);
        let count = options.worker_count();
        let patience = options.timeouts.drain;
        let mut sockets: Vec<Vec<(SocketAddr, TcpListener)>> = (0..count).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for listen in &options.listen {
            let listeners = listen::claim(listen.address, count)?;
            addresses.extend(listeners.first().map(TcpListener::local_addr).transpose()?);
            for (worker, listener) in sockets.iter_mut().zip(listeners) {
                worker.push((listen.address, listener));
            }
        }
        let families = Families::register(observers.registry);
        let durations = families.duration.clone();
        observers.health.watch_latency(move || durations.total());
        let shared = Shared::new(compiled, families, observers.access, observers.health);
        background::register(&options, &shared.health);
        let (handle, drain) = drain::channel();
        let (stop, stopped) = watch::channel(false);
        let sockets = Mutex::new(sockets);
        let of_workers = Arc::clone(&shared);
        let workers = Workers::start("gateway", count, move |index| {
            let mut sockets = sockets.lock().unwrap_or_else(PoisonError::into_inner);
            let listeners = sockets.get_mut(index).map(std::mem::take).unwrap_or_default();
            let edge = Edge::new(&of_workers);
            task::spawn_local("routes", edge.clone().follow_routes());
            if index == 0 {
                task::spawn_local("background", background::follow(edge.clone()));
            }
            work(edge, listeners, drain.per_worker(), stopped.clone())
        })?;
        Ok(Self { shared, workers, drain: handle, patience, stop, addresses })
    }

    /// The addresses that are listened on; a port 0 is replaced by the one that was found.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What the workers' runtimes have done, for the metrics.
    pub fn runtime_stats(&self) -> impl Fn() -> Vec<RuntimeStats> + Send + Sync + 'static {
        self.workers.stats_reader()
    }

    /// Uses other options from now on: all of them, or none when something is wrong. Requests in flight keep what they began
    /// with, connections stay, and so do those to upstreams that are meant as before.
    pub fn reload(&self, options: Options) -> Result<(), Vec<Problem>> {
        let options = Arc::new(options);
        let current = Arc::clone(&self.shared.compiled.borrow());
        let sets = options.sets_after(&current.options, &current.sets);
        let compiled = options.compile(sets, Some(&current))?;
        warn(&options);
        self.shared.compiled.send_replace(Arc::new(compiled));
        Ok(())
    }

    /// Resolves when a worker has ended by itself: a bug, after which the process should not go on.
    pub async fn worker_ended(&self) {
        self.workers.any_ended().await;
    }

    /// Stops accepting, lets the requests in flight finish (at most for [`Timeouts::drain`]), and ends the workers.
    pub async fn drain(self) -> Drained {
        let drained = self.drain.drain(self.patience).await;
        // Workers only look; nobody listening means that they have ended already.
        self.stop.send_replace(true);
        let workers = self.workers;
        let joined = tokio::task::spawn_blocking(move || workers.join()).await;
        for panic in joined.into_iter().flatten().filter_map(Result::err) {
            tracing::error!(%panic, "a gateway worker failed");
        }
        drained
    }
}

/// Logs what is no error but should be looked at.
fn warn(options: &Options) {
    for warning in options.warnings() {
        tracing::warn!("{warning}");
    }
}

/// A worker's life: accept on every listener until the drain, then serve what is there until told to stop.
async fn work(
    edge: std::rc::Rc<Edge>,
    listeners: Vec<(SocketAddr, TcpListener)>,
    drain: Drain,
    mut stopped: watch::Receiver<bool>,
) {
    for (configured, listener) in listeners {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                let accept = server::accept(edge.clone(), configured, listener, drain.clone());
                task::spawn_local("accept", accept);
            }
            Err(error) => tracing::error!(%error, "cannot listen"),
        }
    }
    // An error means that the gateway's owner is gone, which ends the workers too.
    drop(stopped.wait_for(|stop| *stop).await);
}
