//! The crate from outside: against prost-reflect as an oracle, and against hostile input.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fixture;
mod hostile;
mod json_mapping;
mod oracle;
mod requests;
mod status;
mod wire;
