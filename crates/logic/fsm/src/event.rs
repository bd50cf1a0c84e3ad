//! Event ids: what makes a transition idempotent.

use std::fmt;

/// A caller's name for one event, unique per entity: 1 to 64 bytes, compared as bytes.
///
/// Held inline, so that an event id costs no allocation on its way to the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    len: u8,
    bytes: [u8; Self::MAX_LEN],
}

impl EventId {
    /// The greatest length in bytes.
    pub const MAX_LEN: usize = 64;

    /// An id of these bytes; `None` when there are none or more than [`EventId::MAX_LEN`].
    pub fn new(id: impl AsRef<[u8]>) -> Option<Self> {
        let id = id.as_ref();
        let len =
            u8::try_from(id.len()).ok().filter(|len| (1..=Self::MAX_LEN).contains(&usize::from(*len)))?;
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..id.len()].copy_from_slice(id);
        Some(Self { len, bytes })
    }

    /// The bytes it was made of.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({})", self.as_bytes().escape_ascii())
    }
}

/// What a store keeps under an entity's key and an event id: which event it was, and the version it led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// The code of the event.
    pub event: u8,
    /// The version after the event.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_1_to_64_bytes() {
        assert_eq!(EventId::new(""), None);
        assert_eq!(EventId::new([7; 65]), None);
        for len in [1, 36, 64] {
            let bytes = vec![b'x'; len];
            assert_eq!(EventId::new(&bytes).unwrap().as_bytes(), bytes);
        }
        assert_ne!(EventId::new("a"), EventId::new("a\0"), "padding is not part of the id");
    }
}
