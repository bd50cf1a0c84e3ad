//! The name of a saga, which its client chooses.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A saga's id: 1 to 128 visible ASCII characters, chosen by the client, so that it fits a header, a URL and a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SagaId(Arc<str>);

/// The most bytes of an id and of a step's name.
pub(crate) const MOST_NAME: usize = 128;

/// Text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a saga's id has 1 to 128 visible ASCII characters")]
pub struct InvalidId;

impl SagaId {
    /// The id, when `text` can be one.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidId> {
        let text = text.into();
        if is_name(&text) { Ok(Self(text)) } else { Err(InvalidId) }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What ids and names of steps have in common.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=MOST_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl FromStr for SagaId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidId, SagaId};

    #[test]
    fn what_is_an_id() {
        for good in ["a", "transfer:42", "0b0e2d8e-4c1b", "~!/", &"x".repeat(128)] {
            assert_eq!(SagaId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\n", "ü", "\u{7f}", &"x".repeat(129)] {
            assert_eq!(bad.parse::<SagaId>(), Err(InvalidId), "{bad:?}");
        }
    }
}
