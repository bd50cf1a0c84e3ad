//! The client's side, towards upstreams: no more of it than gRPC needs.
//!
//! One task drives a connection, and the requests of its worker share it without a lock: a call is encoded into the buffer that
//! the driver writes next, so that one write carries the calls, messages and window updates of all requests of a turn.

mod call;
mod connection;
mod driver;

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;

pub(crate) use call::{Receiver, Sender};
pub(crate) use connection::{Peer, Sending};
pub(crate) use driver::{Calls, open};

/// What an upstream may send on all streams of a connection together before we have read it: as much as there can be. With less, the
/// streams of one client that does not read would use it up, and nothing would come for all others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Bytes of headers and trailers of one answer, by HPACK's reckoning.
const HEADER_LIST: u32 = 64 << 10;
