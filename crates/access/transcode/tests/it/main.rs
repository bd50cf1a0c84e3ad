//! The crate from outside: against prost-reflect as an oracle, and against hostile input.

mod fixture;
mod oracle;
