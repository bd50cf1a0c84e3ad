//! The sequence at chosen instants: borrowing, the second ahead, the reservation, the ends of time.

use std::time::Duration;

use super::*;

const S: u32 = 8;

fn route() -> Route {
    Route::new(1, 2).unwrap()
}

fn open(floor: u64, reserved: u64) -> Sequences {
    let sequences = Sequences::new(S, floor);
    sequences.reserve(reserved);
    sequences
}

fn behind(ms: u64) -> IdError {
    IdError::ClockBehind { by: Duration::from_millis(ms) }
}

#[test]
fn a_full_millisecond_borrows_from_the_next() {
    let sequences = open(0, 100);
    let stamps: Vec<_> = (0..300).map(|_| sequences.next(route(), 7).unwrap()).collect();
    assert_eq!(stamps, (7 << S..(7 << S) + 300).collect::<Vec<_>>());
    assert_eq!(stamps[299] >> S, 8);
}

#[test]
fn routes_do_not_share_a_sequence() {
    let sequences = open(0, 100);
    let firsts: Vec<_> = Route::all().map(|route| sequences.next(route, 7).unwrap()).collect();
    assert_eq!(firsts, vec![7 << S; 64]);
}

#[test]
fn a_clock_set_back_is_followed_for_a_second_and_then_refused() {
    let sequences = open(0, 10_000);
    assert_eq!(sequences.next(route(), 5000), Ok(5000 << S));
    assert_eq!(sequences.next(route(), 4000), Ok((5000 << S) + 1));
    assert_eq!(sequences.next(route(), 3999), Err(behind(1)));
    assert_eq!(sequences.ready(3000), Err(behind(1000)));
    // A route that never saw the later time is not concerned.
    assert_eq!(sequences.next(Route::new(0, 0).unwrap(), 3999), Ok(3999 << S));
    // The refusal took nothing away.
    assert_eq!(sequences.next(route(), 4000), Ok((5000 << S) + 2));
}

#[test]
fn more_than_a_second_of_ids_in_one_millisecond_is_refused() {
    let sequences = open(0, 10_000);
    let admitted = (0..).map_while(|_| sequences.next(route(), 0).ok()).count();
    assert_eq!(admitted, 1001 << S);
    assert_eq!(sequences.next(route(), 0), Err(behind(1)));
}

#[test]
fn nothing_reaches_the_mark() {
    let sequences = open(0, 0);
    assert_eq!(sequences.next(route(), 5), Err(IdError::NotReserved));
    sequences.reserve(6);
    for _ in 0..1 << S {
        assert_eq!(sequences.next(route(), 5).map(|stamp| stamp >> S), Ok(5));
    }
    assert_eq!(sequences.next(route(), 5), Err(IdError::NotReserved));
    assert_eq!(sequences.ready(5), Err(IdError::NotReserved));
    sequences.reserve(7);
    assert_eq!(sequences.next(route(), 5), Ok(6 << S));
}

#[test]
fn nothing_is_below_the_floor() {
    let sequences = open(500, 2000);
    assert_eq!(sequences.next(route(), 0), Ok(500 << S));
    assert_eq!(sequences.next(route(), -501), Err(behind(1)));
}

#[test]
fn time_ends_with_a_typed_error() {
    let last = TIME_END - 1;
    let sequences = open(0, TIME_END);
    assert_eq!(sequences.next(route(), last.cast_signed()), Ok(last << S));
    assert_eq!(sequences.next(route(), TIME_END.cast_signed()), Err(IdError::TimeExhausted));
    assert_eq!(sequences.next(route(), i64::MAX), Err(IdError::TimeExhausted));
    // Borrowing does not leave the 42 bits either.
    let full = open(last, TIME_END);
    for _ in 0..1 << S {
        full.next(route(), last.cast_signed()).unwrap();
    }
    assert_eq!(full.next(route(), last.cast_signed()), Err(IdError::TimeExhausted));
}

#[test]
fn a_clock_before_the_epoch_is_behind() {
    assert_eq!(open(0, 2000).next(route(), -5000), Err(behind(4000)));
    assert_eq!(open(0, 2000).next(route(), i64::MIN), Err(behind(i64::MAX.unsigned_abs() - 1000)));
}

#[test]
fn sealing_returns_the_first_unused_time() {
    assert_eq!(open(40, 100).seal(), 40);

    let sequences = open(40, 100);
    sequences.next(route(), 60).unwrap();
    assert_eq!(sequences.seal(), 61);
    assert_eq!(sequences.next(route(), 60), Err(IdError::Closed));
    assert_eq!(sequences.ready(60), Err(IdError::Closed));

    let full = open(40, 100);
    for _ in 0..1 << S {
        full.next(route(), 60).unwrap();
    }
    assert_eq!(full.seal(), 61, "a full millisecond does not count the next one as used");
}
