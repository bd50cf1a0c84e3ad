//! Rows as bytes.

/// Turns rows into the bytes that lie in the second level, and back.
pub trait Codec<V>: Send + Sync + 'static {
    /// The bytes of a row.
    fn encode(&self, value: &V) -> Vec<u8>;

    /// The row; `None` when the bytes are none: a row that an earlier release wrote in another form. Such an entry counts as a miss,
    /// and goes.
    fn decode(&self, bytes: Vec<u8>) -> Option<V>;
}

/// Rows that are bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Codec<Vec<u8>> for Plain {
    fn encode(&self, value: &Vec<u8>) -> Vec<u8> {
        value.clone()
    }

    fn decode(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        Some(bytes)
    }
}
