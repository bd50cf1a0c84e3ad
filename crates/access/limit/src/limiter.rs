//! The table of words: fixed in size, shared by all threads, exact for every key that has an entry.
//!
//! A key may be in one of two sets of eight entries, each two cache lines. An entry is the key's 64-bit hash and its word.
//! **Charging** an entry is one compare-and-swap of the word. **Making** one takes a short lock (one of 64, by the key's hash), so
//! that no key gets two, and takes over an entry whose word lies in the past: such a key's bucket is full, which is what it
//! would be without an entry. When both sets are in use the key shares one of the overflow words.
//!
//! Hash and word cannot be changed together, and need not be: an entry's word only ever grows, from one owner to the next
//! too (a take-over stores what lies in the future, over what lay in the past). Whoever reads the word, then the hash, and
//! swaps the word, knows from the swap's success that no other key took the entry in between. A word of
//! [`Rate::NEVER`] says that it is being taken.
//!
//! Alternatives that lost: a 128-bit compare-and-swap (not in stable std), a lock a shard (20 ns and a wait on the hot path), linear
//! probing without sets (a miss in a table that was once full walks for long), evicting the oldest (an attacker with many
//! keys would reset everybody's limit).

#[cfg(test)]
#[cfg(aqueduct_loom)]
mod loom_models;
#[cfg(test)]
#[cfg(not(aqueduct_loom))]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::rate::{Decision, Rate};
use crate::sync::{AtomicU64, Mutex, Ordering};

/// Entries of a set. One under loom, where more would only multiply what it has to try.
const WAYS: usize = if cfg!(aqueduct_loom) { 1 } else { 8 };
/// Locks for making entries.
const LOCKS: usize = if cfg!(aqueduct_loom) { 2 } else { 64 };
/// Entries for each that was asked for: with two sets to choose from, so that as many keys as were asked for find room.
const ROOM: usize = 2;
/// Keys for each overflow word, but at least [`MIN_OVERFLOW`] words.
const KEYS_PER_OVERFLOW: usize = 8;
const MIN_OVERFLOW: usize = if cfg!(aqueduct_loom) { 1 } else { 64 };

/// One limit of many keys. All of its memory is allocated when it is made: 33 bytes for each key asked for.
pub struct Limiter {
    rate: Rate,
    /// `SipHash` with keys from the operating system: who chooses keys cannot choose where they meet.
    seed: RandomState,
    sets: Box<[Set]>,
    overflow: Box<[AtomicU64]>,
    locks: Box<[Mutex<()>]>,
    /// The latest time at which an entry was taken over. A thread whose clock was read before that would
    /// otherwise give the key that lost its entry a bucket that was not yet full.
    latest: AtomicU64,
}

#[derive(Default)]
#[repr(align(128))]
struct Set([Entry; WAYS]);

#[derive(Default)]
struct Entry {
    /// The key's hash; 0 in an entry that was never used.
    hash: AtomicU64,
    /// When the key's bucket is full again.
    word: AtomicU64,
}

impl Limiter {
    /// A limit with room for this many keys at a time, at least one. A key takes room from its first request until
    /// its bucket is full again.
    pub fn new(rate: Rate, keys: usize) -> Self {
        let keys = keys.max(1);
        let sets = keys.saturating_mul(ROOM).div_ceil(WAYS);
        let overflow = (keys / KEYS_PER_OVERFLOW).max(MIN_OVERFLOW);
        Self {
            rate,
            seed: RandomState::new(),
            sets: (0..sets).map(|_| Set::default()).collect(),
            overflow: (0..overflow).map(|_| AtomicU64::default()).collect(),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            latest: AtomicU64::default(),
        }
    }

    /// Decides on a request of this key, and charges the key if it is admitted.
    ///
    /// `now` are the nanoseconds of a monotonic clock, the same for all callers, from any beginning; best from when the
    /// limiter was made. Threads may be slightly apart: each request is judged at its own time.
    pub fn check(&self, key: &[u8], now: u64) -> Decision {
        let mut hasher = self.seed.build_hasher();
        hasher.write(key);
        self.check_hash(hasher.finish().max(1), self.rate.units(now))
    }

    fn check_hash(&self, hash: u64, now: u64) -> Decision {
        match self.charge(hash, now) {
            Some(decision) => decision,
            None => self.make(hash, now),
        }
    }

