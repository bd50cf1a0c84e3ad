//! What the table promises: exact for keys that have an entry, however many threads ask; a full table lets nobody escape.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use super::*;

const MS: u64 = 1_000_000;

/// This many at once, one a millisecond.
fn rate(burst: u64) -> Rate {
    Rate::new(1_000, Duration::from_secs(1), burst).unwrap()
}

fn key(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// A multiplier that visits numbers in no order.
fn scatter(number: u64) -> u64 {
    number.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(17)
}

#[test]
fn as_many_keys_as_were_asked_for_find_room() {
    let limiter = Limiter::new(rate(2), 65_536);
    for number in 0..65_536 {
        assert!(limiter.check(&key(number), MS).resident, "key {number}");
    }
    assert_eq!(limiter.in_use(MS), 65_536);
    assert_eq!(limiter.in_use(2 * MS), 0, "a full bucket needs no entry");
}

#[test]
fn threads_share_one_exact_limit() {
    const BURST: u64 = 50;
    const TICKS: u64 = 20_000;
    let limiter = Limiter::new(rate(BURST), 16);
    let (clock, admitted) = (AtomicU64::new(MS), [0; 3].map(AtomicU64::new));
    let ask = |which: usize, now| {
        let allowed = limiter.check(&key(which as u64), now).allowed;
        admitted[which].fetch_add(u64::from(allowed), SeqCst);
        allowed
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Each turn moves the time by a tenth of what one costs, and asks more often than may be admitted.
                while clock.load(SeqCst) < MS + TICKS * MS / 10 {
                    let now = clock.fetch_add(MS / 10, SeqCst);
                    for which in 0..3 {
                        ask(which, now);
                    }
                }
            });
        }
    });
    let end = MS + TICKS * MS / 10 + MS;
    for (which, admitted) in admitted.iter().enumerate() {
        // Nobody asked while the last burst refilled: it is still there.
        while ask(which, end) {}
        let passed = (end - MS) / MS;
        assert_eq!(admitted.load(SeqCst), BURST + passed, "key {which}");
    }
}

#[test]
fn a_full_table_keeps_its_keys_exact_and_lets_no_new_key_escape() {
    const BURST: u64 = 10;
    let limiter = Limiter::new(rate(BURST), 64);
    let residents: Vec<_> = (0..48).map(key).collect();
    for resident in &residents {
        assert!(limiter.check(resident, MS).resident);
    }
    // Strangers fill every entry and then the overflow: all at the same instant, so that nothing is given back.
    let (mut shared, mut refused) = (0, [0, 0]);
    for number in 0..1_000_000 {
        let decision = limiter.check(&key(scatter(number) | 1 << 63), MS);
        shared += u64::from(decision.allowed && !decision.resident);
        refused[usize::from(decision.resident)] += u64::from(!decision.allowed);
    }
    let [sharing, residents_refused] = refused;
    assert_eq!(residents_refused, 0, "a key that has no entry is told so, whatever is decided");
    assert_eq!(sharing, 1_000_000 - (limiter.capacity() as u64 - 48) - shared);
    assert_eq!(limiter.in_use(MS), limiter.capacity());
    assert_eq!(shared, MIN_OVERFLOW as u64 * BURST, "what a shared word admits, not what each key would be");
    for resident in &residents {
        for left in (0..BURST - 1).rev() {
            let decision = limiter.check(resident, MS);
            assert!(decision.allowed && decision.resident && decision.remaining == left, "{decision:?}");
        }
        assert!(!limiter.check(resident, MS).allowed);
        assert!(limiter.check(resident, 2 * MS).allowed && !limiter.check(resident, 2 * MS).allowed);
    }
}

#[test]
fn a_key_that_moves_from_the_overflow_to_an_entry_gains_nothing() {
    let limiter = Limiter::new(rate(4), 1);
    let mut number = 0;
    while limiter.check(&key(number), MS).resident {
        number += 1;
    }
    let stranger = key(number);
    assert!((0..3).all(|_| limiter.check(&stranger, MS).allowed) && !limiter.check(&stranger, MS).allowed);
    // A millisecond later the others' entries are free again, and one of its own four has come back.
    let decision = limiter.check(&stranger, 2 * MS);
    assert!(decision.allowed && decision.resident && decision.remaining == 0, "{decision:?}");
    assert!(!limiter.check(&stranger, 2 * MS).allowed);
}

/// More keys than entries, and threads whose clocks are apart: entries change hands all the time, and yet no key ever gets
/// more than its limit.
#[test]
fn entries_that_change_hands_under_threads_let_nothing_through() {
    const BURST: u64 = 3;
    const KEYS: u64 = 200;
    let limiter = Limiter::new(rate(BURST), 32);
    let clock = AtomicU64::new(MS);
    let counts: Vec<HashMap<u64, u64>> = thread::scope(|scope| {
        let threads = (0..4).map(|thread| {
            let (limiter, clock) = (&limiter, &clock);
            scope.spawn(move || {
                let mut admitted = HashMap::new();
                for turn in 0..100_000 {
                    let now = clock.fetch_add(MS / 100, SeqCst);
                    let number = scatter(turn * 4 + thread) % KEYS;
                    let allowed = limiter.check(&key(number), now).allowed;
                    *admitted.entry(number).or_default() += u64::from(allowed);
                }
                admitted
            })
        });
        threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let passed = (clock.load(SeqCst) - MS) / MS;
    let mut taken = 0;
    for number in 0..KEYS {
        let admitted: u64 = counts.iter().filter_map(|count| count.get(&number)).sum();
        assert!(admitted <= BURST + passed, "key {number}: {admitted} in {passed} ms");
        taken += admitted;
    }
    assert!(taken > 100_000, "most requests are within the limit: {taken}");
}
