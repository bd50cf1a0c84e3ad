//! Writers, readers and evictions on real threads: what the model checks one step at a time, under real races.

use crate::source::{Rows, spawner};
use aqueduct_cache::{Loaded, Task};
use std::{
    future::ready,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Waker},
    thread,
};

const KEYS: u64 = 8;
/// Loads that a fence or a flush must overtake, and hits that must be checked, before the test is over.
const RACES: u64 = 500;

#[derive(Default)]
struct Row {
    visible: AtomicU64,
    fenced: AtomicU64,
}

/// Commits and fences; `fenced` says what a reader that begins now must see.
fn write(cache: &Rows, rows: &[Row], seed: u64, reading: &AtomicUsize) {
    // Until the last reader is done, so that no schedule lets the two miss each other.
    for n in (0..).take_while(|_| reading.load(SeqCst) > 0) {
        let key = (n * 7 + seed) % KEYS;
        let row = &rows[usize::try_from(key).expect("small")];
        let version = row.visible.fetch_add(1, SeqCst) + 1;
        cache.fence(&key, if n % 16 == 0 { 0 } else { version });
        row.fenced.fetch_max(version, SeqCst);
        if n % 4096 == 0 {
            cache.flush();
        }
        // Lets readers in also where all threads share one core.
        thread::yield_now();
    }
}

/// Tells the writers that a reader is done, be it by an assertion.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

async fn read(cache: &Rows, rows: &Arc<[Row]>, key: u64) {
    let index = usize::try_from(key).expect("small");
    let needed = rows[index].fenced.load(SeqCst);
    let answer = cache
        .get(&key, || {
            let rows = Arc::clone(rows);
            async move {
                let version = rows[index].visible.load(SeqCst);
                // Lets writers in between reading and landing, more or less often.
                for _ in 0..version % 9 {
                    thread::yield_now();
                }
                Ok(Loaded::new(version, Some(version)))
            }
        })
        .await
        .expect("loads do not fail");
    assert!(answer.version >= needed, "key {key}: {answer:?} after version {needed} was fenced");
}

#[test]
fn no_reader_sees_what_was_fenced_before_it_began() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let cache = Rows::builder().build(spawner()).expect("valid");
    let rows: Arc<[Row]> = (0..KEYS).map(|_| Row::default()).collect();
    let reading = AtomicUsize::new(2);
    thread::scope(|threads| {
        let (cache, rows, runtime, reading) = (&cache, &rows, &runtime, &reading);
        for seed in 0..2 {
            threads.spawn(move || write(cache, rows, seed, reading));
            threads.spawn(move || {
                let _done = Done(reading);
                runtime.block_on(async {
                    let mut key = seed;
                    while cache.stats().refused_fills.min(cache.stats().hits) < RACES {
                        key = (key + 1) % KEYS;
                        read(cache, rows, key).await;
                        thread::yield_now();
                    }
                });
            });
        }
    });
}

#[test]
fn a_load_that_lands_between_look_and_lock_is_not_repeated() {
    const KEYS: u64 = 50_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    // Runs loads at once, so that they begin and land while another thread is between its look and its lock.
    let inline =
        |mut task: Task| assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    let cache = Rows::builder().build(Arc::new(inline)).expect("valid");
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let _context = runtime.enter();
                for key in 0..KEYS {
                    let read = pin!(cache.get(&key, || ready(Ok(Loaded::new(1, Some(1))))));
                    // Not ready: another thread's load is about to land.
                    drop(read.poll(&mut Context::from_waker(Waker::noop())));
                }
            });
        }
    });
    assert_eq!(cache.stats().loads, KEYS);
}
