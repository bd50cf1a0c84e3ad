//! The table by one thread: what is found, taken, evicted, and pinned.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

use super::*;

fn table(capacity: usize) -> Table {
    Table::new(capacity, Waiters::new(1, 8))
}

fn word(version: u64) -> Word {
    Word::new(1, version).unwrap()
}

/// Puts an idle word in, as a caller who read it from the store.
fn put(table: &Table, key: u64, version: u64) -> Slot {
    let Reserve::Mine(reservation) = table.reserve(key) else { panic!("no cell for {key}") };
    reservation.publish(Cell::Idle(word(version))).unwrap()
}

#[test]
fn a_key_is_found_where_it_was_published() {
    let table = table(1 << 10);
    for key in 0..500 {
        assert_eq!(table.find(key), Sighting::Absent);
        let slot = put(&table, key, key + 1);
        assert_eq!(table.find(key), Sighting::Idle(slot, word(key + 1)));
    }
}

#[test]
fn a_reservation_is_held_until_it_is_published_or_dropped() {
    let table = table(16);
    let Reserve::Mine(reservation) = table.reserve(1) else { panic!() };
    assert_eq!(table.find(1), Sighting::Held);
    drop(reservation);
    assert_eq!(table.find(1), Sighting::Absent);
    put(&table, 1, 1);
    assert!(matches!(table.reserve(1), Reserve::Present));
}

#[test]
fn of_two_reservations_for_one_key_the_lower_cell_wins() {
    let table = table(16);
    // Tokens start at 1, so the first reservation takes cell 1, and the 16th cell 0.
    let Reserve::Mine(first) = table.reserve(7) else { panic!() };
    assert!(matches!(table.reserve(7), Reserve::Awaited), "cell 2 sees cell 1");
    for key in 100..113 {
        drop(table.reserve(key));
    }
    let Reserve::Mine(last) = table.reserve(7) else { panic!("cell 0 wins over cell 1") };
    assert_eq!(first.publish(Cell::Idle(word(1))), None, "struck out");
    assert!(last.publish(Cell::Idle(word(2))).is_some());
    assert!(matches!(table.find(7), Sighting::Idle(_, found) if found == word(2)));
}

#[test]
fn idle_words_are_evicted_and_pending_ones_are_not() {
    let table = table(16);
    let slot = put(&table, 0, 5);
    assert!(table.pin(slot, 0, word(5)));
    assert_eq!(table.find(0), Sighting::Held);
    for key in 1..100 {
        put(&table, key, 1);
    }
    assert_eq!(table.find(0), Sighting::Held);
    let present = (1..100).filter(|key| table.find(*key) != Sighting::Absent).count();
    assert_eq!(present, 15);
    table.settle([(slot, 0, word(6))].into_iter());
    assert_eq!(table.find(0), Sighting::Idle(slot, word(6)));
}

#[test]
fn a_set_full_of_pending_words_is_full() {
    let table = table(16);
    for key in 0..16 {
        let slot = put(&table, key, 1);
        assert!(table.pin(slot, key, word(1)));
    }
    assert!(matches!(table.reserve(99), Reserve::Full));
}

/// The same bits in the same cell, but another key's: the swap is undone.
#[test]
fn a_pin_of_a_reused_cell_is_undone() {
    let table = table(16);
    let slot = put(&table, 0, 1);
    let mut key = 0;
    while table.find(0) != Sighting::Absent {
        key += 1;
        put(&table, key, 1);
    }
    let Some(tenant) = (1..=key).find(|key| table.find(*key) == Sighting::Idle(slot, word(1))) else {
        panic!("nobody took the cell")
    };
    assert!(!table.pin(slot, 0, word(1)));
    assert_eq!(table.find(tenant), Sighting::Idle(slot, word(1)), "as it was");
    assert!(!table.pin(slot, tenant, word(2)), "another version");
    assert!(table.pin(slot, tenant, word(1)));
    assert!(!table.pin(slot, tenant, word(1)), "held already");
}

/// Of a million keys in 2^18 sets a third of a set is expected to be asked for more than 16 cells. By `foldhash::fast` it is dozens
/// or thousands, with most seeds.
#[test]
fn keys_that_count_up_in_steps_are_spread_over_the_sets() {
    let hasher = KeyHasher::default();
    let crowded = |shift| {
        let mut sets = vec![0_u8; 1 << 18];
        for key in 0..1_u64 << 20 {
            let set = &mut sets[usize::try_from(hasher.hash_one(key << shift) % (1 << 18)).unwrap()];
            *set = set.saturating_add(1);
        }
        sets.iter().filter(|keys| u32::from(**keys) > WAYS).count()
    };
    let crowded: usize = [0, 4, 8, 12, 16].into_iter().map(crowded).sum();
    assert!(crowded <= 12, "{crowded} sets of five tables");
}
