//! The access layer: carries one client request from socket to backend and back.
//!
//! A [`Gateway`] runs a number of worker threads. Each has its own runtime, listening socket (`SO_REUSEPORT`) and
//! upstream connections; a request never leaves the thread that read it. HTTP/1.1 and HTTP/2 requests with JSON are
//! transcoded to gRPC by the `google.api.http` rules of the descriptors; gRPC requests pass through.
//!
//! The way of a request is one function, `pipeline::carry`, and each of its stages is a module of that name under
//! `stage/`. The gateway knows nothing of any service: descriptors and routes are all it is told.

mod addresses;
mod auth;
mod background;
mod body;
mod client;
mod closing;
mod compress;
mod cors;
mod date;
mod descriptors;
mod edge;
mod exchange;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod grpc_web;
mod handshakes;
mod http1;
mod http2;
mod metrics;
mod options;
mod outgoing;
mod pipeline;
mod places;
mod pool;
mod probe;
mod reject;
mod retry;
mod routes;
mod server;
mod service;
mod sockets;
mod stage;
mod timer;
mod tls;
mod upstream;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use aqueduct_runtime::drain::Drained;
use aqueduct_runtime::worker::RuntimeStats;
use aqueduct_telemetry::access::AccessLog;
use aqueduct_telemetry::health::Health;
use aqueduct_telemetry::metrics::Registry;

pub use crate::compress::{Algorithm, Compression};
pub use crate::cors::Cors;
pub use crate::descriptors::Descriptors;
use crate::edge::Shared;
use crate::metrics::Families;
pub use crate::options::{
    ApiKey, ApiKeys, Auth, AuthMode, Claims, Compat, DotSegments, DoubleSlashes, EncodedSlashes, Jwks,
    JwksUrl, Jwt, LimitKey, Limits, Listen, Network, Options, Paths, Probes, Problem, RateLimit,
    RateLimitHeaders, Retries, Route, Secret, Timeouts, Upstream,
};
use crate::pool::Pool;
use crate::sockets::Sockets;
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
    /// Addresses that cannot be listened on; every one is named.
    #[error("{}", .0.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; "))]
    Sockets(Vec<Problem>),
    /// A socket or a thread could not be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    /// One reload at a time.
    reloading: Mutex<()>,
}

impl Gateway {
    /// Binds every address and starts the workers. On an error nothing is left running.
    pub fn start(options: Options, observers: Observers<'_>) -> Result<Self, StartError> {
        let gateway = Self::prepare(options, observers, Vec::new())?;
        gateway.open();
        Ok(gateway)
    }

    /// The same, but nothing is accepted before [`open`](Self::open). Listening sockets that another process hands over are
    /// used where the options name their addresses, and dropped otherwise.
    pub fn prepare(
        options: Options,
        observers: Observers<'_>,
        inherited: Vec<TcpListener>,
    ) -> Result<Self, StartError> {
        let options = Arc::new(options);
        let compiled = options.compile(options.sets(), None).map_err(StartError::Invalid)?;
        let sockets = Sockets::inherited(inherited)?;
        let sockets = sockets.changed(&options.listen, options.worker_count());
        let sockets = sockets.map_err(StartError::Sockets)?;
        warn(&options);
        let families = Families::register(observers.registry);
        let durations = families.duration.clone();
        observers.health.watch_latency(move || durations.total());
        let shared = Shared::new(compiled, families, observers.access, observers.health);
        background::register(&options, &shared.health);
        let pool = Pool::start(&shared, sockets)?;
        Ok(Self { shared, pool, reloading: Mutex::new(()) })
    }

    /// Accepts connections from now on.
    pub fn open(&self) {
        self.pool.open();
    }

    /// The addresses that are listened on; a port 0 is replaced by the one that was found.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.pool.addresses()
    }

    /// A handle of each listening socket, for another process that goes on with them.
    pub fn sockets(&self) -> io::Result<Vec<TcpListener>> {
        self.pool.sockets()
    }

    /// What the workers' runtimes have done, for the metrics.
    pub fn runtime_stats(&self) -> impl Fn() -> Vec<RuntimeStats> + Send + Sync + 'static {
        let pool = Arc::clone(&self.pool);
        move || pool.stats()
    }

    /// Uses other options from now on: all of them, or none when something is wrong. Requests in flight keep what they began
    /// with, connections stay, and so do those to upstreams that are meant as before. Blocks while descriptors are compiled.
    ///
    /// New addresses are listened on before anything else changes; those that are gone let in who has come already.
    /// Workers beyond a lower number tell their clients to go, and end with the last, after [`Timeouts::drain`] at most.
    pub fn reload(&self, options: Options) -> Result<(), Vec<Problem>> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let options = Arc::new(options);
        let current = Arc::clone(&self.shared.compiled.borrow());
        let sets = options.sets_after(&current.options, &current.sets);
        let compiled = options.compile(sets, Some(&current))?;
        let publish = || {
            warn(&options);
            self.shared.compiled.send_replace(Arc::new(compiled));
        };
        self.pool.change(&options, publish)
    }

    /// Resolves when a worker has ended by itself: a bug, after which the process should not go on.
    pub async fn worker_ended(&self) {
        self.pool.failed().await;
    }

    /// Stops accepting, lets the requests in flight finish (at most for [`Timeouts::drain`]), and ends the workers.
    pub async fn drain(&self) -> Drained {
        let patience = self.shared.compiled.borrow().options.timeouts.drain;
        self.pool.drain(patience).await
    }
}

/// Logs what is no error but should be looked at.
fn warn(options: &Options) {
    for warning in options.warnings() {
        tracing::warn!("{warning}");
    }
}
