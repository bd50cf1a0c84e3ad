//! Where the states of a million orders may be kept, and what moving one costs there.
//!
//! A move is what a caller and then the committer do: find the word, look whether the event is legal, hold the word, and let go of
//! it with the next state. Between the last two lies a commit, so nothing may stay locked: a mutex is locked twice.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use aqueduct_fsm::Word;
use aqueduct_fsm::measure::Words;

/// How many orders there are.
pub(super) const ORDERS: u64 = 1 << 20;

/// One move of an order; false when another thread holds it.
type Move = Box<dyn Fn(u64) -> bool + Sync>;

pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) try_move: Move,
}

/// Pay, ship, complete, and again.
fn next(word: Word) -> Word {
    Word::new((word.state() + 1) % 4, word.version() + 1).unwrap_or(word)
}

pub(super) fn all() -> Result<Vec<Contender>> {
    let first = Word::new(0, 1).context("state 0 at version 1")?;
    let table = Words::new(ORDERS, first);
    Ok(vec![
        Contender { name: "a word, swapped, in an array", try_move: swapped(first) },
        Contender { name: "a mutex for each word, in an array", try_move: locked(first) },
        Contender {
            name: "aqueduct-fsm's table",
            try_move: Box::new(move |order| table.try_move(order, next)),
        },
        Contender { name: "64 maps, each behind a mutex", try_move: mapped(first, 64) },
        Contender { name: "one map behind a mutex", try_move: mapped(first, 1) },
    ])
}

/// No key is looked for, and nobody can wait: the least that a move costs.
fn swapped(first: Word) -> Move {
    const PENDING: u64 = 1 << 55;
    let words: Box<[AtomicU64]> = (0..ORDERS).map(|_| AtomicU64::new(first.bits())).collect();
    Box::new(move |order| {
        let Some(place) = usize::try_from(order).ok().and_then(|order| words.get(order)) else {
            return false;
        };
        let Some(word) = Word::from_bits(place.load(Acquire)) else { return false };
        let held = place.compare_exchange(word.bits(), word.bits() | PENDING, AcqRel, Relaxed).is_ok();
        if held {
            place.store(next(word).bits(), Release);
        }
        held
    })
}

/// A word, and whether somebody holds it.
type Cell = (Word, bool);

/// Here no key is looked for either.
fn locked(first: Word) -> Move {
    let words: Box<[Mutex<Cell>]> = (0..ORDERS).map(|_| Mutex::new((first, false))).collect();
    Box::new(move |order| {
        usize::try_from(order).ok().and_then(|order| words.get(order)).is_some_and(|mutex| {
            twice(|change| change(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner)))
        })
    })
}

fn mapped(first: Word, maps: u64) -> Move {
    let of = |map| (0..ORDERS).filter(move |order| order % maps == map).map(|order| (order, (first, false)));
    let maps: Box<[_]> = (0..maps).map(|map| Mutex::new(of(map).collect::<HashMap<u64, Cell>>())).collect();
    Box::new(move |order| {
        let map = order % maps.len() as u64;
        usize::try_from(map).ok().and_then(|map| maps.get(map)).is_some_and(|mutex| {
            twice(|change| {
                mutex.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&order).is_some_and(change)
            })
        })
    })
}

/// Locks, holds and unlocks; locks, settles and unlocks.
fn twice(with: impl Fn(&mut dyn FnMut(&mut Cell) -> bool) -> bool) -> bool {
    let hold = with(&mut |cell| !std::mem::replace(&mut cell.1, true));
    hold && with(&mut |cell| {
        *cell = (next(cell.0), false);
        true
    })
}
