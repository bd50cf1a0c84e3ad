//! What the requests of a worker share: the compiled configuration, which all workers have in common, and the worker's
//! own upstream connections, routes and scratch memory.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_telemetry::access::AccessLog;
use aqueduct_telemetry::health::Health;
use aqueduct_transcode::{Binding, Router, Schema, Transcoder};
use foldhash::fast::RandomState;
use http::uri::PathAndQuery;

use crate::metrics::{Families, MethodMetrics, Metrics};
use crate::options::{Compiled, Options};
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// The part that all workers have in common. Immutable.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) schema: Schema,
    pub(crate) router: Router,
    pub(crate) families: Families,
    pub(crate) access: Option<AccessLog>,
    pub(crate) health: Health,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        compiled: Compiled,
        families: Families,
        access: Option<AccessLog>,
        health: Health,
    ) -> Arc<Self> {
        let Compiled { schema, router } = compiled;
        Arc::new(Self { options, schema, router, families, access, health })
    }

    /// The share of a bound that one worker may use; at least one.
    pub(crate) fn per_worker(&self, bound: usize) -> usize {
        bound.div_ceil(self.options.worker_count()).max(1)
    }
}

/// A gRPC method and where its calls go.
#[derive(Debug)]
pub(crate) struct MethodRoute {
    /// `shop.v1.OrderService/GetOrder`, as in the metrics.
    pub(crate) name: Box<str>,
    /// The `:path` of a call.
    pub(crate) path: PathAndQuery,
    /// The default deadline; streams have none.
    pub(crate) timeout: Option<Duration>,
    pub(crate) metrics: MethodMetrics,
    upstream: usize,
}

/// One worker's side of the gateway.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: Metrics,
    pub(crate) access: Option<AccessLog>,
    /// Borrowed for one message at a time, never across an await.
    pub(crate) transcoder: RefCell<Transcoder>,
    pub(crate) upstreams: Vec<Upstream>,
    methods: HashMap<Box<str>, Rc<MethodRoute>, RandomState>,
    in_flight: Cell<usize>,
    max_in_flight: usize,
}

impl Edge {
    pub(crate) fn new(shared: &Arc<Shared>) -> Rc<Self> {
        let upstreams = shared.options.upstreams.iter().map(|(name, options)| {
            let endpoints = options.endpoints.iter().filter_map(|address| {
                Endpoint::new(address, options, Rc::new(shared.families.endpoint(name, address)))
            });
            Upstream { name: name.clone(), endpoints: endpoints.collect(), next: Cell::new(0) }
        });
        let upstreams: Vec<_> = upstreams.collect();
        Rc::new(Self {
            metrics: shared.families.worker(),
            access: shared.access.as_ref().map(AccessLog::per_worker),
            transcoder: RefCell::new(Transcoder::new()),
            methods: methods(shared, &upstreams),
            upstreams,
            in_flight: Cell::new(0),
            max_in_flight: shared.per_worker(shared.options.limits.requests),
            shared: Arc::clone(shared),
        })
    }

    /// The gRPC method with this path.
    pub(crate) fn method(&self, grpc_path: &str) -> Option<&Rc<MethodRoute>> {
        self.methods.get(grpc_path)
    }

    /// Where a binding is among the router's.
    pub(crate) fn binding_index(&self, binding: &Binding) -> usize {
        let bindings = self.shared.router.bindings();
        bindings.iter().position(|other| std::ptr::eq(other, binding)).unwrap_or(usize::MAX)
    }

    /// Where the calls of a method go.
    pub(crate) fn upstream(&self, method: &MethodRoute) -> Option<&Upstream> {
        self.upstreams.get(method.upstream)
    }

    /// Counts a request as in flight, or says that there are too many.
    pub(crate) fn begin(&self) -> bool {
        let free = self.in_flight.get() < self.max_in_flight;
        if free {
            self.in_flight.set(self.in_flight.get() + 1);
            self.metrics.in_flight.inc();
        }
        free
    }

    /// A request that [`begin`](Self::begin) has counted is over.
    pub(crate) fn end(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.metrics.in_flight.dec();
    }
}

/// The methods of all routed services.
fn methods(shared: &Shared, upstreams: &[Upstream]) -> HashMap<Box<str>, Rc<MethodRoute>, RandomState> {
    let mut methods = HashMap::default();
    for route in &shared.options.routes {
        let upstream = upstreams.iter().position(|upstream| upstream.name == route.upstream);
        let service = shared.schema.services().iter().find(|service| service.name() == route.service);
        let (Some(upstream), Some(service)) = (upstream, service) else { continue };
        for method in service.methods() {
            let Ok(path) = PathAndQuery::try_from(method.grpc_path()) else { continue };
            let name: Box<str> = method.grpc_path().trim_start_matches('/').into();
            let streams = method.client_streaming() || method.server_streaming();
            let timeout = route.timeout.unwrap_or(shared.options.timeouts.request);
            let route = MethodRoute {
                path,
                timeout: (!streams).then_some(timeout),
                metrics: shared.families.method(&name),
                name,
                upstream,
            };
            methods.insert(method.grpc_path().into(), Rc::new(route));
        }
    }
    methods
}
