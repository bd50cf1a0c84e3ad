//! The hit rate on a skewed trace, next to a plain LRU of as many entries, and on loops, next to the best that is possible.

use crate::source::{Rows, spawner};
use aqueduct_cache::Loaded;
use std::collections::{BTreeMap, HashMap};

const KEYS: usize = 50_000;
const READS: usize = 300_000;

/// Zipf 0.99 over [`KEYS`], by inversion of the cumulated weights, from a fixed seed.
fn zipf() -> impl Iterator<Item = u64> {
    let mut sum = 0.0;
    let cumulated: Vec<f64> = (1..=u32::try_from(KEYS).expect("small"))
        .map(|rank| {
            sum += f64::from(rank).powf(-0.99);
            sum
        })
        .collect();
    let mut state = 42_u64;
    std::iter::repeat_with(move || {
        // xorshift64* (Vigna 2014).
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let top = u32::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).expect("32 bits");
        let at = f64::from(top) / f64::from(u32::MAX) * sum;
        cumulated.partition_point(|c| *c < at) as u64
    })
    .take(READS)
}

#[derive(Default)]
struct Lru {
    last_use: HashMap<u64, usize>,
    by_use: BTreeMap<usize, u64>,
}

impl Lru {
    fn read(&mut self, key: u64, now: usize, capacity: usize) -> bool {
        let before = self.last_use.insert(key, now);
        if let Some(before) = before {
            self.by_use.remove(&before);
        }
        self.by_use.insert(now, key);
        if self.by_use.len() > capacity
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.last_use.remove(&oldest);
        }
        before.is_some()
    }
}

#[tokio::test(start_paused = true)]
async fn a_skewed_trace_hits_more_often_than_in_an_lru_of_as_many_entries() {
    let cache = Rows::builder().capacity_bytes(1 << 20).expected_bytes(0).build(spawner()).unwrap();
    for key in zipf() {
        cache.get(&key, || async { Ok(Loaded::new(1, Some(1))) }).await.unwrap();
    }
    let stats = cache.stats();
    let capacity = usize::try_from(stats.entries).unwrap();
    let mut lru = Lru::default();
    let lru_hits = zipf().enumerate().filter(|(now, key)| lru.read(*key, *now, capacity)).count() as u64;
    assert!(stats.evictions > 0);
    assert_eq!(stats.hits + stats.misses, READS as u64);
    assert!(stats.hits > lru_hits, "{} hits with {capacity} entries, an LRU has {lru_hits}", stats.hits);
}

/// The share of a loop's reads that hit, and of those that could: all but the keys for which there is no place.
async fn looped(size: f64) -> (f64, f64) {
    let cache =
        Rows::builder().capacity_bytes(1 << 20).expected_bytes(0).build(spawner()).expect("large enough");
    let read = async |key| drop(cache.get(&key, || async { Ok(Loaded::new(1, Some(1))) }).await);
    for key in 0..100_000 {
        read(key).await;
    }
    let before = cache.stats();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small"
    )]
    let keys = (before.entries as f64 * size) as u64;
    let reads = 60 * keys;
    let mut before = before;
    for n in 0..2 * reads {
        if n == reads {
            before = cache.stats();
        }
        read(200_000 + n % keys).await;
    }
    let after = cache.stats();
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let share = |part: u64, all: u64| part as f64 / all as f64;
    (share(after.hits - before.hits, reads), share(before.entries, keys).min(1.0))
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_does_not_fit_does_not_push_itself_out() {
    // What was there before, and is never read again, is in the way for some rounds. Without its remedies quick_cache ends at 0.
    for (size, least) in [(0.9, 0.95), (1.1, 0.85), (1.3, 0.75), (2.0, 0.75)] {
        let (hits, best) = looped(size).await;
        assert!(hits > least * best, "{size}: {hits:.3} of at most {best:.3}");
    }
}
