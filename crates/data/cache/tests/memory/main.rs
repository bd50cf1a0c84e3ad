//! Measures memory with an allocator that counts: the capacity holds for small and large values, fences and loads
//! are bounded, and a hit allocates nothing. A test binary of its own, since an allocator is global.

#![expect(unsafe_code, reason = "counting memory takes a `GlobalAlloc`, which is an unsafe trait")]

use aqueduct_cache::{Cache, Loaded, Task};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

thread_local! {
    /// Bytes this thread holds, by thread so that tests may run side by side.
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn note(bytes: usize, sign: i64) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    LIVE.with(|live| live.set(live.get() + sign * bytes));
}

// SAFETY: every call is passed to `System` unchanged; the counters are plain thread-local cells without destructors,
// which neither allocate nor can be gone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 1);
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(layout.size(), -1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn live() -> i64 {
    LIVE.with(Cell::get)
}

type Blobs = Cache<u64, Arc<[u8]>, &'static str>;

/// An `Arc<[u8]>` has two counters before its bytes.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature of a weigher")]
fn heap(_key: &u64, value: Option<&Arc<[u8]>>) -> usize {
    value.map_or(0, |bytes| bytes.len() + 16)
}

#[expect(clippy::disallowed_methods, reason = "a test owns its runtime")]
fn spawn(task: Task) {
    drop(tokio::spawn(task));
}

fn blobs(capacity: u64, expected: u64) -> Blobs {
    Blobs::builder()
        .capacity_bytes(capacity)
        .expected_bytes(expected)
        .weigher(heap)
        .build(Arc::new(spawn))
        .expect("valid")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

async fn fill(cache: &Blobs, key: u64, size: usize) {
    let load = async move { Ok(Loaded::new(1, Some(Arc::from(vec![7; size])))) };
    cache.get(&key, || load).await.expect("loads do not fail");
}

/// Four times as many values as fit, of `size(key)` bytes: the memory in use never exceeds the capacity by more than
/// 1 % and 64 KiB (the shards' structures; the entry that is just coming in), and in the end at least `least` is used.
fn check(capacity: u64, expected: u64, least: f64, size: impl Fn(u64) -> usize) {
    runtime().block_on(async {
        let before = live();
        let cache = blobs(capacity, expected);
        // The locks' table of stripes is there from the start, beside the capacity.
        let fixed = live() - before;
        assert!(fixed < 256 << 10, "{fixed} bytes before the first entry");
        let (mut bytes, mut key) = (0, 0);
        while bytes < 4 * capacity {
            fill(&cache, key, size(key)).await;
            bytes += size(key) as u64 + 100;
            key += 1;
            let used = live() - before - fixed;
            let limit = i64::try_from(capacity + capacity / 100).expect("small") + (64 << 10);
            assert!(used <= limit, "{used} bytes used of {capacity} after {key} values");
        }
        let used = live() - before - fixed;
        let share = f64::from(i32::try_from(used).expect("small"))
            / f64::from(u32::try_from(capacity).expect("small"));
        assert!(share >= least, "only {share} of {capacity} bytes used by {:?}", cache.stats());
        assert!(cache.stats().bytes <= capacity);
    });
}

#[test]
fn small_values_stay_within_the_capacity() {
    check(4 << 20, 16, 0.4, |_| 16);
    check(4 << 20, 512, 0.4, |_| 16);
}

#[test]
fn middling_values_stay_within_the_capacity() {
    check(8 << 20, 512, 0.6, |_| 500);
}

#[test]
fn large_values_stay_within_the_capacity() {
    check(16 << 20, 64 << 10, 0.9, |_| 64 << 10);
    check(16 << 20, 512, 0.7, |_| 64 << 10);
}

#[test]
fn mixed_values_stay_within_the_capacity() {
    check(8 << 20, 512, 0.5, |key| 1 << (key * 7 % 15));
}

#[test]
fn a_value_larger_than_a_shard_is_not_kept() {
    runtime().block_on(async {
        let cache = blobs(1 << 20, 512);
        fill(&cache, 1, 1 << 20).await;
        assert_eq!((cache.stats().entries, cache.stats().evictions), (0, 1));
    });
}

#[test]
fn fences_are_bounded_however_many_keys_are_written() {
    let cache = blobs(1 << 20, 512);
    let before = live();
    for key in 0..1_000_000 {
        cache.fence(&key, 1);
    }
    let used = live() - before;
    assert!((1..=512 << 10).contains(&used), "{used} bytes for fences");
}

#[test]
fn loads_that_are_over_leave_nothing() {
    runtime().block_on(async {
        let cache = blobs(1 << 20, 512);
        let round = async || {
            for key in 0..20_000 {
                fill(&cache, key, 100).await;
                cache.fence(&key, 0);
            }
        };
        round().await;
        let before = live();
        round().await;
        let grown = live() - before;
        assert!(grown.abs() < 16 << 10, "{grown} bytes more after 20,000 loads");
    });
}

#[test]
fn a_hit_allocates_nothing() {
    runtime().block_on(async {
        let cache = blobs(1 << 20, 512);
        fill(&cache, 1, 100).await;
        let before = ALLOCATIONS.with(Cell::get);
        for _ in 0..1000 {
            let hit = pin!(cache.get(&1, || async { Err("not called") }));
            assert!(matches!(hit.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_))));
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
        assert_eq!(cache.stats().hits, 1000);
    });
}
