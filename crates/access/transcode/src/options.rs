//! What a route may choose about its JSON, and the limits every message is held to.

/// The JSON conventions and the limits of a route. The default is canonical proto3 JSON, refusing unknown fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the JSON mapping")]
pub struct Options {
    /// Print fields under their proto names (`user_id`) instead of their JSON names (`userId`). Both are always read.
    pub proto_names: bool,
    /// Print fields without presence even when they hold their default value.
    pub print_defaults: bool,
    /// Print enum values as numbers.
    pub enum_numbers: bool,
    /// Skip JSON fields (and query parameters) that the message does not have, instead of refusing them.
    pub ignore_unknown: bool,
    /// Nesting of messages, arrays and groups, in both directions. At most 200 is honoured.
    pub depth: u32,
    /// Array elements and map entries of one message, all levels together, in both directions.
    pub elements: u32,
    /// Bytes that one message may grow to in its output form.
    pub output_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            proto_names: false,
            print_defaults: false,
            enum_numbers: false,
            ignore_unknown: false,
            depth: 100,
            elements: 262_144,
            output_bytes: 64 << 20,
        }
    }
}

/// Depth costs stack: about half a kilobyte a level.
const MAX_DEPTH: u32 = 200;

impl Options {
    pub(crate) fn depth(&self) -> u32 {
        self.depth.min(MAX_DEPTH)
    }
}
