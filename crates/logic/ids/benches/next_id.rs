//! What an ID costs: `cargo bench -p aqueduct-ids`. Prints ns per ID and, beside it, what the clock read alone costs.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Instant, SystemTime};

use aqueduct_ids::{Generator, Lease, LeaseOptions, Route};

/// Few enough that the IDs of all threads stay within the second they may run ahead.
const IDS: u32 = 4_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    report("clock read alone", 1, |_| {
        for _ in 0..IDS {
            black_box(now());
        }
    });
    for threads in [1, 2] {
        let folder = tempfile::tempdir()?;
        let lease = Lease::open(folder.path(), LeaseOptions::default())?;
        let ids = lease.generator();
        report("next_id, 64 routes", threads, |_| mint(&ids, |turn| turn));
        lease.close()?;
    }
    let folder = tempfile::tempdir()?;
    let lease = Lease::open(folder.path(), LeaseOptions::default())?;
    let ids = lease.generator();
    report("next_id, 32 routes a thread", 2, |thread| mint(&ids, |turn| thread * 32 + turn % 32));
    Ok(())
}

fn mint(ids: &Generator, route_of: impl Fn(usize) -> usize) {
    let routes: Vec<_> = Route::all().collect();
    let mut refused = 0;
    for turn in 0..IDS as usize {
        refused += u32::from(black_box(ids.next_id(routes[route_of(turn) & 63])).is_err());
    }
    assert_eq!(refused, 0, "the figure would be that of a refusal");
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn report(what: &str, threads: usize, work: impl Fn(usize) + Sync) {
    let (start, end) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    let wall = thread::scope(|scope| {
        for thread in 0..threads {
            let (work, start, end) = (&work, &start, &end);
            scope.spawn(move || {
                start.wait();
                work(thread);
                end.wait();
            });
        }
        start.wait();
        let began = instant();
        end.wait();
        began.elapsed()
    });
    println!("{what:<28} {threads} thread(s) {:>7.1} ns each", wall.as_secs_f64() * 1e9 / f64::from(IDS));
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the read that every ID contains, measured alone")]
fn now() -> SystemTime {
    SystemTime::now()
}
