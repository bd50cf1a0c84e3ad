//! Loom models of the word's life: callers, the committer, eviction. The invariants: one winner a version, no word lost, and whoever
//! sees a version sees the fence that came before it. The mutations at the end show that the models can fail.
//!
//! `RUSTFLAGS="--cfg aqueduct_loom" cargo test -p aqueduct-fsm --release --lib loom`
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a model fails by panicking; its keys are few"
)]

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use loom::future::block_on;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::desk::{Attempt, Desk, Held};
use crate::error::Error;
use crate::event::{EventId, EventRow};
use crate::machine::Code;
use crate::store::{Load, StoreError};
use crate::sync::AtomicU64;
use crate::table::{Reserve, Sighting, Table};
use crate::testing::{Event, Order, State};
use crate::waiters::Waiters;
use crate::word::{Cell, Word};

const KEYS: usize = 3;

/// A store of a few rows, the floor that fences set, and one event row for each key.
struct Rows {
    words: [AtomicU64; KEYS],
    fences: [AtomicU64; KEYS],
    events: [AtomicU64; KEYS],
}

impl Load for Rows {
    fn word(&self, key: u64) -> Result<Option<Word>, StoreError> {
        Ok(Word::from_bits(self.words[key as usize].load(Acquire)))
    }

    fn event(&self, key: u64, _: &EventId) -> Result<Option<EventRow>, StoreError> {
        let version = self.events[key as usize].load(Acquire);
        Ok((version > 0).then_some(EventRow { event: Event::Touch.code(), version }))
    }
}

type Shared = Arc<Desk<Rows>>;

/// Every key is in the store, created, at version 1; the table is a single set of two.
fn desk() -> Shared {
    let created = Word::new(State::Created.code(), 1).map_or(0, Word::bits);
    let rows = |bits| std::array::from_fn(|_| AtomicU64::new(bits));
    let reader = Rows { words: rows(created), fences: rows(1), events: rows(0) };
    Arc::new(Desk { table: Table::new(2, Waiters::new(1, 8)), reader })
}

/// How the committer, or a caller, may break the rules.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    SettleBeforeFence,
    SettleByCaller,
}

/// What the committer does with one change, in its order.
fn commit(desk: &Desk<Rows>, key: u64, held: Held, event: bool, fault: Fault) {
    let settle = || desk.table.settle(std::iter::once((held.slot, key, held.after)));
    let row = key as usize;
    let before = desk.reader.words[row].load(Acquire);
    assert_eq!(held.before.map_or(0, Word::bits), before, "two winners of one version");
    desk.reader.words[row].store(held.after.bits(), Release);
    if event {
        assert_eq!(desk.reader.events[row].load(Acquire), 0, "an event applied twice");
        desk.reader.events[row].store(held.after.version(), Release);
    }
    if fault == Fault::SettleBeforeFence {
        settle();
    }
    desk.reader.fences[row].store(held.after.version(), Relaxed);
    if fault != Fault::SettleBeforeFence {
        settle();
    }
}

/// Whoever knows of a version must find its fence.
fn fenced(desk: &Desk<Rows>, key: u64, version: u64) {
    assert!(desk.reader.fences[key as usize].load(Relaxed) >= version, "a version seen before its fence");
}

/// A caller as in `Fsm::until_decided`: attempts, enlists, attempts, waits. `Ok` when the word is held.
fn decide(desk: &Desk<Rows>, key: u64, event: Event, id: Option<EventId>) -> Result<Attempt, Error<State>> {
    loop {
        let attempt = desk.transition::<Order>(key, event, id.as_ref())?;
        if !matches!(attempt, Attempt::Wait) {
            return Ok(attempt);
        }
        let Some(waiter) = desk.table.waiters.enlist(desk.table.hash(key)) else {
            return Err(Error::Busy);
        };
        let woken = waiter.woken();
        let attempt = desk.transition::<Order>(key, event, id.as_ref())?;
        if !matches!(attempt, Attempt::Wait) {
            return Ok(attempt);
        }
        block_on(woken);
    }
}

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// The bounded queue, as far as a model needs it.
#[derive(Clone)]
struct Queue(Arc<(Mutex<Changes>, Condvar)>);

