//! The cost of a hit, next to a bare quick_cache and to the clock, on one thread and on two; and of a fence.
//! `cargo bench -p aqueduct-cache`. The machine may be shared: compare the lines of one run.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use aqueduct_cache::{Cache, Loaded};
use std::{
    hint::black_box,
    pin::pin,
    sync::{Arc, Barrier},
    task::{Context, Poll, Waker},
    thread,
};
use tokio::time::Instant;

const KEYS: u64 = 10_000;
const READS: u64 = 200_000;
const ROUNDS: usize = 60;

type Rows = Cache<u64, Arc<[u8]>, &'static str>;
type Bare = quick_cache::sync::Cache<u64, Arc<[u8]>>;

/// A key for the `n`th read: all keys, in no order a prefetcher knows.
fn scattered(n: u64) -> u64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % KEYS
}

/// Runs `read` [`READS`] times on each of `threads` threads; the mean ns.
fn measure(threads: u32, read: &(dyn Fn(u64) + Sync)) -> f64 {
    let start = Barrier::new(usize::try_from(threads).expect("few"));
    let thread = || {
        start.wait();
        let began = Instant::now();
        (0..READS).for_each(read);
        began.elapsed().as_secs_f64()
    };
    let seconds = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        running.into_iter().map(|t| t.join().expect("no panic")).sum::<f64>()
    });
    seconds * 1e9 / f64::from(u32::try_from(READS).expect("small")) / f64::from(threads)
}

fn hit(cache: &Rows, key: u64) {
    let read = pin!(cache.get(&key, || async { Err("every key is cached") }));
    let Poll::Ready(Ok(answer)) = read.poll(&mut Context::from_waker(Waker::noop())) else {
        unreachable!("every key is cached");
    };
    black_box(answer);
}

fn filled(runtime: &tokio::runtime::Runtime) -> (Rows, Bare) {
    let spawner = Arc::new(runtime_spawn);
    let lifetime = std::time::Duration::from_hours(1);
    let cache = Rows::builder().soft(lifetime).hard(lifetime).build(spawner).expect("valid");
    let bare = Bare::new(2 * usize::try_from(KEYS).expect("small"));
    runtime.block_on(async {
        for key in 0..KEYS {
            let row: Arc<[u8]> = Arc::from([7; 200]);
            bare.insert(key, Arc::clone(&row));
            cache.get(&key, || async { Ok(Loaded::new(1, Some(row))) }).await.expect("loads");
        }
    });
    assert_eq!(cache.stats().entries, KEYS);
    (cache, bare)
}

#[expect(clippy::disallowed_methods, reason = "the benchmark owns its runtime")]
fn runtime_spawn(task: aqueduct_cache::Task) {
    drop(tokio::spawn(task));
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (cache, bare) = filled(&runtime);
    let rows: [(&str, &(dyn Fn(u64) + Sync)); 8] = [
        ("clock", &|_| {
            black_box(Instant::now());
        }),
        ("quick_cache hit, one key", &|_| drop(black_box(bare.get(&7)))),
        ("aqueduct-cache hit, one key", &|_| hit(&cache, 7)),
        ("quick_cache hit, 10,000 keys", &|n| drop(black_box(bare.get(&scattered(n))))),
        ("clock and quick_cache hit, 10,000 keys", &|n| {
            black_box(Instant::now());
            drop(black_box(bare.get(&scattered(n))));
        }),
        ("aqueduct-cache hit, 10,000 keys", &|n| hit(&cache, scattered(n))),
        ("fence of a cached, proven key", &|n| cache.fence(&scattered(n), 1)),
        ("fence of a key that is not cached", &|n| cache.fence(&(KEYS + n), 1)),
    ];
    // Round by round, so that a neighbour's noise meets all rows alike; the best round of each counts.
    let mut best = [[f64::MAX; 2]; 8];
    for _ in 0..ROUNDS {
        for ((_, read), best) in rows.iter().zip(&mut best) {
            best[0] = best[0].min(measure(1, read));
            best[1] = best[1].min(measure(2, read));
        }
    }
    println!("{:<40} {:>10} {:>10}", "ns an operation", "1 thread", "2 threads");
    for ((name, _), [one, two]) in rows.iter().zip(best) {
        println!("{name:<40} {one:>10.1} {two:>10.1}");
    }
}
