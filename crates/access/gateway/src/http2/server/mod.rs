//! The server's side, towards clients: strict, and bounded in whatever a client may make it hold or do.
//!
//! One task serves a connection, the work of its requests included: what a request waits for rings its bell ([`bell`]), and only those
//! that rang are polled. What comes of a turn goes out in one write: heads, messages, trailers and window updates of all requests.

mod bell;
mod budget;
mod connection;
mod driver;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod incoming;
mod receive;
mod request;
mod stream;
mod task;
mod watch;

#[cfg(test)]
mod tests;

pub(crate) use driver::serve;
#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::Sent;

/// Bytes that a client may send on all streams of a connection before we have read them.
const CONNECTION_WINDOW: u32 = 1 << 20;
