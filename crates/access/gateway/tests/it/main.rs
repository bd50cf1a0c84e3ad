//! The gateway between real sockets: a client on one side, a scripted gRPC server on the other.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod backend;
mod grpc;
mod hostile;
mod http;
mod lifecycle;
mod setup;
mod transcoded;
