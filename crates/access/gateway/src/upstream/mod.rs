//! The gRPC servers behind the gateway: connections of this worker, and what is known of their health.

pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod endpoint;
pub(crate) mod gate;
pub(crate) mod health;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crate::metrics::Families;
use crate::options;
use crate::retry::Budget;
use crate::tls::Connector;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::gate::{Gate, Gates};

/// A named set of interchangeable endpoints, as one worker sees it.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    options: options::Upstream,
    tls: Option<Arc<Connector>>,
    pub(crate) endpoints: Vec<Rc<Endpoint>>,
    /// Where the round robin goes on.
    pub(crate) next: Cell<usize>,
    /// Where requests wait for their turn, when it has a bound.
    pub(crate) gate: Option<Rc<Gate>>,
    /// How many retries it may get.
    pub(crate) budget: Budget,
}

impl Upstream {
    /// The upstream as it was `before`, when nothing of it changed; otherwise another one, with the connections to those
    /// endpoints that are still meant.
    pub(crate) fn new(
        name: &str,
        options: &options::Upstream,
        tls: Option<&Arc<Connector>>,
        (families, gates): (&Families, &Gates),
        before: &[Rc<Self>],
    ) -> Rc<Self> {
        let same_tls = |before: &&Rc<Self>| before.tls.as_ref().map(Arc::as_ptr) == tls.map(Arc::as_ptr);
        let before = before.iter().find(|upstream| upstream.name == name).filter(same_tls);
        if let Some(same) = before.filter(|before| before.options == *options) {
            return Rc::clone(same);
        }
        let endpoint = |address: &String| {
            let known = before.filter(|before| before.options.connects_like(options)).and_then(|before| {
                before.endpoints.iter().find(|endpoint| endpoint.address() == address).cloned()
            });
            known.or_else(|| {
                Endpoint::new(address, options, tls.cloned(), Rc::new(families.endpoint(name, address)))
            })
        };
        let endpoints = options.endpoints.iter().filter_map(endpoint).collect();
        let budget = Budget::new(families.retries(name));
        let gate = gates.gate(name, options, families);
        let (name, options, tls) = (name.to_owned(), options.clone(), tls.cloned());
        Rc::new(Self { name, options, tls, endpoints, next: Cell::new(0), gate, budget })
    }
}
