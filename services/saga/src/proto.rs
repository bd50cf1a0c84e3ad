//! The messages and services generated from `proto/aqueduct/saga/v1`, and their descriptors.

/// The encoded `FileDescriptorSet`, which reflection answers with.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.pb"));

/// `aqueduct.saga.v1`.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated; proto/aqueduct/saga/v1 documents it"
)]
mod generated {
    tonic::include_proto!("aqueduct.saga.v1");
}

pub use generated::*;
