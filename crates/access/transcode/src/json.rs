//! A strict RFC 8259 reader over bytes: no value tree, no copies, every refusal with its place.

pub(crate) mod escape;
pub(crate) mod number;
mod reader;
#[cfg(test)]
mod tests;

pub(crate) use reader::{Reader, Text};
