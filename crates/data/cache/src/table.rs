//! The entries in memory: `quick_cache`, with a weight that accounts for every byte an entry makes it allocate.

use crate::admission::{Admission, Decision, is_full};
use crate::clock::Nanos;
use foldhash::fast::RandomState;
use quick_cache::{
    Lifecycle, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use std::{
    hash::{BuildHasher as _, Hash},
    mem::size_of,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// A cached row, or the knowledge that there is none.
#[derive(Debug, Clone)]
pub(crate) struct Entry<V> {
    pub(crate) value: Option<V>,
    pub(crate) version: u64,
    /// When its load began.
    pub(crate) began: Nanos,
    pub(crate) soft: Nanos,
    pub(crate) hard: Nanos,
    /// No refresh before this; set when one failed.
    pub(crate) retry: Nanos,
    /// The cache's epoch when its load began; valid only in that epoch.
    pub(crate) epoch: u32,
    /// The charge, kept so that it is the same at insertion and at eviction whatever the weigher says by then.
    pub(crate) charge: Charge,
}

/// Bytes, and whether the key is one of the [`Admission`]'s sample: in one word, so that a hit pays a test of a bit for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charge(u32);

impl Charge {
    /// Rounded up to an even number.
    pub(crate) fn new(bytes: u32) -> Self {
        Self(bytes.saturating_add(bytes & 1) & !1)
    }

    pub(crate) fn bytes(self) -> u32 {
        self.0 & !1
    }

    fn is_sampled(self) -> bool {
        self.0 & 1 == 1
    }

    fn sampled(self) -> Self {
        Self(self.0 | 1)
    }
}

/// What evicted entries are collected in, to be dropped after the locks are released. Entries of equal size evict
/// one or two others; should a large one evict more, the rest is dropped at once.
pub(crate) type Evicted<K, V> = [Option<(K, Entry<V>)>; 2];

#[derive(Clone)]
struct Weight;

impl<K, V> Weighter<K, Entry<V>> for Weight {
    fn weight(&self, _key: &K, entry: &Entry<V>) -> u64 {
        u64::from(entry.charge.bytes())
    }
}

/// Counts evictions, and otherwise does what quick_cache does by default.
#[derive(Clone)]
struct Evictions {
    count: Arc<AtomicU64>,
}

impl<K, V> Lifecycle<K, Entry<V>> for Evictions {
    type RequestState = Evicted<K, V>;

    fn before_evict(&self, _evicted: &mut Self::RequestState, _key: &K, _entry: &mut Entry<V>) {
        self.count.fetch_add(1, Relaxed);
    }

    fn on_evict(&self, evicted: &mut Self::RequestState, key: K, entry: Entry<V>) {
        DefaultLifecycle::default().on_evict(evicted, key, entry);
    }
}

/// The entries, bounded by bytes.
pub(crate) struct Table<K, V> {
    entries: Cache<K, Entry<V>, Weight, RandomState, Evictions>,
    evictions: Arc<AtomicU64>,
    admission: Option<Admission>,
    /// Rows that were not taken in.
    turned_away: AtomicU64,
    hasher: RandomState,
}

/// A shard of quick_cache's hash table holds 4-byte slot numbers and a control byte each, in a power of two of
/// buckets. It doubles when 7/8 are taken; deletions leave marks that can make it double from as little as 7/16. So
/// just after that, 7/32 of the buckets are in use: 5 / (7/32).
const HASH_BYTES: u64 = 23;

/// The share of ghosts (keys remembered after eviction) quick_cache keeps, of the expected number of entries.
const GHOSTS: f64 = 0.5;

impl<K: Hash + Eq + Clone, V: Clone> Table<K, V> {
    /// What an entry costs beside the heap of its key and value. Slots live in a vector that doubles, so just after
    /// it did there are two for each entry: charging for both is what makes the capacity a bound, not an average.
    pub(crate) const OVERHEAD: u64 = 2 * Self::SLOT + HASH_BYTES;

    /// A slot: key and entry, 8 bytes for quick_cache's state, 8 for the links of its ring.
    const SLOT: u64 = (size_of::<(K, Entry<V>)>() as u64).next_multiple_of(8) + 16;

    /// `expected` is the heap a typical entry has; from it follows how many ghosts are worth remembering. Ghosts
    /// take slots, so their bytes are set aside first.
    pub(crate) fn new(capacity_bytes: u64, expected: u64, hasher: RandomState) -> Option<Self> {
        let items = capacity_bytes / (Self::OVERHEAD + expected).max(1);
        // Half of the items, as GHOSTS says. So there are as many ghosts as entries: with fewer, a loop that fits may never be let in.
        let ghosts = items.div_ceil(2);
        let bytes = capacity_bytes.checked_sub(ghosts * Self::OVERHEAD)?;
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(items).ok()?)
            .ghost_allocation(GHOSTS)
            .weight_capacity(bytes)
            .build()
            .ok()?;
        let evictions = Arc::new(AtomicU64::new(0));
        let lifecycle = Evictions { count: Arc::clone(&evictions) };
        let admission = Admission::new(items - ghosts, bytes, &hasher);
        let entries = Cache::with_options(options, Weight, hasher.clone(), lifecycle);
        Some(Self { entries, evictions, admission, turned_away: AtomicU64::new(0), hasher })
    }

    /// What `with` makes of a copy of the entry; counts as a use. The copy stays where quick_cache has put it: handed on by value it is
    /// moved, and each move waits for the one before.
    #[inline]
    pub(crate) fn get<R>(&self, key: &K, with: impl FnOnce(Option<&mut Entry<V>>) -> R) -> R {
        let mut entry = self.entries.get(key);
        match (&entry, &self.admission) {
            (Some(entry), _) if !entry.charge.is_sampled() => {}
            (entry, Some(admission)) => self.sample(admission, key, entry.as_ref()),
            _ => {}
        }
        with(entry.as_mut())
    }

    fn sample(&self, admission: &Admission, key: &K, entry: Option<&Entry<V>>) {
        let hash = self.hasher.hash_one(key);
        if admission.is_sampled(hash) {
            admission.read(hash, entry.map(|entry| entry.charge.bytes()));
        }
    }

    /// A copy of the entry, without counting as a use.
    pub(crate) fn peek(&self, key: &K) -> Option<Entry<V>> {
        self.entries.peek(key)
    }

    /// Takes it in, unless others that would have to go for it are worth more.
    pub(crate) fn insert(&self, key: K, mut entry: Entry<V>, evicted: &mut Evicted<K, V>) {
        if let Some(admission) = &self.admission {
            let hash = self.hasher.hash_one(&key);
            if admission.is_sampled(hash) {
                admission.loaded(hash, entry.charge.bytes());
                entry.charge = entry.charge.sampled();
            }
            if is_full(&self.entries) && self.entries.peek(&key).is_none() {
                match admission.decide() {
                    Decision::TakeIn => {}
                    Decision::TurnAway => {
                        self.turned_away.fetch_add(1, Relaxed);
                        return;
                    }
                    Decision::Protect => {
                        self.entries.insert_with_lifecycle(key.clone(), entry, evicted);
                        self.entries.get(&key);
                        return;
                    }
                }
            }
        }
        self.entries.insert_with_lifecycle(key, entry, evicted);
    }

    /// Replaces the entry if it is (still) there, without counting as a use.
    pub(crate) fn replace(&self, key: K, entry: Entry<V>, replaced: &mut Evicted<K, V>) {
        // An error gives back an entry that was evicted meanwhile: nothing to do.
        drop(self.entries.replace_with_lifecycle(key, entry, true, replaced));
    }

    /// Removes the entry if `condemned` says so. The caller drops what it gets, outside of its locks.
    pub(crate) fn remove_if(
        &self,
        key: &K,
        condemned: impl FnOnce(&Entry<V>) -> bool,
    ) -> Option<(K, Entry<V>)> {
        self.entries.remove_if(key, condemned)
    }

    pub(crate) fn clear(&self) {
        self.entries.clear();
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Relaxed)
    }

    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away.load(Relaxed)
    }

    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<V>(value: V, weight: u32) -> Entry<V> {
        Entry {
            value: Some(value),
            version: 1,
            began: 0,
            soft: 0,
            hard: 0,
            retry: 0,
            epoch: 0,
            charge: Charge::new(weight),
        }
    }

    /// quick_cache does not publish the size of its slots; `SLOT` must be what it says it uses, or a word more where
    /// the compiler finds a place for its state between the fields.
    fn check_slot<K: Hash + Eq + Clone + From<u16>, V: Clone>(value: V) {
        let table = Table::<K, V>::new(1 << 24, 0, RandomState::default()).expect("large enough");
        for key in 0..1000 {
            table.insert(K::from(key), entry(value.clone(), 1), &mut Evicted::default());
        }
        let used = table.entries.memory_used().entries as u64 / 1000;
        let charged = Table::<K, V>::SLOT;
        assert!((used..=used + 8).contains(&charged), "{used} bytes used, {charged} charged");
    }

    #[test]
    fn a_slot_is_as_large_as_charged() {
        check_slot::<u64, u64>(1);
        check_slot::<u64, Arc<str>>(Arc::from("x"));
        check_slot::<u64, [u64; 9]>([0; 9]);
        check_slot::<u16, u8>(1);
    }

    #[test]
    fn replacing_is_no_eviction_and_making_room_is_one() {
        let table = Table::<u64, u64>::new(64 << 10, 0, RandomState::default()).expect("large enough");
        let weight = u32::try_from(table.entries.shard_capacity() / 2).expect("small") & !1;
        table.insert(1, entry(1, weight), &mut Evicted::default());
        table.insert(1, entry(2, weight), &mut Evicted::default());
        assert_eq!((table.evictions(), table.len(), table.bytes()), (0, 1, u64::from(weight)));
        let same_shard: Vec<u64> =
            (2..).filter(|k| table.entries.shard_index(k) == table.entries.shard_index(&1)).take(2).collect();
        for key in same_shard {
            table.insert(key, entry(3, weight), &mut Evicted::default());
        }
        assert_eq!((table.evictions(), table.len()), (1, 2));
    }
}
