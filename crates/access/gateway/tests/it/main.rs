//! The gateway between real sockets: a client on one side, a scripted gRPC server on the other.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod access_log;
mod admit;
mod auth;
mod backend;
mod closing;
mod compat;
mod compression;
mod cors;
mod descriptors;
mod docs;
mod grpc;
mod grpc_web;
mod h2spec;
mod hostile;
mod http;
mod http1;
mod http2_hostile;
mod key_sets;
mod lifecycle;
mod limit;
mod normalize;
mod pki;
mod raw;
mod raw_http2;
mod reflector;
mod reload;
mod retries;
mod setup;
mod streams;
mod tls;
mod tls_upstream;
mod transcoded;
mod uploads;
