//! The table by itself, without callers that wait and a store, for `bench words` (feature `measure`).

use crate::table::{Reserve, Sighting, Table};
use crate::waiters::Waiters;
use crate::word::{Cell, Word};

/// The words of some entities, in a table with eight cells for each, so that hardly one is evicted.
#[derive(Debug)]
pub struct Words {
    table: Table,
    first: Word,
}

impl Words {
    /// Those of the keys below `keys`, each at `word`.
    pub fn new(keys: u64, word: Word) -> Self {
        let capacity = usize::try_from(keys.max(16)).unwrap_or(usize::MAX).saturating_mul(8);
        let words = Self { table: Table::new(capacity, Waiters::new(1024, 1024)), first: word };
        (0..keys).for_each(|key| words.fetch(key));
        words
    }

    /// A miss, whose store has the first word of each.
    fn fetch(&self, key: u64) {
        if let Reserve::Mine(mine) = self.table.reserve(key) {
            mine.publish(Cell::Idle(self.first));
        }
    }

    /// What a caller and then the committer do: finds the word, holds it, and settles it as `next` says. False: try again; another
    /// caller holds it, or it was not in the table.
    pub fn try_move(&self, key: u64, next: impl Fn(Word) -> Word) -> bool {
        match self.table.find(key) {
            Sighting::Idle(slot, word) if self.table.pin(slot, key, word) => {
                self.table.settle(std::iter::once((slot, key, next(word))));
                true
            }
            Sighting::Absent => {
                self.fetch(key);
                false
            }
            Sighting::Idle(..) | Sighting::Held => false,
        }
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
        assert!(!words.try_move(1_000, next), "it is not in the table");
        assert!(words.try_move(1_000, next), "and is fetched");
        let found = |key| match words.table.find(key) {
            Sighting::Idle(_, word) => (word.state(), word.version()),
            other => panic!("{other:?}"),
        };
        assert_eq!((found(6), found(7), found(8)), ((1, 2), (2, 3), (1, 2)));
    }
}