type Changes = Vec<(u64, Held)>;

impl Queue {
    fn send(&self, key: u64, held: Held) {
        self.0.0.lock().unwrap().push((key, held));
        self.0.1.notify_one();
    }

    fn receive(&self) -> (u64, Held) {
        let mut changes = self.0.0.lock().unwrap();
        loop {
            match changes.pop() {
                Some(change) => return change,
                None => changes = self.0.1.wait(changes).unwrap(),
            }
        }
    }
}

/// Starts a committer that ends after so many changes.
fn committer(desk: &Shared, changes: usize, event: bool, fault: Fault) -> (Queue, thread::JoinHandle<()>) {
    let queue = Queue(Arc::new((Mutex::new(Vec::new()), Condvar::new())));
    let (desk, receiver) = (Arc::clone(desk), queue.clone());
    let thread = thread::spawn(move || {
        for _ in 0..changes {
            let (key, held) = receiver.receive();
            commit(&desk, key, held, event, fault);
        }
    });
    (queue, thread)
}

/// Two pays of one cold order: both read the store, one wins, the other waits and is told.
fn two_pays(fault: Fault) {
    let desk = desk();
    let changes = if fault == Fault::SettleByCaller { 2 } else { 1 };
    let (queue, committing) = committer(&desk, changes, false, fault);
    let pay = move |desk: Shared, queue: Queue| match decide(&desk, 0, Event::Pay, None) {
        Ok(Attempt::Held(held)) => {
            queue.send(0, held);
            if fault == Fault::SettleByCaller {
                desk.table.settle(std::iter::once((held.slot, 0, held.before.unwrap())));
            }
            true
        }
        Err(Error::Illegal { state: State::Paid, version: 2 }) => {
            fenced(&desk, 0, 2);
            false
        }
        other => panic!("{other:?}"),
    };
    let other = thread::spawn({
        let (desk, queue) = (Arc::clone(&desk), queue.clone());
        move || pay(desk, queue)
    });
    let mine = pay(Arc::clone(&desk), queue);
    let other = other.join().unwrap();
    committing.join().unwrap();
    assert!(mine ^ other, "one pays, one is told");
    assert!(matches!(desk.table.find(0), Sighting::Idle(_, word) if word.version() == 2));
}

#[test]
fn of_two_pays_one_wins_and_nobody_is_left_waiting() {
    explore(2, || two_pays(Fault::None));
}

#[test]
fn one_event_id_is_applied_once() {
    explore(2, || {
        let desk = desk();
        let (queue, committing) = committer(&desk, 1, true, Fault::None);
        let touch = |desk: Shared, queue: Queue| match decide(&desk, 0, Event::Touch, EventId::new("t")) {
            Ok(Attempt::Held(held)) => queue.send(0, held),
            Ok(Attempt::Repeated(word)) => {
                assert_eq!(word.version(), 2, "repeated, but not yet in the word");
                fenced(&desk, 0, 2);
            }
            other => panic!("{other:?}"),
        };
        let other = thread::spawn({
            let (desk, queue) = (Arc::clone(&desk), queue.clone());
            move || touch(desk, queue)
        });
        touch(Arc::clone(&desk), queue);
        other.join().unwrap();
        committing.join().unwrap();
    });
}

/// Touches a key and commits at once, as caller and committer in one. False when the set is full of held words.
fn touch(desk: &Desk<Rows>, key: u64) -> bool {
    match decide(desk, key, Event::Touch, None) {
        Ok(Attempt::Held(held)) => {
            commit(desk, key, held, false, Fault::None);
            true
        }
        Err(Error::Busy) => false,
        other => panic!("{other:?}"),
    }
}

