//! The message as prost's types, with pbjson's JSON.
#![expect(
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated; bench/proto documents it"
)]

include!(concat!(env!("OUT_DIR"), "/bench.v1.rs"));
include!(concat!(env!("OUT_DIR"), "/bench.v1.serde.rs"));
