//! The bounded table of words: sets of a few cells each, lock-free, never growing.
//!
//! An idle word is a copy of what the store has, and may be evicted. A pending word is the truth that the store does not have
//! yet: it is pinned until the committer settles it. Two live cells for one key would be two truths; how that is avoided:
//!
//! - A cell is *taken* by a swap of its word to `Reserved(token)`, and *announced* by writing its key, then its stamp (= token).
//!   While a cell is reserved, only the one who reserved it writes its key and stamp; while it is live, nobody does.
//! - Having announced, the taker looks at the other cells of the set. Between announcing and looking stands a sequentially
//!   consistent fence, so of two who take cells for one key at least one sees the other (Dekker). Whoever sees a live cell
//!   gives up. Among two reservations the lower cell wins: it strikes the other out, which can then no longer publish.
//! - The store is read *after* that and *before* publishing. Whoever else publishes the key has struck this reservation out, so
//!   a word that became stale in between is never published.
//!
//! A reader takes the stamp, the key, the word, and the stamp again: the same stamp means that key and word belong together. A
//! swap from idle to pending may still hit another key's word with the same bits, when the cell was reused in between. The
//! word is then pinned, so its key stands still: it is looked at after the swap, which is undone if it is another one.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use std::hash::BuildHasher;

use crate::sync::{AtomicU64, KeyHasher, fence};
use crate::waiters::Waiters;
use crate::word::{Cell, Word};

/// Cells in a set. With 8,192 words pinned of 65,536, a set of 16 holds 2 on average and is full once in 10^9.
#[cfg(not(aqueduct_loom))]
pub(crate) const WAYS: u32 = 16;
/// Cells in a set: the least that leaves a choice.
#[cfg(aqueduct_loom)]
pub(crate) const WAYS: u32 = 2;

/// Three arrays rather than one of triples: a look for a key touches the two cache lines of the keys.
#[derive(Debug)]
#[repr(align(128))]
struct Set {
    keys: [AtomicU64; WAYS as usize],
    words: [AtomicU64; WAYS as usize],
    stamps: [AtomicU64; WAYS as usize],
}

/// Where a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    set: u32,
    way: u32,
}

/// What a look for a key found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// The word, settled.
    Idle(Slot, Word),
    /// Somebody holds it: pending, or being read from the store.
    Held,
    /// It is not in the table.
    Absent,
}

/// The answer to [`Table::reserve`].
#[derive(Debug)]
pub(crate) enum Reserve<'a> {
    /// Read the store, then publish.
    Mine(Reservation<'a>),
    /// The key is in the table: look again.
    Present,
    /// Another caller is reading the store for this key: wait.
    Awaited,
    /// Every cell of the set is pinned.
    Full,
}

/// The table and those who wait for its words.
#[derive(Debug)]
pub(crate) struct Table {
    sets: Box<[Set]>,
    hasher: KeyHasher,
    tokens: AtomicU64,
    pub(crate) waiters: Waiters,
}

