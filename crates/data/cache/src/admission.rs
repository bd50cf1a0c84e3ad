//! Whether what was loaded takes the place of something that is there.
//!
//! quick_cache (CLOCK-Pro) takes in all. That is best nearly always, with two exceptions, in which it can come down to no hits at all.
//!
//! - *More keys are read in turn than fit*: each evicts what is read next. Turning nearly all of them away hits more often (bimodal
//!   insertion). Which of the two is better is found as the adaptive insertion policies of processor caches do it, by a duel (Qureshi et
//!   al., *Adaptive Insertion Policies for High Performance Caching*, ISCA'07): a sample of the keys is followed in two small
//!   caches of keys alone, one that takes in all and one that does not, and the real one does as the winner.
//! - *What is protected is not read any more*, and what is read now never comes back soon enough to be protected in its place. So a
//!   few of those that are taken in are protected at once.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use foldhash::fast::RandomState;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache, sync::DefaultLifecycle};

/// Of so many keys that would be turned away one is taken in, and protected.
const TAKEN_IN: u64 = 32;

/// Of so many keys that are taken in one is protected.
const PROTECTED: u64 = 64;

/// Ghosts (keys remembered after eviction), as a share of the entries.
const GHOSTS: f64 = 1.0;

/// About as many sampled keys fit into a shadow, if so many are in the cache.
const SHADOW: u64 = 160;

/// Below so many entries a sample says nothing.
const LEAST: u64 = 512;

/// The choosy one must lead by a fourth of the entries of a shadow in hits, and a lead counts up to twice as many.
const ENOUGH: i64 = 4;
const MOST: i64 = 2;

#[derive(Clone)]
struct Charge;

impl Weighter<u64, u32> for Charge {
    fn weight(&self, _hash: &u64, charge: &u32) -> u64 {
        u64::from(*charge)
    }
}

type Shadow = Cache<u64, u32, Charge, RandomState, DefaultLifecycle<u64, u32>>;

/// What is to be done with a key that is not there, if another would have to go for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    TurnAway,
    TakeIn,
    /// Likewise, and count it as read once more, so that it is not the next to go.
    Protect,
}

/// The duel. Keys are known by their hash.
pub(crate) struct Admission {
    /// A key is in the sample if these bits of its hash are 0.
    sampled: u64,
    eager: Shadow,
    choosy: Shadow,
    /// Hits that the choosy one had and the eager one had not, less those the other way round.
    lead: AtomicI64,
    enough: i64,
    most: i64,
    drawn: AtomicU64,
}

impl Admission {
    /// For a cache of about so many entries, and of so many bytes; `None` if it is too small to be sampled.
    pub(crate) fn new(entries: u64, bytes: u64, hasher: &RandomState) -> Option<Self> {
        if entries < LEAST {
            return None;
        }
        let sample = (entries / SHADOW).max(16).next_power_of_two().min(1 << 20);
        let (entries, bytes) = ((entries / sample).max(1), bytes / sample);
        let shadow = || {
            let options = OptionsBuilder::new()
                .estimated_items_capacity(usize::try_from(entries).ok()?)
                .weight_capacity(bytes)
                .ghost_allocation(GHOSTS)
                .shards(1)
                .build()
                .ok()?;
            Some(Cache::with_options(options, Charge, hasher.clone(), DefaultLifecycle::default()))
        };
        let entries = i64::try_from(entries).unwrap_or(i64::MAX / 2);
        Some(Self {
            sampled: sample - 1,
            eager: shadow()?,
            choosy: shadow()?,
            lead: AtomicI64::new(0),
            enough: entries / ENOUGH,
            most: entries * MOST,
            drawn: AtomicU64::new(0),
        })
    }

    pub(crate) fn is_sampled(&self, hash: u64) -> bool {
        hash & self.sampled == 0
    }

    /// A key of the sample was read. `charge` is what it takes if it is there.
    #[cold]
    pub(crate) fn read(&self, hash: u64, charge: Option<u32>) {
        let [eager, choosy] = [&self.eager, &self.choosy].map(|shadow| shadow.get(&hash).is_some());
        let lead = i64::from(choosy) - i64::from(eager);
        if lead != 0 {
            let add = |now: i64| Some((now + lead).clamp(-self.most, self.most));
            self.lead.fetch_update(Relaxed, Relaxed, add).ok();
        }
        if let Some(charge) = charge {
            self.loaded(hash, charge);
        }
    }

    /// A key of the sample was loaded.
    pub(crate) fn loaded(&self, hash: u64, charge: u32) {
        self.follow(&self.eager, false, hash, charge);
        self.follow(&self.choosy, true, hash, charge);
    }

    fn follow(&self, shadow: &Shadow, choosy: bool, hash: u64, charge: u32) {
        if shadow.peek(&hash).is_some() {
            return;
        }
        let decision = if is_full(shadow) { self.decision(choosy) } else { Decision::TakeIn };
        if decision != Decision::TurnAway {
            shadow.insert(hash, charge);
        }
        if decision == Decision::Protect {
            shadow.get(&hash);
        }
    }

    /// What the real cache does with a key.
    pub(crate) fn decide(&self) -> Decision {
        self.decision(self.lead.load(Relaxed) > self.enough)
    }

    fn decision(&self, choosy: bool) -> Decision {
        match choosy {
            true if self.one_in(TAKEN_IN) => Decision::Protect,
            true => Decision::TurnAway,
            false if self.one_in(PROTECTED) => Decision::Protect,
            false => Decision::TakeIn,
        }
    }

    /// Spread evenly (a Weyl sequence), so that no pattern of the reads meets a pattern here.
    fn one_in(&self, all: u64) -> bool {
        self.drawn.fetch_add(1, Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) < u64::MAX / all
    }
}

/// Whether another entry would probably push one out.
pub(crate) fn is_full<K, V, We, B, L>(cache: &Cache<K, V, We, B, L>) -> bool
where
    K: Eq + Hash,
    V: Clone,
    We: Weighter<K, V> + Clone,
    B: BuildHasher + Clone,
    L: Lifecycle<K, V> + Clone,
{
    cache.weight() >= cache.capacity() / 20 * 19
}
