//! Threads that measure at the same time.

use std::sync::Barrier;
use std::thread;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Runs `work` on so many threads, which begin together, and gives the mean of what they found. Each has a core to itself: left to the
/// kernel, two threads that are done in a few milliseconds may run one after the other, and never meet.
pub(crate) fn mean(threads: u64, work: impl Fn(u64) -> f64 + Sync) -> f64 {
    let start = Barrier::new(usize::try_from(threads).unwrap_or(1));
    let one = |thread| {
        let mut core = CpuSet::new();
        core.set(usize::try_from(thread).unwrap_or(0));
        // Where that is not allowed, or there are fewer cores, the kernel chooses.
        sched_setaffinity(None, &core).ok();
        start.wait();
        work(thread)
    };
    let sum: f64 = thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).sum()
    });
    sum / threads as f64
}
