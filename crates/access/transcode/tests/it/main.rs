//! The crate from outside: against prost-reflect as an oracle, and against hostile input.

#![expect(clippy::unwrap_used, reason = "what is built here must be right")]

mod fixture;
mod hostile;
mod json_mapping;
mod oracle;
mod requests;
mod status;
mod wire;
