//! What a connection is served with, whichever HTTP codec reads it.

use std::rc::Rc;

use aqueduct_runtime::drain::Drain;
use http::{Request, Response, Version};

use crate::body::Body;
use crate::client::Client;
use crate::http1;
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

impl<S> Host<'_, S> {
    /// Tells the service of something over HTTP/2 that is refused, and has no answer but a reset.
    #[cold]
    pub(crate) fn refused<B>(&self, reject: Reject)
    where
        S: Service<B>,
    {
        let mut request = http1::unknown();
        *request.version_mut() = Version::HTTP_2;
        drop(self.service.refuse(request, reject));
    }
}
