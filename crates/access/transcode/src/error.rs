//! Why a message could not be transcoded, whose fault that is, and where in the input it went wrong.

use std::fmt;

use crate::status::Code;

/// What kind of fault it was; the metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The path or the query string is malformed (percent-encoding, UTF-8).
    Url,
    /// The body is not JSON as RFC 8259 has it, or not UTF-8.
    Syntax,
    /// A value does not fit its field: wrong type, out of range, malformed timestamp.
    Value,
    /// A field, query parameter or `@type` that the schema does not have.
    Unknown,
    /// A key, singular parameter or oneof given twice.
    Duplicate,
    /// Nesting, element count or output size beyond the [`Options`](crate::Options).
    Limit,
    /// The upstream's protobuf bytes are malformed, or cannot be said in JSON.
    Upstream,
}

impl ErrorKind {
    /// A short stable name, for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Url => "url",
            ErrorKind::Syntax => "syntax",
            ErrorKind::Value => "value",
            ErrorKind::Unknown => "unknown",
            ErrorKind::Duplicate => "duplicate",
            ErrorKind::Limit => "limit",
            ErrorKind::Upstream => "upstream",
        }
    }
}

/// Characters of a name from outside that an error shows; of a value there are fewer.
const NAME: usize = 100;
const VALUE: usize = 40;

/// A name from outside (a key, a type URL) for an error: cut to a length that can be read.
#[cold]
pub(crate) fn shown_name(bytes: &[u8]) -> String {
    cut(bytes, NAME)
}

/// The same for a value.
#[cold]
pub(crate) fn shown_value(bytes: &[u8]) -> String {
    cut(bytes, VALUE)
}

fn cut(bytes: &[u8], most: usize) -> String {
    // Whatever the characters, this is more than enough of them.
    let text = String::from_utf8_lossy(bytes.get(..4 * (most + 1)).unwrap_or(bytes));
    match text.char_indices().nth(most) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text.into_owned(),
    }
}

/// A refusal, with words a client can act on. `Display` is the whole message:
/// `items[1].priceCents: expected an int64, found "x" (at byte 57)`.
///
/// One pointer wide, so that the happy path pays nothing for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscodeError(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    message: String,
    /// Path of the field or name of the parameter; empty when unknown.
    field: String,
    offset: Option<usize>,
}

impl TranscodeError {
    /// Made where the fault is seen; the field path is added while the stack unwinds.
    #[cold]
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        TranscodeError(Box::new(Inner { kind, message: message.into(), field: String::new(), offset: None }))
    }

    /// The same, at a byte of the body.
    #[cold]
    pub(crate) fn at(kind: ErrorKind, offset: usize, message: impl Into<String>) -> Self {
        let mut error = Self::new(kind, message);
        error.0.offset = Some(offset);
        error
    }

    /// Puts an outer field name in front of the path: `priceCents` becomes `items.priceCents`.
    #[cold]
    pub(crate) fn in_field(mut self, name: &str) -> Self {
        let inner = &mut self.0;
        if !inner.field.is_empty() && !inner.field.starts_with('[') {
            inner.field.insert(0, '.');
        }
        inner.field.insert_str(0, name);
        self
    }

    /// Puts an index in front of the path: `priceCents` becomes `[1].priceCents`.
    #[cold]
    pub(crate) fn in_index(self, index: impl fmt::Display) -> Self {
        self.in_field(&format!("[{index}]"))
    }

    /// The same for an element of a stream: moves the byte at fault by the `base` where the element begins.
    #[must_use]
    pub fn shifted(mut self, base: usize) -> Self {
        self.0.offset = self.0.offset.map(|offset| offset.saturating_add(base));
        self
    }

    /// What kind of fault it was.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was wrong, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The field (`items[1].priceCents`) or query parameter at fault, when one is.
    pub fn field(&self) -> Option<&str> {
        (!self.0.field.is_empty()).then_some(self.0.field.as_str())
    }

    /// The byte of the body (or of the wire message) at fault, when one is.
    pub fn offset(&self) -> Option<usize> {
        self.0.offset
    }

    /// The gRPC code to answer with: the client's faults are INVALID_ARGUMENT (400), the upstream's INTERNAL (500).
    pub fn code(&self) -> Code {
        match self.0.kind {
            ErrorKind::Upstream => Code::Internal,
            _ => Code::InvalidArgument,
        }
    }
}

impl fmt::Display for TranscodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.field.is_empty() {
            write!(f, "{}: ", self.0.field)?;
        }
        f.write_str(&self.0.message)?;
        match self.0.offset {
            Some(offset) => write!(f, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TranscodeError {}

#[cfg(test)]
mod tests {
    use super::{shown_name, shown_value};

    #[test]
    fn what_is_shown_is_cut_between_characters() {
        assert_eq!(shown_value(b"short"), "short");
        assert_eq!(shown_value(&[b'a'; 40]), "a".repeat(40));
        assert_eq!(shown_value(&[b'a'; 41]), "a".repeat(40) + "…");
        assert_eq!(shown_name("\u{1f600}".repeat(5000).as_bytes()), "\u{1f600}".repeat(100) + "…");
        assert_eq!(shown_value(b"a\xff"), "a\u{fffd}");
    }
}
