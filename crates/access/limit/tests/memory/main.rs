//! Measures memory with an allocator that counts: ten million keys allocate nothing, neither do refusals. A test binary of its
//! own, since an allocator is global.

#![expect(unsafe_code, reason = "counting memory takes a `GlobalAlloc`, which is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use aqueduct_limit::{Limiter, Rate};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed to `System` unchanged; the counters are plain thread-local cells without destructors,
// which neither allocate nor can be gone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        BYTES.with(|n| n.set(n.get() + layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn ten_million_keys_leave_memory_flat() {
    const KEYS: usize = 65_536;
    let rate = Rate::new(1_000, Duration::from_secs(1), 2).unwrap();
    let before = BYTES.with(Cell::get);
    let limiter = Limiter::new(rate, KEYS);
    let made = BYTES.with(Cell::get) - before;
    let told = limiter.bytes() - size_of::<Limiter>();
    assert_eq!(made, told, "it tells what it holds");
    assert!(made <= KEYS * 34 + 1024, "{made} bytes for {KEYS} keys");

    let allocations = ALLOCATIONS.with(Cell::get);
    let mut number = 1u64;
    let mut refused = 0;
    for turn in 0..10_000_000u64 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // 100 a microsecond: far more than there is room for.
        refused += u64::from(!limiter.check(&number.to_le_bytes(), turn * 10).allowed);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get), allocations, "a decision allocates nothing");
    assert!(refused > 0, "the overflow was reached too");
    assert_eq!(limiter.bytes() - size_of::<Limiter>(), made);
}
