//! What the descriptors and the routes of the configuration say, compiled. It is replaced as a whole when descriptors
//! change; a request keeps the one that it began with until it ends.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_transcode::{Binding, Router, Schema};
use foldhash::fast::RandomState;
use http::uri::PathAndQuery;

use crate::edge::Shared;
use crate::metrics::MethodMetrics;
use crate::upstream::Upstream;

/// The part that all workers have in common. Immutable.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) schema: Schema,
    pub(crate) router: Router,
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
    /// Which of the worker's upstreams.
    pub(crate) upstream: usize,
}

/// One worker's routes: the common part, and the methods with the worker's own metrics.
#[derive(Debug)]
pub(crate) struct Routes {
    compiled: Arc<Compiled>,
    methods: HashMap<Box<str>, Rc<MethodRoute>, RandomState>,
}

impl Routes {
    pub(crate) fn new(compiled: Arc<Compiled>, shared: &Shared, upstreams: &[Upstream]) -> Rc<Self> {
        let mut methods = HashMap::default();
        for route in &shared.options.routes {
            let upstream = upstreams.iter().position(|upstream| upstream.name == route.upstream);
            let (Some(upstream), Some(service)) = (upstream, compiled.schema.service(&route.service)) else {
                continue;
            };
            for method in service.methods() {
                let Ok(path) = PathAndQuery::try_from(method.grpc_path()) else { continue };
                let name: Box<str> = method.grpc_path().trim_start_matches('/').into();
                let streams = method.client_streaming() || method.server_streaming();
                let timeout = route.timeout.unwrap_or(shared.options.timeouts.request);
                let method_route = MethodRoute {
                    path,
                    timeout: (!streams).then_some(timeout),
                    metrics: shared.families.method(&name),
                    name,
                    upstream,
                };
                methods.insert(method.grpc_path().into(), Rc::new(method_route));
            }
        }
        Rc::new(Self { compiled, methods })
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.compiled.schema
    }

    pub(crate) fn router(&self) -> &Router {
        &self.compiled.router
    }

    /// The gRPC method with this path.
    pub(crate) fn method(&self, grpc_path: &str) -> Option<&Rc<MethodRoute>> {
        self.methods.get(grpc_path)
    }

    /// Where a binding is among the router's.
    pub(crate) fn binding_index(&self, binding: &Binding) -> usize {
        let bindings = self.router().bindings();
        bindings.iter().position(|other| std::ptr::eq(other, binding)).unwrap_or(usize::MAX)
    }

    /// The binding at an index.
    pub(crate) fn binding(&self, index: usize) -> Option<&Binding> {
        self.router().bindings().get(index)
    }
}
