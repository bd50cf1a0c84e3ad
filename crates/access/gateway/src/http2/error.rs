//! How a call over HTTP/2 fails.

use std::rc::Rc;

use super::frame::{Reason, Violation};

/// Why there is no answer, or no rest of one.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// The upstream reset the stream.
    #[error("the upstream reset the stream: {0}")]
    Reset(Reason),
    /// The upstream has not touched the call, and never will.
    #[error("the connection takes no more calls: {0}")]
    GoAway(Reason),
    /// The upstream broke the protocol within the stream.
    #[error("the upstream broke the protocol: {0}")]
    Malformed(&'static str),
    /// The upstream broke the protocol, which ended the connection.
    #[error("the upstream broke the protocol: {} ({})", .0.what, .0.reason)]
    Violation(Violation),
    /// The connection has ended.
    #[error("the connection broke off: {0}")]
    Broken(Rc<std::io::Error>),
}

impl Error {
    /// The connection has ended as connections do.
    #[cold]
    pub(super) fn closed() -> Self {
        Self::Broken(Rc::new(std::io::ErrorKind::UnexpectedEof.into()))
    }
}
