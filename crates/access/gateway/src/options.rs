//! What a gateway can be told, as plain values with their defaults and bounds. YAML lives in the binary; here is only
//! what the values mean.

mod auth;
mod check;
mod limit;
mod outside;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub use auth::{ApiKey, ApiKeys, Auth, AuthMode, Claims, Jwks, JwksUrl, Jwt, Secret};
pub use check::Problem;
pub use limit::{LimitKey, RateLimit};
pub use outside::{DotSegments, DoubleSlashes, EncodedSlashes, Network, Paths};

use crate::compress::Compression;
use crate::cors::Cors;
use crate::descriptors::Descriptors;
use crate::tls::{Tls, UpstreamTls};

/// Everything a gateway needs to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where clients connect. HTTP/1.1 and HTTP/2 (with prior knowledge) share a port.
    pub listen: Vec<Listen>,
    /// Data-plane threads, each with its own listening socket and upstream connections. 0 means one a core.
    pub workers: usize,
    /// What the services look like.
    pub descriptors: Vec<Descriptors>,
    /// Where they run, by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Which service goes to which upstream.
    pub routes: Vec<Route>,
    /// Bounds on what a client may send and hold.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Where the health probes are; `None` switches them off.
    pub probes: Option<Probes>,
    /// How clients prove who they are.
    pub auth: Auth,
    /// Peers whose word on the client's address, host, scheme and request id counts.
    pub trusted_proxies: Vec<Network>,
    /// Whether each request has an `x-request-id`, sent upstream, back to the client and to the access log.
    pub request_ids: bool,
    /// How paths are brought into one form.
    pub paths: Paths,
    /// How often clients may call. Each request is charged to all that hold for it, in this order.
    pub rate_limits: Vec<RateLimit>,
    /// Which answers have the `RateLimit-*` fields.
    pub rate_limit_headers: RateLimitHeaders,
    /// Whether clients are told which stage refused them, and why: `x-aqueduct-reject: stage/reason`. Default no.
    pub refusal_header: bool,
}

/// Which answers tell of the rate limit that a client is closest to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RateLimitHeaders {
    /// All that a limit holds for.
    #[default]
    All,
    /// Refusals alone.
    Refusals,
    /// None. A refusal still has `Retry-After`.
    Off,
}

/// A listening socket.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS; without it connections are plain.
    pub tls: Option<Tls>,
}

impl Listen {
    /// A plain socket.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// Whether the system lets nobody listen on both: the same port of the same address, or of all of its kind. Port 0 is
    /// another one each time.
    pub fn overlaps(&self, other: SocketAddr) -> bool {
        let (ours, theirs) = (self.address.ip(), other.ip());
        let same = ours == theirs
            || ours.is_ipv4() == theirs.is_ipv4() && (ours.is_unspecified() || theirs.is_unspecified());
        same && self.address.port() == other.port() && other.port() != 0
    }
}

/// A set of interchangeable gRPC servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `host:port` of each; names are resolved at each connect.
    pub endpoints: Vec<String>,
    /// TLS; without it connections are plain.
    pub tls: Option<UpstreamTls>,
    /// How long a connect may take, the handshakes of TLS and HTTP/2 included. Default 1 s.
    pub connect_timeout: Duration,
    /// A connection without a request is closed after this. Default 60 s.
    pub idle_timeout: Duration,
    /// Connections one worker opens to one endpoint; a further one is opened only when the others carry as many
    /// streams as the server allows. Default 4.
    pub connections: usize,
    /// Whether the upstream's health is asked (`grpc.health.v1`) and shown among the checks of `/healthz`.
    pub health: bool,
    /// Requests that may be in flight to it, of the whole gateway; further ones wait. `None`, the default, is no bound.
    pub max_concurrency: Option<usize>,
    /// Requests that may wait, of the whole gateway; further ones are refused at once. Default 1024.
    pub max_queue: usize,
    /// How long a request may wait. Default 500 ms.
    pub queue_timeout: Duration,
}

impl Upstream {
    /// An upstream with these endpoints and the defaults.
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            tls: None,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_mins(1),
            connections: 4,
            health: true,
            max_concurrency: None,
            max_queue: 1024,
            queue_timeout: Duration::from_millis(500),
        }
    }

    /// Whether a connection that was opened for the other is as good as one opened for this.
    pub(crate) fn connects_like(&self, other: &Self) -> bool {
        let Self { tls, connect_timeout, idle_timeout, connections, .. } = self;
        (tls, connect_timeout, idle_timeout, connections)
            == (&other.tls, &other.connect_timeout, &other.idle_timeout, &other.connections)
    }
}

/// Sends a gRPC service to an upstream, both its plain gRPC calls and its `google.api.http` bindings.
#[derive(Debug, Clone)]
pub struct Route {
    /// Full name, such as `shop.v1.OrderService`.
    pub service: String,
    /// Name of the upstream.
    pub upstream: String,
    /// Default deadline of its unary calls, instead of [`Timeouts::request`].
    pub timeout: Option<Duration>,
    /// The longest deadline of its calls, instead of [`Timeouts::max_request`].
    pub max_timeout: Option<Duration>,
    /// Which calls are made again.
    pub retries: Retries,
    /// The conventions of its JSON. Its limits are those of [`Limits`].
    pub json: aqueduct_transcode::Options,
    /// Whose HTTP conventions it follows.
    pub compat: Compat,
    /// Which other sites' pages may call it; `None`: no other's.
    pub cors: Option<Cors>,
    /// Which answers are compressed; `None`: none.
    pub compression: Option<Compression>,
    /// Whether it wants to know who calls.
    pub auth: AuthMode,
}

