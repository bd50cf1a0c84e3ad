//! The gRPC servers behind the gateway: connections of this worker, and what is known of their health.

pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod endpoint;
pub(crate) mod health;

use std::cell::Cell;
use std::rc::Rc;

use crate::upstream::endpoint::Endpoint;

/// A named set of interchangeable endpoints, as one worker sees it.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) endpoints: Vec<Rc<Endpoint>>,
    /// Where the round robin goes on.
    pub(crate) next: Cell<usize>,
}
