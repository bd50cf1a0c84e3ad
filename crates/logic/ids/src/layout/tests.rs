//! The layout as its users outside this crate compute it: with shifts written down by hand.

use proptest::prelude::*;

use super::*;

#[test]
fn the_seed_profile_has_the_published_shifts() {
    let id = Layout::SEED.encode(5 << 12 | 4095, Route::new(3, 9).unwrap(), 7);
    assert_eq!(id.get(), 5 << 21 | 3 << 19 | 9 << 15 | 7 << 12 | 4095);
}

#[test]
fn the_default_profile_has_seven_worker_and_eight_sequence_bits() {
    let id = Layout::DEFAULT.encode(5 << 8 | 255, Route::new(3, 9).unwrap(), 127);
    assert_eq!(id.get(), 5 << 21 | 3 << 19 | 9 << 15 | 127 << 8 | 255);
    assert_eq!(Layout::DEFAULT.to_string(), "W7/S8");
}

#[test]
fn out_of_range_is_refused() {
    assert_eq!(Route::new(4, 0), None);
    assert_eq!(Route::new(0, 16), None);
    assert_eq!(Id::new(1 << 63), None);
    assert_eq!(Id::from_i64(-1), None);
    assert_eq!(Id::from_i64(i64::MAX).map(Id::as_i64), Some(i64::MAX));
}

/// Data is placed by this function: a change of these values would lose every order already stored.
#[test]
fn the_route_of_a_key_never_changes() {
    let routes =
        [0, 1, 2, 42, u64::MAX].map(|key| (Route::of_hash(key).shard(), Route::of_hash(key).table()));
    assert_eq!(routes, [(0, 0), (1, 5), (3, 6), (2, 9), (2, 13)]);
}

#[test]
fn small_user_numbers_spread_over_all_routes() {
    let mut hits = [0_u32; ROUTES];
    for user in 0..64_000 {
        hits[Route::of_hash(user).index()] += 1;
    }
    assert!(hits.iter().all(|n| (800..1200).contains(n)), "{hits:?}");
}

proptest! {
    #[test]
    fn every_part_decodes(time in 0..TIME_END, index in 0..64_u8, worker: u16, sequence: u16, seed: bool) {
        let layout = if seed { Layout::SEED } else { Layout::DEFAULT };
        let sequence = sequence & ((1 << layout.sequence_bits()) - 1);
        let worker = worker & layout.max_worker();
        let id = layout.encode(time << layout.sequence_bits() | u64::from(sequence), Route(index), worker);

        prop_assert_eq!(layout.decode(id), Parts { time_ms: time, route: Route(index), worker, sequence });
        prop_assert_eq!((id.get() >> 19) & 3, u64::from(index >> 4));
        prop_assert_eq!((id.get() >> 15) & 15, u64::from(index & 15));
        prop_assert_eq!(id.get() >> 63, 0);
    }
}
