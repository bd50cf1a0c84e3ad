//! Many IDs, each looked up in a bitmap of all that there can be: 100 million in `cargo xtask soak`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use aqueduct_ids::{Clock, DEFAULT_EPOCH_MS, Generator, Id, IdError, Layout, Lease, LeaseOptions, Route};

const THREADS: usize = 4;
const WORKERS: usize = 2;
/// Of a round, all threads together.
const IDS: usize = 200_000;
/// Readings of the clock a millisecond. It fills a third of the IDs that there are.
const READINGS: u64 = 12_000;
/// IDs of a millisecond: both workers', on 64 routes.
const OF_MS: usize = WORKERS * 64 * 256;

/// A bit an ID.
#[derive(Default)]
struct Seen(BTreeMap<u64, Vec<u64>>);

impl Seen {
    /// False when it was there.
    fn add(&mut self, id: Id) -> bool {
        let parts = Layout::DEFAULT.decode(id);
        let route = usize::from(parts.route.shard()) << 4 | usize::from(parts.route.table());
        let place = (usize::from(parts.worker) << 6 | route) << 8 | usize::from(parts.sequence);
        let bits = self.0.entry(parts.time_ms).or_insert_with(|| vec![0; OF_MS / 64]);
        let (word, bit) = (&mut bits[place / 64], 1 << (place % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

fn mint(ids: &[Generator], at: usize) -> Vec<Id> {
    let routes: Vec<_> = Route::all().collect();
    let mut minted = Vec::with_capacity(IDS / THREADS);
    while minted.len() < IDS / THREADS {
        let turn = minted.len() + at;
        match ids[turn % ids.len()].next_id(routes[turn / ids.len() % routes.len()]) {
            Ok(id) => minted.push(id),
            // Each try moves the clock on.
            Err(error) => assert!(matches!(error, IdError::ClockBehind { .. }), "{error}"),
        }
    }
    minted
}

#[test]
fn no_id_comes_twice() {
    let readings = Arc::new(AtomicU64::new(0));
    let read = Arc::clone(&readings);
    // It moves on by its readings, and each shows up to 400 ms less: it is stepped back all the time.
    let clock = Clock::from_fn(move || {
        let reading = read.fetch_add(1, Ordering::Relaxed);
        DEFAULT_EPOCH_MS + 1_000_000 + reading / READINGS - reading.wrapping_mul(2_654_435_761) % 400
    });
    let folders = [(); WORKERS].map(|()| tempfile());
    let open = |worker: usize| {
        let worker_number = u16::try_from(worker).unwrap();
        let options = LeaseOptions { worker: worker_number, clock: clock.clone(), ..LeaseOptions::default() };
        Lease::open(folders[worker].path(), options).unwrap()
    };
    let mut leases: Vec<_> = (0..WORKERS).map(open).collect();
    let mut seen = Seen::default();
    let rounds = aqueduct_kit::rounds(5);
    for round in 1..=rounds {
        let ids: Vec<_> = leases.iter().map(Lease::generator).collect();
        let minted: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|at| {
                    scope.spawn({
                        let ids = &ids;
                        move || mint(ids, at)
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        for id in minted {
            assert!(seen.add(id), "{id} again, in round {round}");
        }
        if round % 50 == 4 {
            // As after a crash that took longer than a lease reserves: who waited for the mark would move the clock on past the new one.
            leases.clear();
            readings.fetch_add(2_000 * READINGS, Ordering::Relaxed);
            leases = (0..WORKERS).map(open).collect();
        }
        for lease in &mut leases {
            lease.renew().unwrap();
        }
    }
    let count: u64 = seen.0.values().flatten().map(|word| u64::from(word.count_ones())).sum();
    assert_eq!(count, u64::from(rounds) * IDS as u64);
}

fn tempfile() -> aqueduct_kit::Scratch {
    aqueduct_kit::Scratch::new("ids-many")
}
