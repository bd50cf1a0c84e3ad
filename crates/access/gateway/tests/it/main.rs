//! The gateway between real sockets: a client on one side, a scripted gRPC server on the other.
#![expect(missing_docs, reason = "tests")]

mod backend;
mod grpc;
mod hostile;
mod http;
mod lifecycle;
mod setup;
mod transcoded;
