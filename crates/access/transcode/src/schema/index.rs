//! The two look-ups of the hot path: a field or enum value by number, and by name.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

/// Numbers up to this are looked up directly, whatever the density.
const DIRECT: u32 = 256;
const NONE: u16 = u16::MAX;

/// Number → position. Dense numbers by direct look-up; the others by binary search.
#[derive(Debug, Default)]
pub(crate) struct NumberIndex {
    direct: Box<[u16]>,
    sparse: Box<[(u32, u16)]>,
}

impl NumberIndex {
    /// Numbers in the order of their positions, each once; at most 65,535 of them.
    pub(super) fn new(numbers: impl Iterator<Item = u32>) -> NumberIndex {
        let mut direct = Vec::new();
        let mut sparse = Vec::new();
        for (position, number) in (0..NONE).zip(numbers) {
            if number < DIRECT {
                if direct.len() <= number as usize {
                    direct.resize(number as usize + 1, NONE);
                }
                direct[number as usize] = position;
            } else {
                sparse.push((number, position));
            }
        }
        sparse.sort_unstable();
        NumberIndex { direct: direct.into(), sparse: sparse.into() }
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<usize> {
        match self.direct.get(number as usize) {
            Some(&NONE) => None,
            Some(&position) => Some(usize::from(position)),
            None if self.sparse.is_empty() => None,
            None => {
                let found = self.sparse.binary_search_by_key(&number, |entry| entry.0).ok()?;
                self.sparse.get(found).map(|entry| usize::from(entry.1))
            }
        }
    }
}

type Slot = Option<(Box<[u8]>, u32)>;

/// Name → value: open addressing at most half full. Keys are fixed when it is built, so that a client cannot make
/// collisions: it can only probe them.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    /// Empty, or a power of two.
    slots: Box<[Slot]>,
}

impl NameIndex {
    /// Of a name that is there twice, the first stays.
    pub(super) fn new<'a>(names: impl Iterator<Item = (&'a str, u32)> + Clone) -> NameIndex {
        let count = names.clone().count();
        if count == 0 {
            return NameIndex::default();
        }
        let mut slots: Vec<Slot> = vec![None; (count * 2).next_power_of_two()];
        for (name, value) in names {
            let mut at = slot(name.as_bytes(), slots.len());
            loop {
                match &slots[at] {
                    None => {
                        slots[at] = Some((name.as_bytes().into(), value));
                        break;
                    }
                    Some((taken, _)) if **taken == *name.as_bytes() => break,
                    Some(_) => at = (at + 1) & (slots.len() - 1),
                }
            }
        }
        NameIndex { slots: slots.into() }
    }

    #[inline]
    pub(crate) fn get(&self, name: &[u8]) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = slot(name, self.slots.len());
        while let Some(Some((taken, value))) = self.slots.get(at) {
            if **taken == *name {
                return Some(*value);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
    }
}

#[inline]
fn slot(name: &[u8], slots: usize) -> usize {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    hasher.write(name);
    hasher.finish() as usize & (slots - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_dense_and_sparse() {
        let numbers = [1, 2, 255, 256, 19_000, u32::MAX];
        let index = NumberIndex::new(numbers.into_iter());
        for (position, number) in numbers.into_iter().enumerate() {
            assert_eq!(index.get(number), Some(position));
        }
        for absent in [0, 3, 257, u32::MAX - 1] {
            assert_eq!(index.get(absent), None);
        }
        assert_eq!(NumberIndex::default().get(0), None);
    }

    #[test]
    fn names_are_found_and_the_first_of_two_wins() {
        let names: Vec<String> = (0..300).map(|n| format!("name_{n}")).collect();
        let entries = names.iter().map(String::as_str).zip(0u32..).chain([("name_7", 999)]);
        let index = NameIndex::new(entries);
        for (name, value) in names.iter().zip(0..) {
            assert_eq!(index.get(name.as_bytes()), Some(value));
        }
        assert_eq!(index.get(b"name_300"), None);
        assert_eq!(NameIndex::default().get(b""), None);
    }
}
