//! The word: the state and the version of one entity in a `u64`, and the cell of the table that holds it.
//!
//! ```text
//! | state 8 | pending 1 | version 55 |
//! ```

use std::fmt;

const STATE_SHIFT: u32 = 56;
const PENDING: u64 = 1 << 55;
const LOW: u64 = PENDING - 1;
/// The state code that no machine may use: with the pending bit it marks a reserved cell.
const NO_STATE: u8 = u8::MAX;

/// The settled state and version of one entity: what a store keeps, in eight bytes.
///
/// A `Word` is never pending. That bit lives in memory only, between a caller's compare-and-swap and the commit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Word(u64);

impl Word {
    /// The greatest version. At a million transitions a second one entity reaches it after 1,100 years.
    pub const MAX_VERSION: u64 = LOW;

    /// A word of the state code `state` (0..=254) at `version` (1..=[`Word::MAX_VERSION`]), else `None`.
    pub const fn new(state: u8, version: u64) -> Option<Self> {
        if state == NO_STATE || version == 0 || version > Self::MAX_VERSION {
            return None;
        }
        Some(Self(((state as u64) << STATE_SHIFT) | version))
    }

    /// Reads a stored word; `None` when the bits are not those of a settled word.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits & PENDING != 0 {
            return None;
        }
        Self::new((bits >> STATE_SHIFT) as u8, bits & LOW)
    }

    /// The bits to store.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The code of the state.
    pub const fn state(self) -> u8 {
        (self.0 >> STATE_SHIFT) as u8
    }

    /// The version: 1 at creation, one more at each transition.
    pub const fn version(self) -> u64 {
        self.0 & LOW
    }

    /// The word one version later, in `state`. `None` past the last version.
    pub(crate) const fn step(self, state: u8) -> Option<Self> {
        Self::new(state, self.version() + 1)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word(state {}, version {})", self.state(), self.version())
    }
}

/// What one cell of the table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Nothing; free to take.
    Empty,
    /// Taken by a caller that is reading the store for its key; the token is that caller's alone.
    Reserved(u64),
    /// A settled word; may be evicted, since the store has it too.
    Idle(Word),
    /// A change is on its way to the store, from this word or, in a creation, from none. Pinned.
    Pending(Option<Word>),
}

impl Cell {
    /// The greatest token of a reservation.
    pub(crate) const MAX_TOKEN: u64 = LOW;

    pub(crate) const fn bits(self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Reserved(token) => ((NO_STATE as u64) << STATE_SHIFT) | PENDING | (token & LOW),
            Self::Idle(word) => word.0,
            Self::Pending(Some(word)) => word.0 | PENDING,
            Self::Pending(None) => PENDING,
        }
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        if bits & PENDING == 0 {
            match Word::from_bits(bits) {
                Some(word) => Self::Idle(word),
                None => Self::Empty,
            }
        } else if (bits >> STATE_SHIFT) as u8 == NO_STATE {
            Self::Reserved(bits & LOW)
        } else {
            Self::Pending(Word::from_bits(bits & !PENDING))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_state_and_version() {
        for state in [0, 1, 7, 254] {
            for version in [1, 2, 1 << 40, Word::MAX_VERSION] {
                let word = Word::new(state, version).unwrap();
                assert_eq!((word.state(), word.version()), (state, version));
                assert_eq!(Word::from_bits(word.bits()), Some(word));
            }
        }
    }

    #[test]
    fn bits_of_no_settled_word_are_refused() {
        assert_eq!(Word::new(255, 1), None);
        assert_eq!(Word::new(0, 0), None);
        assert_eq!(Word::new(0, Word::MAX_VERSION + 1), None);
        assert_eq!(Word::from_bits(0), None);
        assert_eq!(Word::from_bits(PENDING | 1), None, "the pending bit is never stored");
        assert_eq!(Word::new(3, Word::MAX_VERSION).unwrap().step(3), None);
    }

    #[test]
    fn every_cell_reads_back_from_its_bits() {
        let words = [Word::new(0, 1), Word::new(254, 9), Word::new(2, Word::MAX_VERSION)];
        let mut cells =
            vec![Cell::Empty, Cell::Pending(None), Cell::Reserved(0), Cell::Reserved(Cell::MAX_TOKEN)];
        for word in words {
            cells.extend([Cell::Idle(word.unwrap()), Cell::Pending(word)]);
        }
        for (i, cell) in cells.iter().enumerate() {
            assert_eq!(Cell::from_bits(cell.bits()), *cell);
            for other in &cells[..i] {
                assert_ne!(cell.bits(), other.bits(), "{cell:?} and {other:?}");
            }
        }
    }
}
