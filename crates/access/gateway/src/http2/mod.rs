//! HTTP/2 towards upstreams (RFC 9113), the client's side of it and no more than the gateway needs: no push, no priorities.
//! hyper has the server's side. `docs/adr/0008-http2-client.md` says why it is our own.
//!
//! One task drives a connection, and the requests of its worker share it without a lock: a call is encoded into the buffer that
//! the driver writes next, so that one write carries the calls, messages and window updates of all requests of a turn.

mod connection;
mod driver;
mod error;
mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod hpack;
mod out;
mod reader;
mod stream;

#[cfg(test)]
mod tests;

pub(crate) use connection::{Peer, Sending};
pub(crate) use driver::{Calls, open};
pub(crate) use error::Error;
pub(crate) use frame::Reason;
pub(crate) use stream::{Receiver, Sender};

/// Bytes one stream may send us before we have passed them on: bounds what a slow client makes us hold.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all streams of a connection together: as much as there can be. With less, the streams of one client that does
/// not read would use it up, and nothing would come for all others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Bytes of headers and trailers of one answer, by HPACK's reckoning.
const HEADER_LIST: u32 = 64 << 10;
