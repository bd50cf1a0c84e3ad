//! What the requests of a worker share: the compiled configuration, which all workers have in common, and the worker's
//! own upstream connections, routes and scratch memory.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use aqueduct_telemetry::access::AccessLog;
use aqueduct_telemetry::health::Health;
use aqueduct_transcode::Transcoder;
use tokio::sync::watch;

use crate::metrics::{Families, Metrics};
use crate::options::Options;
use crate::routes::{Compiled, MethodRoute, Routes};
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// The part that all workers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// The newest routes; every worker follows it.
    pub(crate) compiled: watch::Sender<Arc<Compiled>>,
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
        let compiled = watch::Sender::new(Arc::new(compiled));
        Arc::new(Self { options, compiled, families, access, health })
    }

    /// The share of a bound that one worker may use; at least one.
    pub(crate) fn per_worker(&self, bound: usize) -> usize {
        bound.div_ceil(self.options.worker_count()).max(1)
    }
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
    routes: RefCell<Rc<Routes>>,
    newest: RefCell<watch::Receiver<Arc<Compiled>>>,
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
        let newest = shared.compiled.subscribe();
        let compiled = Arc::clone(&newest.borrow());
        Rc::new(Self {
            metrics: shared.families.worker(),
            access: shared.access.as_ref().map(AccessLog::per_worker),
            transcoder: RefCell::new(Transcoder::new()),
            routes: RefCell::new(Routes::new(compiled, shared, &upstreams)),
            newest: RefCell::new(newest),
            upstreams,
            in_flight: Cell::new(0),
            max_in_flight: shared.per_worker(shared.options.limits.requests),
            shared: Arc::clone(shared),
        })
    }

    /// The routes of a request that begins now: the newest there are, whether or not the worker has been woken to take
    /// them up. Whoever has heard that they are in use must find them.
    pub(crate) fn routes(&self) -> Rc<Routes> {
        let is_new = self.newest.borrow().has_changed().unwrap_or(false);
        if is_new {
            let compiled = Arc::clone(&self.newest.borrow_mut().borrow_and_update());
            self.routes.replace(Routes::new(compiled, &self.shared, &self.upstreams));
        }
        Rc::clone(&self.routes.borrow())
    }

    /// Takes up new routes even when there is no request, so that the old ones are not kept.
    pub(crate) async fn follow_routes(self: Rc<Self>) {
        let mut newest = self.shared.compiled.subscribe();
        // What has come between the start and now counts as new.
        newest.mark_changed();
        while newest.changed().await.is_ok() {
            drop(self.routes());
        }
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
