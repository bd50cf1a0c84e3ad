//! What a gateway can be told, as plain values with their defaults and bounds. YAML lives in the binary; here is only
//! what the values mean, and [`Options::validate`], which reports everything that is wrong with them at once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use aqueduct_transcode::{Router, Schema, Service};
use bytes::Bytes;

use crate::cors::Cors;
use crate::descriptors::Descriptors;
use crate::routes::Compiled;

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
}

/// A listening socket.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
}

/// A set of interchangeable gRPC servers.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// `host:port` of each; names are resolved at each connect.
    pub endpoints: Vec<String>,
    /// How long a connect may take, the HTTP/2 handshake included. Default 1 s.
    pub connect_timeout: Duration,
    /// A connection without a request is closed after this. Default 60 s.
    pub idle_timeout: Duration,
    /// Connections one worker opens to one endpoint; a further one is opened only when the others carry as many
    /// streams as the server allows. Default 4.
    pub connections: usize,
    /// Whether the upstream's health is asked (`grpc.health.v1`) and shown among the checks of `/healthz`.
    pub health: bool,
}

impl Upstream {
    /// An upstream with these endpoints and the defaults.
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_mins(1),
            connections: 4,
            health: true,
        }
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
    /// The conventions of its JSON. Its limits are those of [`Limits`].
    pub json: aqueduct_transcode::Options,
    /// Whose HTTP conventions it follows.
    pub compat: Compat,
    /// Which other sites' pages may call it; `None`: no other's.
    pub cors: Option<Cors>,
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
            json: aqueduct_transcode::Options::default(),
            compat: Compat::Off,
            cors: None,
        }
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
    /// From the first byte of a request head to its last. Default 10 s.
    pub head: Duration,
    /// Between two pieces of a request body. Default 10 s.
    pub body: Duration,
    /// A connection without a request is closed after this. Default 75 s.
    pub idle: Duration,
    /// A silent stream of server-sent events gets a comment after this. Default 15 s.
    pub keep_alive: Duration,
    /// How long a drain waits for requests in flight. Default 30 s.
    pub drain: Duration,
    /// Between two looks at a file of descriptors, and between two attempts to get those that are missing. Default 1 s.
    pub poll: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(15),
            max_request: Duration::from_hours(1),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
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

