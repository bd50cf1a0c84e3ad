//! The messages and services generated from `proto/`, and their descriptors.

/// The encoded `FileDescriptorSet` of everything the shop serves, with its imports and its `google.api.http` bindings:
/// what reflection answers with and what a gateway transcodes by.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.pb"));

/// `shop.v1`: orders, accounts, transfers.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated; proto/shop/v1 documents it"
)]
pub mod shop {
    tonic::include_proto!("shop.v1");
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