/// One thread reads a cold key while another takes it through a change and evicts it again: a word that became stale on the
/// way from the store is never published, and a cell that was reused is never taken for the old one.
#[test]
fn eviction_races_with_a_look_up() {
    explore(1, || {
        let desk = desk();
        let other = thread::spawn({
            let desk = Arc::clone(&desk);
            move || u64::from(touch(&desk, 0))
        });
        let mine = u64::from(touch(&desk, 0));
        // Takes both cells, unless one is pinned.
        let evict = (desk.table.reserve(1), desk.table.reserve(2));
        drop(evict);
        let touched = mine + other.join().unwrap();
        let stored = desk.reader.word(0).unwrap().unwrap();
        assert_eq!(stored.version(), 1 + touched, "a lost change");
    });
}

/// One thread looks a key up and pins it, while another puts two keys into the two cells, one with the same bits.
#[test]
fn a_word_and_a_pin_are_of_the_key_asked_for() {
    explore(2, || {
        let table = Arc::new(Table::new(2, Waiters::new(1, 8)));
        let word = |version| Word::new(0, version).unwrap();
        let put = move |table: &Table, key, version| match table.reserve(key) {
            Reserve::Mine(reservation) => drop(reservation.publish(Cell::Idle(word(version)))),
            Reserve::Full => {}
            other => panic!("{other:?}"),
        };
        put(&table, 0, 1);
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                put(&table, 1, 5);
                put(&table, 2, 1);
            }
        });
        if let Sighting::Idle(slot, found) = table.find(0) {
            assert_eq!(found, word(1), "another key's word");
            if table.pin(slot, 0, found) {
                assert_eq!(table.find(0), Sighting::Held, "another key's cell");
            }
        }
        other.join().unwrap();
    });
}

/// Whoever waits for somebody that reads the store is woken when there is nothing to read.
#[test]
fn of_a_missing_entity_everybody_is_told() {
    explore(2, || {
        let desk = desk();
        desk.reader.words[0].store(0, Release);
        let other = thread::spawn({
            let desk = Arc::clone(&desk);
            move || assert!(matches!(decide(&desk, 0, Event::Pay, None), Err(Error::NotFound)))
        });
        assert!(matches!(decide(&desk, 0, Event::Pay, None), Err(Error::NotFound)));
        other.join().unwrap();
    });
}

/// Two keys that both need a cell of a full set.
#[test]
fn two_keys_evict_at_once() {
    explore(2, || {
        let desk = desk();
        assert!(touch(&desk, 1) && touch(&desk, 2), "fills the set");
        let other = thread::spawn({
            let desk = Arc::clone(&desk);
            move || touch(&desk, 0)
        });
        assert!(touch(&desk, 1), "two cells are enough for two");
        assert!(other.join().unwrap());
        assert_eq!(desk.reader.word(0).unwrap().unwrap().version(), 2);
        assert_eq!(desk.reader.word(1).unwrap().unwrap().version(), 3);
    });
}

/// Two creations of one key.
#[test]
fn of_two_creations_one_wins() {
    explore(2, || {
        let desk = desk();
        desk.reader.words[0].store(0, Release);
        let create = |desk: Shared| match desk.create::<Order>(0) {
            Ok(Attempt::Held(held)) => {
                commit(&desk, 0, held, false, Fault::None);
                1
            }
            Ok(Attempt::Wait) | Err(Error::Exists) => 0,
            other => panic!("{other:?}"),
        };
        let other = thread::spawn({
            let desk = Arc::clone(&desk);
            move || create(desk)
        });
        let winners = create(Arc::clone(&desk)) + other.join().unwrap();
        assert!(winners <= 1, "the store has asserted as much");
    });
}

#[test]
#[should_panic(expected = "a version seen before its fence")]
fn mutation_settling_before_the_fence_is_caught() {
    explore(3, || two_pays(Fault::SettleBeforeFence));
}

#[test]
#[should_panic(expected = "two winners of one version")]
fn mutation_settling_by_the_caller_is_caught() {
    explore(3, || two_pays(Fault::SettleByCaller));
}
