//! The lock under which fences and loads of a key meet, the loads under way, and the floors that fences left.
//!
//! A key belongs to one of a fixed number of stripes. Under its stripe's lock a fence marks the load under way *and*
//! removes the entry, and a landing load looks for that mark *and* stores its entry. So the two are ordered, and there
//! is no instant at which an entry is readable that a fence has condemned. Hits do not take this lock: they read
//! only the table. Generations validated on read lost: shared by a stripe, they let a write to one key invalidate its
//! neighbours, and one per key is unbounded memory.

use crate::{clock::Nanos, flight::Flight};
use foldhash::fast::RandomState;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Enough that threads rarely meet; with [`FLOORS`] it bounds the memory for fences to half a MiB.
const STRIPES: usize = if cfg!(test) { 1 } else { 1024 };

/// Floors remembered by a stripe, 16,384 in all: 160 ms at 100,000 writes a second. A floor has work to do only while
/// a write has been announced but its row cannot be read yet, or a lower level does not know of it yet. The model in `tests` has few,
/// so that they are forgotten.
const FLOORS: usize = if cfg!(test) { 2 } else { 16 };

pub(crate) struct Stripes<K, V, E> {
    stripes: Box<[Mutex<Stripe<K, V, E>>]>,
}

/// What is known about the keys of one stripe.
pub(crate) struct Stripe<K, V, E> {
    pub(crate) flights: HashMap<K, Arc<Flight<V, E>>, RandomState>,
    pub(crate) floors: Floors,
    /// Loads begun so far; tells whether a load began before or after a caller arrived.
    pub(crate) begun: u64,
}

impl<K: Hash + Eq, V, E> Stripes<K, V, E> {
    pub(crate) fn new(hasher: &RandomState) -> Self {
        let stripe = || {
            let flights = HashMap::with_hasher(hasher.clone());
            Mutex::new(Stripe { flights, floors: Floors::default(), begun: 0 })
        };
        Self { stripes: (0..STRIPES).map(|_| stripe()).collect() }
    }

    /// Locks the stripe of a key by its hash. Nothing of the owner's runs under the lock but `Hash`, `Eq` and `Clone`
    /// of keys and `Clone` of values; a panic in those leaves the tables whole.
    pub(crate) fn lock(&self, hash: u64) -> MutexGuard<'_, Stripe<K, V, E>> {
        // The middle bits choose quick_cache's shard, the lowest and highest the place within it.
        #[cfg_attr(test, expect(clippy::modulo_one, reason = "the model has one stripe"))]
        let index = usize::try_from(hash >> 16).unwrap_or(usize::MAX) % STRIPES;
        self.stripes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest floors of a stripe's keys. Keys are known by their 64-bit hash: two keys of one hash would share the
/// higher floor, which refuses more than it must, never less.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    ring: Vec<Floor>,
    next: usize,
    /// When the latest of the floors that are forgotten was raised.
    forgotten: Nanos,
}

#[derive(Debug, Clone, Copy)]
struct Floor {
    hash: u64,
    /// 0: the key changed to a version that is not known.
    version: u64,
    raised: Nanos,
    epoch: u32,
}

/// What is known of a key's changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The least version that may be answered; 0 if none is known.
    pub(crate) least: u64,
    /// When it changed to an unknown version; 0 if it did not.
    pub(crate) since: Nanos,
}

impl Floors {
    /// Raises the key's floor to `version`; with a version of 0 (unknown) only the time is remembered. A new floor takes the
    /// place of the stripe's oldest.
    pub(crate) fn raise(&mut self, hash: u64, version: u64, epoch: u32, now: Nanos) {
        if let Some(floor) = self.ring.iter_mut().find(|floor| floor.hash == hash) {
            let known = if floor.epoch == epoch && version != 0 { floor.version } else { 0 };
            if floor.version == 0 {
                self.forgotten = self.forgotten.max(floor.raised);
            }
            *floor = Floor { hash, version: version.max(known), raised: now, epoch };
        } else if self.ring.len() < FLOORS {
            self.ring.push(Floor { hash, version, raised: now, epoch });
        } else {
            self.forgotten = self.forgotten.max(self.ring[self.next].raised);
            self.ring[self.next] = Floor { hash, version, raised: now, epoch };
            self.next = (self.next + 1) % FLOORS;
        }
    }

    /// What is known of the key in this epoch.
    pub(crate) fn of(&self, hash: u64, epoch: u32) -> Known {
        let mut known = self.ring.iter().filter(|floor| floor.hash == hash && floor.epoch == epoch);
        known.next().map_or(Known::default(), |floor| Known {
            least: floor.version,
            since: if floor.version == 0 { floor.raised } else { 0 },
        })
    }

    /// The time up to which the key may have changed without a floor to tell.
    pub(crate) fn blind(&self, hash: u64, epoch: u32) -> Nanos {
        self.forgotten.max(self.of(hash, epoch).since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_only_rises_until_its_version_is_unknown_or_its_epoch_over() {
        let mut floors = Floors::default();
        let mut check = |version, epoch, now, least, since| {
            floors.raise(1, version, epoch, now);
            let expect = Known { least, since };
            assert_eq!(floors.of(1, epoch), expect, "after a fence of version {version} in epoch {epoch}");
        };
        check(3, 0, 1, 3, 0);
        check(2, 0, 2, 3, 0);
        check(5, 0, 3, 5, 0);
        check(0, 0, 4, 0, 4);
        check(4, 0, 5, 4, 0);
        check(1, 1, 6, 1, 0);
        assert_eq!((floors.of(1, 0), floors.of(2, 1)), (Known::default(), Known::default()));
        // The change of unknown version, which a later floor need not cover, is remembered by the stripe.
        assert_eq!(floors.blind(1, 1), 4);
    }

    #[test]
    fn floors_are_bounded_and_the_oldest_goes_first() {
        let mut floors = Floors::default();
        for key in 0..FLOORS as u64 + 3 {
            floors.raise(key, 7, 0, 100 + key);
        }
        assert_eq!(floors.ring.len(), FLOORS);
        let forgotten: Vec<_> = (0..FLOORS as u64 + 3).filter(|key| floors.of(*key, 0).least == 0).collect();
        assert_eq!(forgotten, [0, 1, 2]);
        assert_eq!(floors.blind(9, 0), 102, "when the latest of them was raised");
    }
}