/// One thing that is wrong with the options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which value: `routes[0].upstream`, as in the configuration file.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Options {
    /// Reports everything that is wrong, in the order of the configuration file; empty when a gateway can start.
    pub fn validate(&self) -> Vec<Problem> {
        self.compile().err().unwrap_or_default()
    }

    /// The bindings that a gateway would route by, each route with its own options; or all that is wrong.
    pub fn bindings(&self) -> Result<Router, Vec<Problem>> {
        self.compile().map(|compiled| compiled.router)
    }

    /// The number of workers that `workers: 0` stands for is decided here.
    pub(crate) fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }

    pub(crate) fn compile(&self) -> Result<Compiled, Vec<Problem>> {
        self.compile_with(&self.sets())
    }

    /// The same with what the sources of the descriptors say now.
    pub(crate) fn compile_with(&self, sets: &[Option<Bytes>]) -> Result<Compiled, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut problem = |path: String, message: String| problems.push(Problem { path, message });
        if self.listen.is_empty() {
            problem("listen".into(), "name at least one address, such as 127.0.0.1:8080".into());
        }
        if self.workers > 1024 {
            problem("workers".into(), "at most 1024".into());
        }
        self.check_bounds(&mut problem);
        self.check_descriptors(&mut problem);
        self.check_upstreams(&mut problem);
        let schema = self.schema(sets, &mut problem);
        let router = self.router(schema.as_ref(), sets, &mut problem);
        match (schema, router) {
            (Some(schema), Some(router)) if problems.is_empty() => {
                Ok(Compiled::new(schema, router, &self.routes))
            }
            _ => Err(problems),
        }
    }

    fn check_bounds(&self, problem: &mut impl FnMut(String, String)) {
        let limits = &self.limits;
        if limits.head_bytes < 8192 {
            problem("limits.head_bytes".into(), "at least 8192".into());
        }
        let counts = [
            ("headers", limits.headers),
            ("body_bytes", limits.body_bytes),
            ("message_bytes", limits.message_bytes),
            ("nesting", limits.nesting as usize),
            ("elements", limits.elements as usize),
            ("requests", limits.requests),
            ("connections", limits.connections),
            ("streams", limits.streams as usize),
        ];
        for (name, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
            problem(format!("limits.{name}"), "must not be 0".into());
        }
        let times = &self.timeouts;
        let durations = [
            ("request", times.request),
            ("max_request", times.max_request),
            ("head", times.head),
            ("body", times.body),
            ("idle", times.idle),
            ("keep_alive", times.keep_alive),
        ];
        for (name, _) in durations.into_iter().filter(|(_, time)| time.is_zero()) {
            problem(format!("timeouts.{name}"), "must not be 0".into());
        }
    }

    fn check_upstreams(&self, problem: &mut impl FnMut(String, String)) {
        for (name, upstream) in &self.upstreams {
            if upstream.endpoints.is_empty() {
                problem(format!("upstreams.{name}.endpoints"), "name at least one host:port".into());
            }
            for (index, endpoint) in upstream.endpoints.iter().enumerate() {
                if !is_host_port(endpoint) {
                    problem(
                        format!("upstreams.{name}.endpoints[{index}]"),
                        format!("`{endpoint}` is not host:port, such as 127.0.0.1:50051"),
                    );
                }
            }
            if upstream.connections == 0 {
                problem(format!("upstreams.{name}.connections"), "must not be 0".into());
            }
            if upstream.connect_timeout.is_zero() {
                problem(format!("upstreams.{name}.connect_timeout"), "must not be 0".into());
            }
        }
    }

    /// Several sets become one: a descriptor set is a repeated field, so that their bytes can be joined.
    fn schema(&self, sets: &[Option<Bytes>], problem: &mut impl FnMut(String, String)) -> Option<Schema> {
        if self.descriptors.is_empty() {
            problem(
                "descriptors".into(),
                "name at least one descriptor set, such as { file: shop.pb }".into(),
            );
            return None;
        }
        let mut joined = Vec::new();
        let mut good = true;
        for (index, (source, set)) in self.descriptors.iter().zip(sets).enumerate() {
            let Some(bytes) = set else { continue };
            match Schema::decode(bytes) {
                Ok(_) => joined.extend_from_slice(bytes),
                Err(error) => {
                    good = false;
                    problem(format!("descriptors[{index}]"), format!("{}: {error}", source.name()));
                }
            }
        }
        if !good {
            return None;
        }
        Schema::decode(&joined).map_err(|error| problem("descriptors".into(), error.to_string())).ok()
    }

    fn router(
        &self,
        schema: Option<&Schema>,
        sets: &[Option<Bytes>],
        problem: &mut impl FnMut(String, String),
    ) -> Option<Router> {
        if self.routes.is_empty() {
            problem("routes".into(), "name at least one { service, upstream }".into());
        }
        let mut builder = schema.map(Router::builder);
        for (index, route) in self.routes.iter().enumerate() {
            if !self.upstreams.contains_key(&route.upstream) {
                let known: Vec<_> = self.upstreams.keys().map(String::as_str).collect();
                problem(
                    format!("routes[{index}].upstream"),
                    format!("there is no upstream `{}`; there are: {}", route.upstream, known.join(", ")),
                );
            }
            if self.routes.iter().take(index).any(|other| other.service == route.service) {
                problem(format!("routes[{index}].service"), format!("`{}` is routed twice", route.service));
                continue;
            }
            for (path, message) in route.cors.iter().flat_map(Cors::problems) {
                problem(format!("routes[{index}].cors.{path}"), message);
            }
            let Some(schema) = schema else { continue };
            if schema.service(&route.service).is_none() {
                if self.is_unread(&route.upstream, sets) {
                    continue;
                }
                let known: Vec<_> = schema.services().iter().map(Service::name).collect();
                problem(
                    format!("routes[{index}].service"),
                    format!(
                        "the descriptors have no service `{}`; they have: {}",
                        route.service,
                        known.join(", ")
                    ),
                );
                continue;
            }
            let tag = u32::try_from(index).unwrap_or(u32::MAX);
            let json = aqueduct_transcode::Options {
                depth: self.limits.nesting,
                elements: self.limits.elements,
                ..route.json.clone()
            };
            builder = builder.map(|builder| builder.service_with(&route.service, tag, &json));
        }
        match builder?.build() {
            Ok(router) => Some(router),
            Err(errors) => {
                for error in errors {
                    problem("routes".into(), error.to_string());
                }
                None
            }
        }
    }
}

fn is_host_port(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((host, port)) => {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            !host.is_empty()
                && (bracketed || !host.contains([':', '/', '@', ' ']))
                && port.parse::<u16>().is_ok_and(|port| port != 0)
        }
        None => false,
    }
}
