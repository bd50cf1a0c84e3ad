//! The saga coordinator for clients and participants in any language: over HTTP+JSON and gRPC, on one port.
//!
//! A [`Server`] answers clients and operators about a [`Coordinator`](aqueduct_saga::Coordinator), and a [`Caller`] carries that one's
//! calls to the participants. What the engine promises is in `aqueduct-saga`; here is the contract around it, of which
//! `docs/saga.md` tells.
//!
//! The way of a submission: `server` → `http` or `grpc` → `submission` (what it must look like) → `app`; the way of a call: `call`.

mod app;
mod call;
mod canonical;
mod context;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grpc;
mod http;
mod metrics;
mod operator;
pub mod proto;
mod refuse;
mod server;
mod show;
mod submission;
mod target;

pub use call::{CONNECTIONS, Caller};
pub use metrics::collect;
pub use operator::{Decision, Operator};
pub use server::Server;
