//! The auditor: compares what is cached with the store. Invalidations are only as complete as the log they come from; a change that
//! is in no log (MariaDB's `sql_log_bin=0`, a foreign key that cascades, a restored backup) is found by looking, and by nothing else.

use crate::{answer::Loaded, cache::Cache};
use std::{
    fmt,
    hash::Hash,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// A level below memory that is compared too. The second level's [`Tier`](crate::l2::Tier) is one with the feature `l2`; `()` is
/// none.
pub trait Level<K, V>: Send + Sync {
    /// What would be answered for the key; `None` for a miss, or when the level cannot be asked.
    fn peek(&self, key: &K) -> impl Future<Output = Option<Cached<V>>> + Send;

    /// Takes out what [`peek`](Self::peek) gave. `newer` is the store's version if that is above it. Tells whether it is out.
    fn repair(&self, key: &K, cached: &Cached<V>, newer: Option<u64>) -> impl Future<Output = bool> + Send;
}

impl<K: Sync, V: Sync> Level<K, V> for () {
    async fn peek(&self, _key: &K) -> Option<Cached<V>> {
        None
    }

    async fn repair(&self, _key: &K, _cached: &Cached<V>, _newer: Option<u64>) -> bool {
        false
    }
}

/// What a level holds of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached<V> {
    /// Its version.
    pub version: u64,
    /// The row; `None`: it is known to be absent.
    pub value: Option<V>,
}

/// What a round found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audit {
    /// Keys whose row was read.
    pub compared: u64,
    /// Copies that were not what the store has, and did not become it within the grace: lies.
    pub differing: u64,
    /// Of those, taken out.
    pub repaired: u64,
    /// Keys whose row could not be read.
    pub unreadable: u64,
}

/// Remembers which keys are read, and compares a sample of them with the store. See [`Auditor::round`].
///
/// The sample is drawn from what was read since the last round, each read as likely as any other (Vitter's algorithm R).
#[derive(Debug)]
pub struct Auditor<K> {
    sample: Mutex<Sample<K>>,
    most: usize,
    compared: AtomicU64,
    differing: AtomicU64,
    repaired: AtomicU64,
    unreadable: AtomicU64,
}

#[derive(Debug)]
struct Sample<K> {
    keys: Vec<K>,
    /// Keys told since the last round.
    told: u64,
    random: u64,
}

