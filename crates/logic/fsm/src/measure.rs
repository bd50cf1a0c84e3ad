//! The table by itself, without callers that wait and a store, for `bench words` (feature `measure`).

use crate::table::{Reserve, Sighting, Table};
use crate::waiters::Waiters;
use crate::word::{Cell, Word};

/// The words of some entities in a table with four cells for each, so that none is evicted.
#[derive(Debug)]
pub struct Words(Table);

impl Words {
    /// Those of the keys below `keys`, each at `word`.
    pub fn new(keys: u64, word: Word) -> Self {
        let capacity = usize::try_from(keys.max(16)).unwrap_or(usize::MAX).saturating_mul(4);
        let table = Table::new(capacity, Waiters::new(1024, 1024));
        for key in 0..keys {
            if let Reserve::Mine(mine) = table.reserve(key) {
                mine.publish(Cell::Idle(word));
            }
        }
        Self(table)
    }

    /// What a caller and then the committer do: finds the word, holds it, and settles it as `next` says. False: another
    /// caller holds it, or it is not there.
    pub fn try_move(&self, key: u64, next: impl Fn(Word) -> Word) -> bool {
        let Sighting::Idle(slot, word) = self.0.find(key) else { return false };
        if !self.0.pin(slot, key, word) {
            return false;
        }
        self.0.settle(std::iter::once((slot, key, next(word))));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_moves_by_itself() {
        let first = Word::new(0, 1).unwrap();
        let words = Words::new(1_000, first);
        let next = |word: Word| Word::new(word.state() + 1, word.version() + 1).unwrap();
        assert!((0..1_000).all(|key| words.try_move(key, next)));
        assert!(words.try_move(7, next));
        assert!(!words.try_move(1_000, next), "there is no such word");
        let found = |key| match words.0.find(key) {
            Sighting::Idle(_, word) => (word.state(), word.version()),
            other => panic!("{other:?}"),
        };
        assert_eq!((found(6), found(7), found(8)), ((1, 2), (2, 3), (1, 2)));
    }
}
