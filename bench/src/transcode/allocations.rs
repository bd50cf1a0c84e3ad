//! Counts the allocations of each thread.
#![expect(unsafe_code, reason = "counting allocations takes a `GlobalAlloc`, which is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

/// The allocator of the `aqueduct` binary, with a count that no other thread writes to.
struct Counting(MiMalloc);

#[global_allocator]
static ALLOCATOR: Counting = Counting(MiMalloc);

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Allocations and reallocations of this thread so far.
pub(super) fn of_this_thread() -> u64 {
    COUNT.get()
}

fn count() {
    COUNT.set(COUNT.get() + 1);
}

// SAFETY: every call goes to mimalloc as it came, and counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::of_this_thread;

    #[test]
    fn allocations_are_counted() {
        let before = of_this_thread();
        let kept = std::hint::black_box(vec![1u8; 100]);
        assert_eq!(of_this_thread() - before, 1);
        drop(kept);
        assert_eq!(of_this_thread() - before, 1);
    }
}
