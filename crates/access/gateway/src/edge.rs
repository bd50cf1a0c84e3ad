//! What the requests of a worker share: the configuration in use, which all workers have in common, and the worker's
//! own routes, upstream connections and scratch memory.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use aqueduct_telemetry::access::AccessLog;
use aqueduct_telemetry::health::Health;
use aqueduct_transcode::Transcoder;
use tokio::sync::watch;

use crate::addresses::Addresses;
use crate::auth::Tokens;
use crate::closing::Closing;
use crate::compress;
use crate::exchange::MEASURED;
use crate::handshakes::Handshakes;
use crate::metrics::{Families, Metrics};
use crate::options::Options;
use crate::places::Places;
use crate::routes::{Compiled, Routes};
use crate::upstream::gate::Gates;

/// The part that all workers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The newest configuration; every worker follows it.
    pub(crate) compiled: watch::Sender<Arc<Compiled>>,
    pub(crate) families: Families,
    pub(crate) gates: Gates,
    pub(crate) access: Option<AccessLog>,
    pub(crate) health: Health,
    pub(crate) addresses: Addresses,
}

impl Shared {
    pub(crate) fn new(
        compiled: Compiled,
        families: Families,
        access: Option<AccessLog>,
        health: Health,
    ) -> Arc<Self> {
        let compiled = watch::Sender::new(Arc::new(compiled));
        let (gates, addresses) = (Gates::default(), Addresses::default());
        Arc::new(Self { compiled, families, gates, access, health, addresses })
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
    pub(crate) compress: Rc<compress::Worker>,
    /// Borrowed while one token is judged.
    pub(crate) tokens: RefCell<Tokens>,
    routes: RefCell<Rc<Routes>>,
    newest: RefCell<watch::Receiver<Arc<Compiled>>>,
    in_flight: Cell<usize>,
    /// Requests since the last one whose stages were measured.
    unmeasured: Cell<u8>,
    pub(crate) handshakes: Handshakes,
    pub(crate) places: Places,
    pub(crate) closing: Arc<Closing>,
}

impl Edge {
    pub(crate) fn new(shared: &Arc<Shared>, closing: Arc<Closing>) -> Rc<Self> {
        let newest = shared.compiled.subscribe();
        let compiled = Arc::clone(&newest.borrow());
        let handshakes = compiled.options.per_worker(compiled.options.limits.handshakes);
        Rc::new(Self {
            metrics: shared.families.worker(),
            access: shared.access.as_ref().map(AccessLog::per_worker),
            transcoder: RefCell::new(Transcoder::new()),
            compress: Rc::default(),
            tokens: RefCell::default(),
            routes: RefCell::new(Routes::new(compiled, shared, &[])),
            newest: RefCell::new(newest),
            in_flight: Cell::new(0),
            unmeasured: Cell::new(0),
            handshakes: Handshakes::new(handshakes),
            places: Places::default(),
            closing,
            shared: Arc::clone(shared),
        })
    }

    /// The routes of a request that begins now: the newest there are, whether or not the worker has been woken to take
    /// them up. Whoever has heard that they are in use must find them.
    pub(crate) fn routes(&self) -> Rc<Routes> {
        let is_new = self.newest.borrow().has_changed().unwrap_or(false);
        if is_new {
            let compiled = Arc::clone(&self.newest.borrow_mut().borrow_and_update());
            self.handshakes.bound(compiled.options.per_worker(compiled.options.limits.handshakes));
            let newer = Routes::new(compiled, &self.shared, self.routes.borrow().upstreams());
            self.routes.replace(newer);
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
            self.places.look_again();
        }
    }

    /// The configuration of what begins now. A request reads that of the routes which it began with.
    pub(crate) fn options(&self) -> Arc<Options> {
        Arc::clone(self.routes().options())
    }

    /// Whether the stages of the request that begins are measured.
    pub(crate) fn measures_stages(&self) -> bool {
        let before = self.unmeasured.get();
        self.unmeasured.set((before + 1) % MEASURED);
        before == 0
    }

    /// Counts a request as in flight, or says that there are too many.
    pub(crate) fn begin(&self) -> bool {
        let free = self.in_flight.get() < self.routes.borrow().max_in_flight();
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
