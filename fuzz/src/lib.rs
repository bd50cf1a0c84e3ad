//! What the parsers of outside bytes promise, as functions over arbitrary bytes that panic when a promise is broken.
//!
//! `cargo xtask fuzz` gives them to libFuzzer; `tests/corpus.rs` replays the inputs in `corpus/`, those that once
//! broke something among them, with every run of the tests.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a broken promise is told by a panic, which libFuzzer and the tests both catch"
)]

mod binlog;
mod feed;
mod fixture;
mod json_to_wire;
mod l2;
mod query;
mod splitter;
mod status;
mod template;
mod token;
mod wire_to_json;

#[path = "../../crates/access/transcode/tests/it/compare.rs"]
mod compare;

pub use aqueduct_gateway::fuzzing::{gateway, http1, http2, http2_server};
pub use aqueduct_saga_server::fuzzing::submission;
pub use binlog::binlog;
pub use feed::feed;
pub use json_to_wire::json_to_wire;
pub use l2::l2;
pub use query::query;
pub use splitter::splitter;
pub use status::status;
pub use template::template;
pub use token::token;
pub use wire_to_json::wire_to_json;

/// A promise, checked on one input.
pub type Check = fn(&[u8]);

/// Every target by the name of its program and its folder in `corpus/`.
pub const TARGETS: [(&str, Check); 15] = [
    ("json_to_wire", json_to_wire),
    ("wire_to_json", wire_to_json),
    ("template", template),
    ("query", query),
    ("splitter", splitter),
    ("gateway", gateway),
    ("status", status),
    ("http1", http1),
    ("http2", http2),
    ("http2_server", http2_server),
    ("token", token),
    ("binlog", binlog),
    ("feed", feed),
    ("l2", l2),
    ("submission", submission),
];
