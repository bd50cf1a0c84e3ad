//! The lock under which fences and loads of a key meet, the loads under way, and the floors that fences left.
//!
//! A key belongs to one of a fixed number of stripes. Under its stripe's lock a fence marks the load under way *and*
//! removes the entry, and a landing load looks for that mark *and* stores its entry. So the two are ordered, and there
//! is no instant at which an entry is readable that a fence has condemned. Hits do not take this lock: they read
//! only the table. Generations validated on read lost: shared by a stripe, they let a write to one key invalidate its
//! neighbours, and one per key is unbounded memory.

use crate::flight::Flight;
use foldhash::fast::RandomState;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Enough that threads rarely meet; with [`FLOORS`] it bounds the memory for fences to half a MiB.
const STRIPES: usize = 1024;

/// Floors remembered by a stripe, 16,384 in all: 160 ms at 100,000 writes a second. A floor has work to do only while
/// a write has been announced but its row cannot be read yet.
const FLOORS: usize = 16;

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
}

#[derive(Debug, Clone, Copy)]
struct Floor {
    hash: u64,
    version: u64,
    epoch: u32,
}

impl Floors {
    /// Raises the key's floor to `version`; a version of 0 (unknown) forgets it. A new floor takes the place of the
    /// stripe's oldest.
    pub(crate) fn raise(&mut self, hash: u64, version: u64, epoch: u32) {
        if let Some(floor) = self.ring.iter_mut().find(|floor| floor.hash == hash) {
            let known = if floor.epoch == epoch && version != 0 { floor.version } else { 0 };
            *floor = Floor { hash, version: version.max(known), epoch };
        } else if version == 0 {
        } else if self.ring.len() < FLOORS {
            self.ring.push(Floor { hash, version, epoch });
        } else {
            self.ring[self.next] = Floor { hash, version, epoch };
            self.next = (self.next + 1) % FLOORS;
        }
    }

    /// The least version of the key that may be answered, 0 if nothing is known in this epoch.
    pub(crate) fn of(&self, hash: u64, epoch: u32) -> u64 {
        let mut known = self.ring.iter().filter(|floor| floor.hash == hash && floor.epoch == epoch);
        known.next().map_or(0, |floor| floor.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_only_rises_until_its_version_is_unknown_or_its_epoch_over() {
        let mut floors = Floors::default();
        let mut check = |version, epoch, expect| {
            floors.raise(1, version, epoch);
            assert_eq!(floors.of(1, epoch), expect, "after a fence of version {version} in epoch {epoch}");
        };
        check(3, 0, 3);
        check(2, 0, 3);
        check(5, 0, 5);
        check(0, 0, 0);
        check(4, 0, 4);
        check(1, 1, 1);
        assert_eq!((floors.of(1, 0), floors.of(2, 1)), (0, 0));
    }

    #[test]
    fn floors_are_bounded_and_the_oldest_goes_first() {
        let mut floors = Floors::default();
        for key in 0..FLOORS as u64 + 3 {
            floors.raise(key, 7, 0);
        }
        assert_eq!(floors.ring.len(), FLOORS);
        let forgotten: Vec<_> = (0..FLOORS as u64 + 3).filter(|key| floors.of(*key, 0) == 0).collect();
        assert_eq!(forgotten, [0, 1, 2]);
    }
}
