//! The crate from outside: against prost-reflect as an oracle, and against hostile input.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bodies;
mod compare;
mod editions;
mod fixture;
mod hostile;
mod json_mapping;
mod limits;
mod oracle;
mod parameters;
mod patch;
mod printing;
mod raw;
mod requests;
mod required;
mod rules;
mod shadows;
mod status;
mod templates;
mod wire;
