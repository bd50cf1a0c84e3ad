//! Many callers on one entity, and many entities in a small table.

use std::collections::HashMap;

use aqueduct_fsm::Options;
use tokio::task::JoinSet;

use crate::memory::{Applied, Error, Event, Memory, Mood, State, applied, id, repeated};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_one_order_get_contiguous_versions() {
    let store = Memory::new();
    let orders = store.start(&Options::default());
    orders.create(1, "").await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let orders = orders.clone();
        calls.spawn(async move { orders.transition(1, Event::Touch, None).await.unwrap().version });
    }
    let mut versions = calls.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, (2..=65).collect::<Vec<_>>());
    assert_eq!(store.versions(1), (1..=65).collect::<Vec<_>>());
    let stats = orders.stats();
    assert_eq!((stats.waiting, stats.queued), (0, 0));
}

/// Two calls meet while the first is on its way: the second decides on the outcome of the first.
async fn meet(first: (Event, &str), second: (Event, &str)) -> (Applied, Result<Applied, Error>) {
    let store = Memory::new();
    store.put(1, State::Created, 1);
    store.set(Mood::Hold);
    let orders = store.start(&Options::default());
    let one = orders.transition(1, first.0, id(first.1));
    let two = async {
        store.entered(1).await;
        orders.transition(1, second.0, id(second.1)).await
    };
    let release = async {
        while orders.stats().waiting == 0 {
            tokio::task::yield_now().await;
        }
        store.set(Mood::Work);
    };
    let (one, two, ()) = tokio::join!(one, two, release);
    (one.unwrap(), two)
}

#[tokio::test]
async fn of_two_pays_one_succeeds_and_one_is_told() {
    let (one, two) = meet((Event::Pay, "a"), (Event::Pay, "b")).await;
    assert_eq!(one, applied(State::Paid, 2));
    assert!(matches!(two, Err(Error::Illegal { state: State::Paid, version: 2 })), "{two:?}");

    let (one, two) = meet((Event::Pay, "a"), (Event::Pay, "a")).await;
    assert_eq!((one, two.unwrap()), (applied(State::Paid, 2), repeated(State::Paid, 2)));

    let (one, two) = meet((Event::Pay, "a"), (Event::Ship, "b")).await;
    assert_eq!((one, two.unwrap()), (applied(State::Paid, 2), applied(State::Shipped, 3)));

    let (_, two) = meet((Event::Pay, "a"), (Event::Ship, "a")).await;
    assert!(matches!(two, Err(Error::EventReused { version: 2 })), "{two:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_creations_of_one_key_one_succeeds() {
    let store = Memory::new();
    let orders = store.start(&Options::default());
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let orders = orders.clone();
        calls.spawn(async move { orders.create(3, "").await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(Error::Exists))));
    assert_eq!(store.versions(3), [1]);
}

/// 200 entities in a table of one set of 16: constant eviction. The store asserts that no change is lost or doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_table_far_too_small_loses_nothing() {
    const KEYS: u64 = 200;
    const EACH: u64 = 40;
    let store = Memory::new();
    for key in 0..KEYS {
        store.put(key, State::Created, 1);
    }
    let orders = store.start(&Options { words: 16, ..Options::default() });
    let mut calls = JoinSet::new();
    for caller in 0..8 {
        let orders = orders.clone();
        calls.spawn(async move {
            let mut done = HashMap::<u64, u64>::new();
            for step in 0..KEYS * EACH / 8 {
                let key = (step * 7 + caller * 31) % KEYS;
                match orders.transition(key, Event::Touch, None).await {
                    Ok(_) => *done.entry(key).or_default() += 1,
                    Err(Error::Busy) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            done
        });
    }
    let mut expect = HashMap::<u64, u64>::new();
    for done in calls.join_all().await {
        for (key, count) in done {
            *expect.entry(key).or_default() += count;
        }
    }
    for key in 0..KEYS {
        let last = 1 + expect.get(&key).copied().unwrap_or_default();
        assert_eq!(store.versions(key), (2..=last).collect::<Vec<_>>(), "key {key}");
    }
}
