//! Every interleaving of two threads, by loom: `RUSTFLAGS="--cfg aqueduct_loom" cargo test --release --lib`.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use super::*;

/// One at once, one a nanosecond, and a single entry for all keys.
fn one() -> Arc<Limiter> {
    let mut limiter = Limiter::new(Rate::new(1, Duration::from_nanos(10), 1).unwrap(), 1);
    limiter.sets = vec![Set::default()].into();
    Arc::new(limiter)
}

fn both(limiter: &Arc<Limiter>, first: (u64, u64), second: (u64, u64)) -> [Decision; 2] {
    let other = Arc::clone(limiter);
    let other = thread::spawn(move || other.check_hash(second.0, second.1));
    [limiter.check_hash(first.0, first.1), other.join().unwrap()]
}

const A: u64 = 1;
const B: u64 = u64::MAX;

#[test]
fn a_new_key_gets_one_entry_however_many_ask() {
    loom::model(|| {
        let limiter = one();
        let [first, second] = both(&limiter, (A, 0), (A, 0));
        assert!(first.allowed != second.allowed, "{first:?} {second:?}");
    });
}

#[test]
fn a_key_that_has_an_entry_is_charged_once_for_each_that_is_admitted() {
    loom::model(|| {
        let limiter = one();
        assert!(limiter.check_hash(A, 0).allowed);
        let [first, second] = both(&limiter, (A, 10), (A, 10));
        assert!(first.allowed != second.allowed, "{first:?} {second:?}");
    });
}

#[test]
fn a_take_over_charges_the_right_key() {
    loom::model(|| {
        let limiter = one();
        assert!(limiter.check_hash(A, 0).allowed);
        // A's bucket is full again: B may take its entry, while A comes back.
        let [a, b] = both(&limiter, (A, 10), (B, 10));
        assert!(a.allowed && b.allowed);
        // One has the entry, the other the overflow; both have used what they had.
        assert!(a.resident != b.resident, "{a:?} {b:?}");
        assert!(!limiter.check_hash(A, 10).allowed && !limiter.check_hash(B, 10).allowed);
    });
}

#[test]
fn a_thread_whose_clock_is_behind_gives_nothing_twice() {
    loom::model(|| {
        let limiter = one();
        assert!(limiter.check_hash(A, 0).allowed);
        // At 9 A must wait; that B takes its entry at 10 must not change that.
        let [b, a] = both(&limiter, (B, 10), (A, 9));
        assert!(!a.allowed && b.allowed, "{a:?} {b:?}");
    });
}
