//! What a route may choose about its JSON, and the limits every message is held to.

/// Which fields that a message does not have are printed all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Defaults {
    /// None: canonical proto3 JSON.
    #[default]
    Omit,
    /// Fields without presence, with their default values: `0`, `""`, `[]`, `{}`.
    Print,
    /// The same; and fields with presence as `null`: messages, and the scalars of proto2 and editions. Members of a
    /// oneof, `optional` fields of proto3 and extensions are left out (Go's `EmitUnpopulated`).
    PrintNull,
}

/// The JSON conventions and the limits of a route. The default is canonical proto3 JSON, refusing what is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the JSON mapping")]
pub struct Options {
    /// Print fields under their proto names (`user_id`) instead of their JSON names (`userId`). Both are always read.
    pub proto_names: bool,
    /// Print fields that the message does not have.
    pub defaults: Defaults,
    /// Print enum values as numbers.
    pub enum_numbers: bool,
    /// Skip JSON fields (and names of enum values) that the message does not have, instead of refusing them.
    pub ignore_unknown: bool,
    /// Skip query parameters that name nothing a parameter can set (unknown fields, maps, messages, what is in the
    /// body), instead of refusing them. A value that does not fit its field is refused all the same.
    pub ignore_unknown_query: bool,
    /// Query parameters that are always skipped, by the name a client writes, such as `key`.
    pub ignored_query: Vec<String>,
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
            defaults: Defaults::Omit,
            enum_numbers: false,
            ignore_unknown: false,
            ignore_unknown_query: false,
            ignored_query: Vec::new(),
            depth: 100,
            elements: 262_144,
            output_bytes: 64 << 20,
        }
    }
}

/// Depth costs stack: about half a kilobyte a level.
pub(crate) const MAX_DEPTH: u32 = 200;

impl Options {
    pub(crate) fn depth(&self) -> u32 {
        self.depth.min(MAX_DEPTH)
    }
}