/// Whose conventions a transcoded route follows, where they differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compat {
    /// Our own; `docs/transcoding.md` has them.
    #[default]
    Off,
    /// Those of grpc-gateway (v2): `Grpc-Metadata-…` headers both ways, streams as `{"result": …}` lines, form bodies and the
    /// overridden method, JSON under any content type. Its JSON conventions are options of their own: see [`Compat::json`].
    GrpcGateway,
}

impl Compat {
    /// The JSON conventions: those of grpc-gateway print every field, `null` for messages that are not there, and ignore what
    /// they do not know.
    pub fn json(self) -> aqueduct_transcode::Options {
        match self {
            Compat::Off => aqueduct_transcode::Options::default(),
            Compat::GrpcGateway => aqueduct_transcode::Options {
                defaults: aqueduct_transcode::Defaults::PrintNull,
                ignore_unknown: true,
                ignore_unknown_query: true,
                ..aqueduct_transcode::Options::default()
            },
        }
    }
}

impl Route {
    /// A route with the defaults.
    pub fn new(service: impl Into<String>, upstream: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            upstream: upstream.into(),
            timeout: None,
            max_timeout: None,
            retries: Retries::default(),
            json: aqueduct_transcode::Options::default(),
            compat: Compat::Off,
            cors: None,
            compression: None,
            auth: AuthMode::Off,
        }
    }
}

/// Which calls are made again when they fail. One of which the upstream has certainly seen nothing is, whatever it is; one
/// that is answered UNAVAILABLE only when it is idempotent: a `GET`, a method whose `idempotency_level` says so, or a named one.
#[derive(Debug, Clone, PartialEq)]
pub struct Retries {
    /// Attempts of one call, the first included. Default 3; 1 is no retry.
    pub attempts: usize,
    /// Retries an upstream may get, as a share of the requests. Default 0.2.
    pub budget: f64,
    /// And this many a second besides, however few the requests are. Default 10.
    pub min_per_second: u32,
    /// Methods of the service that may be called twice, such as `GetOrder`.
    pub idempotent: Vec<String>,
}

impl Retries {
    /// The most attempts.
    pub const MAX_ATTEMPTS: usize = 10;
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 3, budget: 0.2, min_per_second: 10, idempotent: Vec::new() }
    }
}

/// Bounds on what one client, and all of them, may send and hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head (HTTP/1.1 line and headers, HTTP/2 header list). Default 64 KiB, at least 8 KiB.
    pub head_bytes: usize,
    /// Header fields of an HTTP/1.1 request. Default 100.
    pub headers: usize,
    /// Bytes of a request body that is transcoded. Default 4 MiB.
    pub body_bytes: usize,
    /// Bytes of one message from an upstream that is transcoded. Default 16 MiB.
    pub message_bytes: usize,
    /// Nesting of messages and arrays in a message that is transcoded, either way. Default 100, at most 200.
    pub nesting: u32,
    /// Array elements and map entries of a message that is transcoded, either way. Default 262,144.
    pub elements: u32,
    /// Requests in flight in the whole gateway; more are refused with 503. Default 10,000.
    pub requests: usize,
    /// Connections in the whole gateway; more wait in the kernel's accept queue. Default 65,536.
    pub connections: usize,
    /// Connections from one client address, in the whole gateway; more are closed at once. The addresses of an IPv6 /64
    /// count as one. Default 0: as many as `connections` allows.
    pub connections_per_address: usize,
    /// TLS handshakes in flight in the whole gateway; more wait, within [`Timeouts::head`]. Default 1,000.
    pub handshakes: usize,
    /// Concurrent requests of one HTTP/2 connection. Default 256.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            headers: 100,
            body_bytes: 4 << 20,
            message_bytes: 16 << 20,
            nesting: 100,
            elements: 262_144,
            requests: 10_000,
            connections: 65_536,
            connections_per_address: 0,
            handshakes: 1_000,
            streams: 256,
        }
    }
}

/// How long things may take. Each is separate from the deadline of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Default deadline of a unary call. Streams have one only when the client asks for it. Default 15 s.
    pub request: Duration,
    /// The longest deadline a client may ask for; a longer one is shortened to it. Default 1 h.
    pub max_request: Duration,
    /// From the first byte of a request head to its last, and for a whole TLS handshake. Default 10 s.
    pub head: Duration,
    /// Between two pieces of a request body. Default 10 s.
    pub body: Duration,
    /// Between two pieces of an answer that the client takes. Default 60 s.
    pub write: Duration,
    /// A connection without a request is closed after this. Default 75 s.
    pub idle: Duration,
    /// A silent stream of server-sent events gets a comment after this. Default 15 s.
    pub keep_alive: Duration,
    /// How long a drain waits for requests in flight. Default 30 s.
    pub drain: Duration,
    /// Between two looks at a file of descriptors or certificates, and between two attempts to get those that are missing. Default 1 s.
    pub poll: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(15),
            max_request: Duration::from_hours(1),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            write: Duration::from_mins(1),
            idle: Duration::from_secs(75),
            keep_alive: Duration::from_secs(15),
            drain: Duration::from_secs(30),
            poll: Duration::from_secs(1),
        }
    }
}

/// The paths of the health probes. They go before every route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probes {
    /// Readiness with all checks. Default `/healthz`.
    pub healthz: String,
    /// Whether the process lives. Default `/livez`.
    pub livez: String,
    /// Whether it wants requests. Default `/readyz`.
    pub readyz: String,
    /// Whether it has started. Default `/startupz`.
    pub startupz: String,
    /// Load figures. Default `/health`.
    pub health: String,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            healthz: "/healthz".into(),
            livez: "/livez".into(),
            readyz: "/readyz".into(),
            startupz: "/startupz".into(),
            health: "/health".into(),
        }
    }
}
