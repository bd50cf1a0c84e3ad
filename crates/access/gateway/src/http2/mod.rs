//! HTTP/2 (RFC 9113), both sides of it: towards clients and towards upstreams; no push, no priorities. `docs/adr/0008-http2-client.md` and
//! `docs/adr/0011-http2-server.md` say why it is our own.

mod client;
mod error;
mod fields;
mod flow;
mod frame;
mod hpack;
mod inbox;
mod out;
mod reader;
mod server;

#[cfg(feature = "fuzzing")]
pub(crate) use client::fuzzing;
pub(crate) use client::{Calls, Peer, Receiver, Sender, Sending, open};
pub(crate) use error::Error;
pub(crate) use fields::Fields;
pub(crate) use frame::Reason;
#[cfg(feature = "fuzzing")]
pub(crate) use server::Sent;
pub(crate) use server::serve;

/// Bytes one stream may send us before we have passed them on: bounds what a slow peer makes us hold.
const STREAM_WINDOW: u32 = 256 << 10;

/// Says what we wish.
fn settings(out: &mut out::Out, values: &[(u16, u32)]) {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(name, value)| {
            let [_, _, setting @ ..] = (u64::from(*name) << 32 | u64::from(*value)).to_be_bytes();
            setting
        })
        .collect();
    out.frame(frame::Head::new(0, frame::SETTINGS, 0, 0), &payload);
}
