//! The built binary from outside: what it says, where it listens, how it ends, and with which exit code.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod check;
mod drain;
mod id;
mod ids;
mod kit;
mod layers;
mod openapi;
mod refusals;
mod reload;
mod saga;
mod store;
mod up;
