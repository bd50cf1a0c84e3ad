//! The messages and services generated from `proto/`, and their descriptors.

/// The encoded `FileDescriptorSet` of everything that is served, with its imports and its `google.api.http` bindings: what
/// reflection answers with and what a gateway transcodes by.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.pb"));

/// `aqueduct.ids.v1`: IDs.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated; proto/aqueduct/ids/v1 documents it"
)]
pub mod ids {
    tonic::include_proto!("aqueduct.ids.v1");
}

/// `grpc.health.v1`: the health checking protocol, with `List`.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated; proto/grpc/health/v1 documents it"
)]
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}