impl Table {
    /// A table of at least `capacity` words, rounded up to a power of two.
    pub(crate) fn new(capacity: usize, waiters: Waiters) -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        let sets = capacity.div_ceil(WAYS as usize).next_power_of_two();
        let sets = (0..sets).map(|_| Set { keys: zeros(), words: zeros(), stamps: zeros() }).collect();
        Self { sets, hasher: KeyHasher::default(), tokens: AtomicU64::new(1), waiters }
    }

    /// The hash by which [`Waiters`] finds the key's stripe.
    pub(crate) fn hash(&self, key: u64) -> u64 {
        self.hasher.hash_one(key)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the mask leaves the low bits only; options bound the sets"
    )]
    fn set_of(&self, key: u64) -> u32 {
        self.hash(key) as u32 & (self.sets.len() as u32 - 1)
    }

    fn word(&self, slot: Slot) -> &AtomicU64 {
        &self.sets[slot.set as usize].words[slot.way as usize]
    }

    fn key(&self, slot: Slot) -> &AtomicU64 {
        &self.sets[slot.set as usize].keys[slot.way as usize]
    }

    fn stamp(&self, slot: Slot) -> &AtomicU64 {
        &self.sets[slot.set as usize].stamps[slot.way as usize]
    }

    fn slots(set: u32) -> impl Iterator<Item = Slot> {
        (0..WAYS).map(move |way| Slot { set, way })
    }

    /// The word of `key`.
    pub(crate) fn find(&self, key: u64) -> Sighting {
        for slot in Self::slots(self.set_of(key)) {
            match self.look(slot, key) {
                Cell::Empty => {}
                Cell::Idle(word) => return Sighting::Idle(slot, word),
                Cell::Pending(_) | Cell::Reserved(_) => return Sighting::Held,
            }
        }
        Sighting::Absent
    }

    /// What the slot holds for `key`; `Empty` when it holds nothing or something of another key, or when it is being taken
    /// by somebody who has not announced it yet (who will see our announcement).
    fn look(&self, slot: Slot, key: u64) -> Cell {
        loop {
            let stamp = self.stamp(slot).load(Acquire);
            if self.key(slot).load(Acquire) != key {
                return Cell::Empty;
            }
            let cell = Cell::from_bits(self.word(slot).load(Acquire));
            if self.stamp(slot).load(Acquire) != stamp {
                continue; // Announced anew meanwhile.
            }
            return match cell {
                Cell::Reserved(token) if token != stamp => Cell::Empty,
                cell => cell,
            };
        }
    }

    /// Holds an idle word: swaps `word` to pending. False when it is no longer that word of that key.
    ///
    /// Whoever holds a word must hand it to the committer at once, without an await in between; only that settles it.
    pub(crate) fn pin(&self, slot: Slot, key: u64, word: Word) -> bool {
        let (idle, pending) = (Cell::Idle(word).bits(), Cell::Pending(Some(word)).bits());
        if self.word(slot).compare_exchange(idle, pending, AcqRel, Relaxed).is_err() {
            return false;
        }
        let owner = self.key(slot).load(Acquire);
        if owner == key {
            return true;
        }
        self.word(slot).store(idle, Release);
        self.waiters.wake(self.hash(owner));
        false
    }

    /// Settles pending words, then wakes those who wait for them. For the committer alone.
    pub(crate) fn settle(&self, settled: impl Iterator<Item = (Slot, u64, Word)> + Clone) {
        for (slot, _, word) in settled.clone() {
            self.word(slot).store(Cell::Idle(word).bits(), Release);
        }
        self.waiters.wake_each(settled.map(|(_, key, _)| self.hash(key)));
    }

    /// Takes a cell for `key`, evicting an idle word if need be.
    pub(crate) fn reserve(&self, key: u64) -> Reserve<'_> {
        let token = self.tokens.fetch_add(1, Relaxed) & Cell::MAX_TOKEN;
        let Some(slot) = self.take(self.set_of(key), token) else {
            return Reserve::Full;
        };
        let mine = Reservation { table: self, slot, key, token };
        self.key(slot).store(key, Release);
        self.stamp(slot).store(token, Release);
        fence(std::sync::atomic::Ordering::SeqCst);
        for other in Self::slots(slot.set).filter(|other| *other != slot) {
            loop {
                match self.look(other, key) {
                    Cell::Empty => break,
                    Cell::Idle(_) | Cell::Pending(_) => return Reserve::Present,
                    Cell::Reserved(_) if other.way < slot.way => return Reserve::Awaited,
                    reserved @ Cell::Reserved(_) => {
                        if self.replace(other, reserved, Cell::Empty) {
                            break;
                        }
                    }
                }
            }
        }
        Reserve::Mine(mine)
    }

    /// Swaps an empty or else an idle cell of the set to `Reserved(token)`; starts at a cell given by the token, so that
    /// eviction takes turns. It knows nothing of recency: a miss costs one read of the store.
    fn take(&self, set: u32, token: u64) -> Option<Slot> {
        let turned = || {
            let first = u32::try_from(token % u64::from(WAYS)).unwrap_or_default();
            (0..WAYS).map(move |i| Slot { set, way: (first + i) % WAYS })
        };
        let empty = |cell: &Cell| *cell == Cell::Empty;
        let idle = |cell: &Cell| matches!(cell, Cell::Idle(_));
        turned()
            .find(|slot| self.take_if(*slot, token, empty))
            .or_else(|| turned().find(|slot| self.take_if(*slot, token, |cell| empty(cell) || idle(cell))))
    }

    fn take_if(&self, slot: Slot, token: u64, wanted: impl Fn(&Cell) -> bool) -> bool {
        loop {
            let cell = Cell::from_bits(self.word(slot).load(Acquire));
            if !wanted(&cell) {
                return false;
            }
            if self.replace(slot, cell, Cell::Reserved(token)) {
                return true;
            }
        }
    }

    fn replace(&self, slot: Slot, from: Cell, to: Cell) -> bool {
        self.word(slot).compare_exchange(from.bits(), to.bits(), AcqRel, Relaxed).is_ok()
    }
}

/// A cell taken for one key while the store is read; given back on drop.
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    table: &'a Table,
    slot: Slot,
    key: u64,
    token: u64,
}

impl Reservation<'_> {
    /// Makes the cell live. `None` when the reservation was struck out by another caller for the same key: look again.
    pub(crate) fn publish(self, cell: Cell) -> Option<Slot> {
        // The drop that follows finds the cell no longer reserved and only wakes those who wait.
        self.table.replace(self.slot, Cell::Reserved(self.token), cell).then_some(self.slot)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.table.replace(self.slot, Cell::Reserved(self.token), Cell::Empty);
        self.table.waiters.wake(self.table.hash(self.key));
    }
}

#[cfg(all(test, not(aqueduct_loom)))]
mod tests;