    /// The decision on a key that has an entry.
    fn charge(&self, hash: u64, now: u64) -> Option<Decision> {
        let found = |set: &&Entry| set.hash.load(Ordering::Acquire) == hash;
        let [first, second] = self.sets(hash);
        first.iter().chain(second).filter(found).find_map(|entry| entry.charge(hash, self.rate, now))
    }

    /// Finds room for a key that has no entry, or else lets it share a word.
    #[cold]
    fn make(&self, hash: u64, now: u64) -> Decision {
        let lock = self.locks.get(place(hash, self.locks.len())).map(Mutex::lock);
        // Somebody may have made it in the meantime; from here on nobody else does.
        if let Some(decision) = self.charge(hash, now) {
            return decision;
        }
        let latest = self.latest.fetch_max(now, Ordering::AcqRel).max(now);
        let shared = self.overflow.get(place(hash.rotate_left(32), self.overflow.len()));
        // What was taken from the shared word is not given again.
        let word = shared.map_or(0, |word| word.load(Ordering::Acquire)).max(latest);
        let (decision, next) = self.rate.decide(word, now, true);
        let Some(next) = next else {
            // It was not charged, so that there is nothing to keep of it.
            return Decision { resident: false, ..decision };
        };
        let made = self.take(hash, next, now);
        drop(lock);
        match shared {
            Some(shared) if !made => self.share(shared, now),
            _ => decision,
        }
    }

    /// Takes an entry that is not in use, in the emptier of the two sets.
    fn take(&self, hash: u64, word: u64, now: u64) -> bool {
        let [first, second] = self.sets(hash);
        let free = |set: &[Entry]| set.iter().filter(|entry| entry.is_free(now)).count();
        let sets = if free(first) >= free(second) { [first, second] } else { [second, first] };
        sets.into_iter().flatten().any(|entry| entry.take(hash, word, now))
    }

    fn share(&self, shared: &AtomicU64, now: u64) -> Decision {
        let mut word = shared.load(Ordering::Acquire);
        loop {
            let (decision, next) = self.rate.decide(word, now, false);
            let Some(next) = next else { return decision };
            match shared.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return decision,
                Err(newer) => word = newer,
            }
        }
    }

    /// The two sets that a key may be in; the same twice if there is but one.
    fn sets(&self, hash: u64) -> [&[Entry]; 2] {
        let set = |hash| self.sets.get(place(hash, self.sets.len())).map_or(&[][..], |set| &set.0);
        // The golden ratio's multiplier carries every bit of the hash to the upper ones, which choose.
        [set(hash), set(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15))]
    }

    /// The rate that it was made with.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Entries there are, in use or not.
    pub fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// Entries in use at this time. Looks at all of them: for a metric, not for a request.
    pub fn in_use(&self, now: u64) -> usize {
        let now = self.rate.units(now);
        self.sets.iter().flat_map(|set| &set.0).filter(|entry| !entry.is_free(now)).count()
    }

    /// The bytes that it holds, from its making to its end.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
            + size_of_val(&*self.overflow)
            + size_of_val(&*self.locks)
            + size_of::<Self>()
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter")
            .field("rate", &self.rate)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl Entry {
    /// Charges the entry, as long as it is this key's.
    fn charge(&self, hash: u64, rate: Rate, now: u64) -> Option<Decision> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            // After the word: whoever took the entry stored the hash before it.
            if word == Rate::NEVER || self.hash.load(Ordering::Acquire) != hash {
                return None;
            }
            let (decision, next) = rate.decide(word, now, true);
            let Some(next) = next else { return Some(decision) };
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(decision),
                Err(newer) => word = newer,
            }
        }
    }

    fn is_free(&self, now: u64) -> bool {
        self.word.load(Ordering::Acquire) <= now
    }

    fn take(&self, hash: u64, next: u64, now: u64) -> bool {
        let word = self.word.load(Ordering::Acquire);
        let free = word <= now;
        let taken = Ordering::AcqRel;
        if !free || self.word.compare_exchange(word, Rate::NEVER, taken, Ordering::Acquire).is_err() {
            return false;
        }
        self.hash.store(hash, Ordering::Release);
        self.word.store(next, Ordering::Release);
        true
    }
}

/// A number below `count`, by the upper bits of the hash (Lemire, "Fast Random Integer Generation in an Interval").
fn place(hash: u64, count: usize) -> usize {
    let wide = u128::from(hash) * count as u128;
    usize::try_from(wide >> 64).unwrap_or_default()
}
