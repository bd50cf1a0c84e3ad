//! What a decision costs: `cargo bench -p aqueduct-limit`. Prints ns a decision.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use aqueduct_limit::{Limiter, Rate};

const DECISIONS: u64 = 4_000_000;
const KEYS: usize = 65_536;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Admits whatever these loops ask, and is full again at once when the time moves.
    let wide = Rate::new(1_000_000_000, Duration::from_secs(1), 1 << 32)?;
    // Admits one in a second.
    let narrow = Rate::new(1, Duration::from_secs(1), 1)?;
    let key = |number: u64| (0xc0a8_0000 + number).to_be_bytes();
    for threads in [1, 2] {
        let limiter = Limiter::new(wide, KEYS);
        report("one key for all", threads, |_, _| limiter.check(b"global", 1).allowed);
        let limiter = Limiter::new(wide, KEYS);
        report("1,000 keys, admitted", threads, |_, turn| limiter.check(&key(turn % 1000), 1).allowed);
        let limiter = Limiter::new(wide, KEYS);
        report("60,000 keys, admitted", threads, |_, turn| {
            limiter.check(&key(turn * 7919 % 60_000), 1).allowed
        });
        let limiter = Limiter::new(narrow, KEYS);
        report("1,000 keys, refused", threads, |_, turn| limiter.check(&key(turn % 1000), 1).allowed);
        let limiter = Limiter::new(wide, KEYS);
        report("new keys, room", threads, |thread, turn| {
            // Each is new, and by then the entries of the ones before are free.
            limiter.check(&key(turn * 2 + thread), turn).allowed
        });
        let limiter = Limiter::new(narrow, KEYS);
        report("new keys, table full", threads, |thread, turn| {
            limiter.check(&key(turn * 2 + thread), 1).allowed
        });
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
fn report(what: &str, threads: u64, work: impl Fn(u64, u64) -> bool + Sync) {
    let (start, end) = (
        Barrier::new(usize::try_from(threads).unwrap_or(0) + 1),
        Barrier::new(usize::try_from(threads).unwrap_or(0) + 1),
    );
    let wall = thread::scope(|scope| {
        for thread in 0..threads {
            let (work, start, end) = (&work, &start, &end);
            scope.spawn(move || {
                start.wait();
                for turn in 0..DECISIONS {
                    black_box(work(thread, turn));
                }
                end.wait();
            });
        }
        start.wait();
        let began = Instant::now();
        end.wait();
        began.elapsed()
    });
    println!("{what:<24} {threads} thread(s) {:>7.1} ns each", wall.as_secs_f64() * 1e9 / DECISIONS as f64);
}
