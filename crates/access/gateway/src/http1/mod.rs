//! HTTP/1.1 (RFC 9112), strictly: the server's side of a connection, whatever carries its bytes. `docs/adr/0005-http1-codec.md`
//! says why it is our own.

mod body;
mod chunked;
mod connection;
mod fields;
mod head;
mod progress;
mod scan;
mod socket;
mod syntax;
mod write;

use http::{Request, Response};

use crate::body::Body;
use crate::reject::Reject;

pub(crate) use self::body::Incoming;
pub(crate) use self::connection::{Host, grace, serve};
pub(crate) use self::syntax::is_authority;

/// Who answers the requests of a connection.
pub(crate) trait Service {
    /// Answers a request.
    fn call(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>>;
    /// Answers one whose head is refused; of the request there is as much as was understood.
    fn refuse(&self, request: Request<()>, reject: Reject) -> Response<Body>;
}