impl<K: Clone + Hash + Eq + Send + Sync + 'static> Auditor<K> {
    /// At most `keys` are compared in a round. `seed` draws them.
    pub fn new(keys: usize, seed: u64) -> Self {
        let sample = Sample { keys: Vec::new(), told: 0, random: seed };
        let [compared, differing, repaired, unreadable] = [0; 4].map(AtomicU64::new);
        Self { sample: Mutex::new(sample), most: keys, compared, differing, repaired, unreadable }
    }

    /// Tells of a key that is read. Takes some 20 ns and never waits: what is told while another thread tells something is not counted,
    /// as if it had not been drawn.
    pub fn note(&self, key: &K) {
        let Ok(mut sample) = self.sample.try_lock() else { return };
        let sample = &mut *sample;
        sample.told += 1;
        if sample.keys.len() < self.most {
            sample.keys.push(key.clone());
        } else if let Some(place) = usize::try_from(sample.draw()).ok().and_then(|at| sample.keys.get_mut(at))
        {
            place.clone_from(key);
        }
    }

    /// Compares the sampled keys' copies in `cache` and in the level `below` with what `read` says, which must ask the store's
    /// primary, and takes out those that lie. The sample begins anew.
    ///
    /// A copy that differs may only be early: its invalidation is under way. So all that differ are looked at again after `grace`,
    /// which should be several times what an invalidation takes (a few Δ). One that is still the same, and still not
    /// what the store had *before* the grace nor has after it, is a lie. A change in between makes it no lie, and no proof.
    ///
    /// Keys are read one after the other: an audit must not be a load. A row that cannot be read is left alone.
    pub async fn round<V, E, L, R, X>(
        &self,
        cache: &Cache<K, V, E>,
        below: &L,
        grace: Duration,
        read: impl Fn(K) -> R + Send + Sync,
    ) -> Audit
    where
        V: Clone + PartialEq + Send + Sync + 'static,
        E: fmt::Display + Send + Sync + 'static,
        L: Level<K, V>,
        R: Future<Output = Result<Loaded<V>, X>> + Send,
        X: Send,
    {
        let mut audit = Audit::default();
        let mut suspects = Vec::new();
        for key in self.take() {
            let copies = [in_memory(cache, &key), below.peek(&key).await];
            if copies.iter().all(Option::is_none) {
                continue;
            }
            let Ok(row) = read(key.clone()).await else {
                audit.unreadable += 1;
                continue;
            };
            audit.compared += 1;
            if copies.iter().flatten().any(|copy| differs(copy, &row)) {
                suspects.push((key, copies, row));
            }
        }
        if !suspects.is_empty() {
            tokio::time::sleep(grace).await;
        }
        for (key, [memory, level], before) in suspects {
            let Ok(row) = read(key.clone()).await else {
                audit.unreadable += 1;
                continue;
            };
            // From below, so that memory is not filled from there once more.
            if let Some(copy) = lie(level.as_ref(), below.peek(&key).await, [&before, &row]) {
                let newer = Some(row.version).filter(|version| *version > copy.version);
                audit.repaired += u64::from(below.repair(&key, &copy, newer).await);
                audit.differing += 1;
                tracing::warn!(
                    level = "below",
                    cached = copy.version,
                    stored = row.version,
                    "a cached row is not the stored one"
                );
            }
            if let Some(copy) = lie(memory.as_ref(), in_memory(cache, &key), [&before, &row]) {
                // A version that the store has passed condemns what is older; otherwise nothing that is cached can be trusted.
                cache.fence(&key, if row.version > copy.version { row.version } else { 0 });
                audit.repaired += 1;
                audit.differing += 1;
                tracing::warn!(
                    level = "memory",
                    cached = copy.version,
                    stored = row.version,
                    "a cached row is not the stored one"
                );
            }
        }
        for (counter, found) in [
            (&self.compared, audit.compared),
            (&self.differing, audit.differing),
            (&self.repaired, audit.repaired),
            (&self.unreadable, audit.unreadable),
        ] {
            counter.fetch_add(found, Relaxed);
        }
        audit
    }

    /// What all rounds found together.
    pub fn total(&self) -> Audit {
        Audit {
            compared: self.compared.load(Relaxed),
            differing: self.differing.load(Relaxed),
            repaired: self.repaired.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
        }
    }

    fn take(&self) -> Vec<K> {
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.told = 0;
        let mut keys = std::mem::take(&mut sample.keys);
        drop(sample);
        let mut seen = std::collections::HashSet::new();
        keys.retain(|key| seen.insert(key.clone()));
        keys
    }
}

impl<K> Sample<K> {
    /// A number below `told` (Steele, Lea, Flood: *Fast splittable pseudorandom number generators*, OOPSLA'14; multiplied into the
    /// range as by Lemire).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        u64::try_from((u128::from(mixed) * u128::from(self.told)) >> 64).unwrap_or_default()
    }
}

/// What memory would answer unmarked.
fn in_memory<K, V, E>(cache: &Cache<K, V, E>, key: &K) -> Option<Cached<V>>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    let answer = cache.peek(key).filter(|answer| !answer.is_stale())?;
    Some(Cached { version: answer.version, value: answer.value })
}

/// A copy that is the same as before, and neither what the store had nor what it has.
fn lie<V: PartialEq>(
    then: Option<&Cached<V>>,
    now: Option<Cached<V>>,
    rows: [&Loaded<V>; 2],
) -> Option<Cached<V>> {
    let same = now.filter(|now| then == Some(now))?;
    rows.iter().all(|row| differs(&same, row)).then_some(same)
}

/// Whether a copy is another row than the store's. Of an absent row stores may know no version.
fn differs<V: PartialEq>(copy: &Cached<V>, row: &Loaded<V>) -> bool {
    copy.value != row.value || copy.value.is_some() && copy.version != row.version
}

#[cfg(test)]
mod tests {
    use super::Auditor;

    #[test]
    fn each_key_that_was_told_is_as_likely_as_any_other() {
        let auditor = Auditor::new(10, 1);
        let mut taken = [0_u32; 100];
        for _ in 0..2000 {
            for key in 0..100_usize {
                auditor.note(&key);
            }
            let keys = auditor.take();
            assert_eq!(keys.len(), 10);
            for key in keys {
                taken[key] += 1;
            }
        }
        // 200 each; the standard deviation is 13.
        assert!(taken.iter().all(|times| (130..270).contains(times)), "{taken:?}");
        assert_eq!(auditor.take(), []);
    }
}
