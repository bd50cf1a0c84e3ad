//! The crate as its owners use it: threads that mint, a clock that jumps, the system's own clock.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use aqueduct_ids::{Clock, DEFAULT_EPOCH_MS, Generator, Id, IdError, Layout, Lease, LeaseOptions, Route};
use proptest::prelude::*;

const THREADS: usize = 4;

/// Mints `rounds` times on every route, starting at a route of its own; checks what each thread can see.
fn mint_all_routes(ids: &Generator, layout: Layout, worker: u16, rounds: usize) -> Result<Vec<Id>, IdError> {
    let mut minted = Vec::with_capacity(rounds * 64);
    let mut last = [None; 64];
    for _ in 0..rounds {
        for (index, route) in Route::all().enumerate() {
            let id = ids.next_id(route)?;
            assert_eq!((id.get() >> 19) & 3, u64::from(route.shard()));
            assert_eq!((id.get() >> 15) & 15, u64::from(route.table()));
            assert_eq!(layout.decode(id).worker, worker);
            assert!(last[index] < Some(id), "{id} came after a greater one");
            last[index] = Some(id);
            minted.push(id);
        }
    }
    Ok(minted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn four_threads_on_all_routes_never_repeat_and_always_decode(
        seed: bool,
        worker in 0..8_u16,
        rounds in 1..200_usize,
        steps in prop::collection::vec(-400..400_i64, 1..50),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let layout = if seed { Layout::SEED } else { Layout::DEFAULT };
        // Each reading moves the clock, within the second that is followed without refusing.
        let reading = AtomicU64::new(0);
        let clock = Clock::from_fn(move || {
            let turn = usize::try_from(reading.fetch_add(1, Ordering::Relaxed)).unwrap();
            (DEFAULT_EPOCH_MS + 1_000_000).saturating_add_signed(steps[turn % steps.len()])
        });
        let options = LeaseOptions { layout, worker, clock, ..LeaseOptions::default() };
        let lease = Lease::open(dir.path(), options).unwrap();
        let ids = lease.generator();

        let minted: Vec<_> = thread::scope(|scope| {
            let threads = [(); THREADS].map(|()| scope.spawn(|| mint_all_routes(&ids, layout, worker, rounds)));
            threads.into_iter().flat_map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        prop_assert_eq!(minted.len(), THREADS * 64 * rounds);
        prop_assert_eq!(minted.iter().collect::<HashSet<_>>().len(), minted.len());
    }
}

/// Owners may keep the lease in a task or a thread and hand generators to others.
#[test]
fn the_handles_cross_threads() {
    fn check<T: Send + 'static>(value: T) -> T {
        value
    }
    let dir = tempfile::tempdir().unwrap();
    let lease = check(Lease::open(dir.path(), LeaseOptions::default()).unwrap());
    let ids = Arc::new(check(lease.generator()));
    let other = Arc::clone(&ids);
    let theirs = thread::spawn(move || other.next_id(Route::of_hash(1)).unwrap()).join().unwrap();
    assert_ne!(ids.next_id(Route::of_hash(1)).unwrap(), theirs);
}

#[test]
fn the_system_clock_is_past_the_default_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let lease = Lease::open(dir.path(), LeaseOptions::default()).unwrap();
    let id = lease.generator().next_id(Route::of_hash(1)).unwrap();
    let two_years = 2 * 365 * 86_400_000;
    assert!(Layout::DEFAULT.decode(id).time_ms > two_years);
}
