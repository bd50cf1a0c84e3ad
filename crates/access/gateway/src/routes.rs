//! The configuration in use, its descriptors and routes compiled. It is replaced as a whole when a part of it changes; a
//! request keeps the one that it began with until it ends.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_transcode::{Binding, Router, Schema};
use foldhash::fast::RandomState;
use http::uri::PathAndQuery;

use crate::auth::Authenticator;
use crate::descriptors::Sets;
use crate::edge::Shared;
use crate::metrics::MethodMetrics;
use crate::options::{Compat, Options, Route};
use crate::retry::Policy;
use crate::stage::limit::{Limit, Table};
use crate::tls::Active;
use crate::upstream::Upstream;

/// The part that all workers have in common. Immutable.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) options: Arc<Options>,
    /// What the sources of the descriptors had told when the schema was made of it.
    pub(crate) sets: Sets,
    pub(crate) schema: Schema,
    pub(crate) router: Router,
    pub(crate) tls: Arc<Active>,
    pub(crate) auth: Arc<Authenticator>,
    /// In the order of the options.
    pub(crate) limits: Vec<Arc<Table>>,
    unread: Box<[Unread]>,
}

/// A service of which nothing is known until the upstream has told by reflection.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) service: String,
    pub(crate) upstream: String,
}

impl Compiled {
    /// A route whose service is not in the schema is one whose descriptors have not been read yet.
    pub(crate) fn new(
        options: Arc<Options>,
        sets: Sets,
        (schema, router): (Schema, Router),
        (tls, auth, limits): (Arc<Active>, Arc<Authenticator>, Vec<Arc<Table>>),
    ) -> Self {
        let unread = options.routes.iter().filter(|route| schema.service(&route.service).is_none());
        let unread = unread
            .map(|route| Unread { service: route.service.clone(), upstream: route.upstream.clone() })
            .collect();
        Self { options, sets, schema, router, tls, auth, limits, unread }
    }
}

/// A gRPC method and where its calls go.
#[derive(Debug)]
pub(crate) struct MethodRoute {
    /// `shop.v1.OrderService/GetOrder`, as in the metrics.
    pub(crate) name: Box<str>,
    /// The `:path` of a call.
    pub(crate) path: PathAndQuery,
    /// Whether either side is a stream.
    pub(crate) streams: bool,
    /// The default deadline; streams have none.
    pub(crate) timeout: Option<Duration>,
    /// The longest deadline a client may ask for.
    pub(crate) max_timeout: Duration,
    pub(crate) retries: Policy,
    pub(crate) metrics: MethodMetrics,
    /// What the configuration says of its service.
    pub(crate) route: Rc<Route>,
    pub(crate) upstream: Rc<Upstream>,
    /// The rate limits that hold for it, in their order.
    pub(crate) limits: Box<[Rc<Limit>]>,
}

/// One worker's routes: the common part, and the methods with the worker's own metrics and connections.
#[derive(Debug)]
pub(crate) struct Routes {
    compiled: Arc<Compiled>,
    upstreams: Vec<Rc<Upstream>>,
    methods: HashMap<Box<str>, Rc<MethodRoute>, RandomState>,
    by_binding: Vec<Option<Rc<MethodRoute>>>,
    /// Whether a route follows grpc-gateway's conventions, some of which concern finding it.
    any_compat: bool,
    max_in_flight: usize,
}

impl Routes {
    /// Upstreams that are as they were `before` keep their connections.
    pub(crate) fn new(compiled: Arc<Compiled>, shared: &Shared, before: &[Rc<Upstream>]) -> Rc<Self> {
        let families = &shared.families;
        let options = &compiled.options;
        let upstreams: Vec<_> = options
            .upstreams
            .iter()
            .map(|(name, options)| {
                let tls = compiled.tls.connector(name);
                Upstream::new(name, options, tls, (families, &shared.gates), before)
            })
            .collect();
        let mut methods: HashMap<Box<str>, Rc<MethodRoute>, RandomState> = HashMap::default();
        let limit = |table: &Arc<Table>| {
            let metrics = families.limit(&table.options().name);
            Rc::new(Limit { table: Arc::clone(table), metrics })
        };
        let limits: Vec<_> = compiled.limits.iter().map(limit).collect();
        for route in &options.routes {
            let upstream = upstreams.iter().find(|upstream| upstream.name == route.upstream);
            let (Some(upstream), Some(service)) = (upstream, compiled.schema.service(&route.service)) else {
                continue;
            };
            let route = Rc::new(route.clone());
            for method in service.methods() {
                let Ok(path) = PathAndQuery::try_from(method.grpc_path()) else { continue };
                let name: Box<str> = method.grpc_path().trim_start_matches('/').into();
                let named = name.rsplit('/').next().unwrap_or_default();
                let idempotent = method.idempotent() || route.retries.idempotent.iter().any(|it| it == named);
                let streams = method.client_streaming() || method.server_streaming();
                let timeout = route.timeout.unwrap_or(options.timeouts.request);
                let holds = |limit: &&Rc<Limit>| limit.table.options().holds_for(&name);
                let method_route = MethodRoute {
                    limits: limits.iter().filter(holds).cloned().collect(),
                    path,
                    streams,
                    timeout: (!streams).then_some(timeout),
                    max_timeout: route.max_timeout.unwrap_or(options.timeouts.max_request),
                    retries: Policy::new(&route.retries, idempotent, options),
                    metrics: families.method(&name),
                    name,
                    route: Rc::clone(&route),
                    upstream: Rc::clone(upstream),
                };
                methods.insert(method.grpc_path().into(), Rc::new(method_route));
            }
        }
        let any_compat = options.routes.iter().any(|route| route.compat == Compat::GrpcGateway);
        let bindings = compiled.router.bindings().iter();
        let by_binding = bindings.map(|binding| methods.get(binding.grpc_path()).cloned()).collect();
        let max_in_flight = options.per_worker(options.limits.requests);
        Rc::new(Self { compiled, upstreams, methods, by_binding, any_compat, max_in_flight })
    }

    pub(crate) fn options(&self) -> &Arc<Options> {
        &self.compiled.options
    }

    pub(crate) fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    pub(crate) fn upstreams(&self) -> &[Rc<Upstream>] {
        &self.upstreams
    }

    /// The upstream of this name.
    pub(crate) fn upstream(&self, name: &str) -> Option<&Rc<Upstream>> {
        self.upstreams.iter().find(|upstream| upstream.name == name)
    }

    /// Requests that one worker may have in flight.
    pub(crate) fn max_in_flight(&self) -> usize {
        self.max_in_flight
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.compiled.schema
    }

    pub(crate) fn router(&self) -> &Router {
        &self.compiled.router
    }

    /// Services whose methods and bindings are not known yet.
    pub(crate) fn unread(&self) -> &[Unread] {
        &self.compiled.unread
    }

    /// The gRPC method with this path.
    pub(crate) fn method(&self, grpc_path: &str) -> Option<&Rc<MethodRoute>> {
        self.methods.get(grpc_path)
    }

    pub(crate) fn any_compat(&self) -> bool {
        self.any_compat
    }

    /// The method of a binding of this router.
    pub(crate) fn method_of(&self, binding: &Binding) -> Option<&Rc<MethodRoute>> {
        self.by_binding.get(binding.index())?.as_ref()
    }

    /// The binding at an index.
    pub(crate) fn binding(&self, index: usize) -> Option<&Binding> {
        self.router().bindings().get(index)
    }
}
