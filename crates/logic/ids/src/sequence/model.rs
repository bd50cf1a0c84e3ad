//! Every interleaving of a few threads, by loom: `RUSTFLAGS="--cfg aqueduct_loom" cargo test --release --lib`.

use loom::sync::Arc;
use loom::thread;

use super::*;

const S: u32 = 8;
const NOW: i64 = 5;

fn route() -> Route {
    Route::of_hash(0)
}

/// Two IDs short of a full millisecond, so that the race also crosses into the borrowed one.
fn nearly_full() -> Arc<Sequences> {
    let sequences = Sequences::new(S, 0);
    sequences.routes[route().index()].0.store((6 << S) - 2, Ordering::Relaxed);
    sequences.reserve(7);
    Arc::new(sequences)
}

#[test]
fn two_threads_never_share_a_stamp_and_each_sees_its_own_grow() {
    loom::model(|| {
        let sequences = nearly_full();
        let other = {
            let sequences = Arc::clone(&sequences);
            thread::spawn(move || [sequences.next(route(), NOW), sequences.next(route(), NOW)])
        };
        let mine = [sequences.next(route(), NOW), sequences.next(route(), NOW)].map(Result::unwrap);
        let theirs = other.join().unwrap().map(Result::unwrap);

        assert!(mine[0] < mine[1] && theirs[0] < theirs[1]);
        let mut all = [mine, theirs].concat();
        all.sort_unstable();
        assert_eq!(all, ((6 << S) - 2..(6 << S) + 2).collect::<Vec<_>>());
    });
}

#[test]
fn a_stamp_taken_while_sealing_is_below_the_mark_that_close_stores() {
    loom::model(|| {
        let sequences = nearly_full();
        let other = {
            let sequences = Arc::clone(&sequences);
            thread::spawn(move || [(); 3].map(|()| sequences.next(route(), NOW)))
        };
        let mark = sequences.seal();
        for taken in other.join().unwrap() {
            match taken {
                Ok(stamp) => assert!(stamp >> S < mark),
                Err(refusal) => assert_eq!(refusal, IdError::Closed),
            }
        }
    });
}

/// The mutation that shows that the first model can fail: the exchange replaced by a load and a store.
#[test]
#[should_panic(expected = "shared a stamp")]
fn without_the_exchange_two_threads_share_a_stamp() {
    fn next(slot: &AtomicU64) -> u64 {
        let stamp = slot.load(Ordering::SeqCst);
        slot.store(stamp + 1, Ordering::SeqCst);
        stamp
    }
    loom::model(|| {
        let slot = Arc::new(AtomicU64::new(0));
        let other = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || next(&slot))
        };
        assert_ne!(next(&slot), other.join().unwrap(), "shared a stamp");
    });
}

/// The mutation for the second model: a seal that reads first and forbids afterwards.
#[test]
#[should_panic(expected = "above the mark")]
fn a_seal_that_only_reads_would_miss_a_stamp() {
    loom::model(|| {
        let sequences = nearly_full();
        let other = {
            let sequences = Arc::clone(&sequences);
            thread::spawn(move || [(); 3].map(|()| sequences.next(route(), NOW)))
        };
        let mark = sequences.routes[route().index()].0.load(Ordering::SeqCst).div_ceil(1 << S);
        sequences.seal();
        for stamp in other.join().unwrap().into_iter().flatten() {
            assert!(stamp >> S < mark, "above the mark");
        }
    });
}
