//! What a connection is served with, whichever HTTP codec reads it.

use std::rc::Rc;

use aqueduct_runtime::drain::Drain;
use http::{Request, Response};

use crate::body::Body;
use crate::client::Client;
use crate::options::{Limits, Timeouts};
use crate::reject::Reject;

/// Who answers the requests of a connection, whose bodies are of the codec's kind.
pub(crate) trait Service<B> {
    /// Answers a request.
    fn call(&self, request: Request<B>) -> impl Future<Output = Response<Body>>;
    /// Answers one whose head is refused; of the request there is as much as was understood.
    fn refuse(&self, request: Request<()>, reject: Reject) -> Response<Body>;
}

/// What a connection is served with.
#[derive(Debug)]
pub(crate) struct Host<'h, S> {
    pub(crate) service: S,
    pub(crate) client: &'h Rc<Client>,
    pub(crate) limits: &'h Limits,
    pub(crate) times: &'h Timeouts,
    pub(crate) drain: &'h Drain,
}
