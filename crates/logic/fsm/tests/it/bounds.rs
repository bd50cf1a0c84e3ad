//! Everything has a bound, and past it the answer is `Busy`, at once, with nothing done.

use aqueduct_fsm::Options;
use tokio::task::JoinSet;

use crate::memory::{Error, Event, Memory, Mood, Orders, State};

/// Fills the committer with one change that is being applied and `queued` behind it.
async fn fill(store: &Memory, orders: &Orders, queued: usize) -> JoinSet<Result<(), Error>> {
    store.set(Mood::Hold);
    let mut calls = JoinSet::new();
    for key in 0..=queued as u64 {
        let caller = orders.clone();
        calls.spawn(async move { caller.create(key, "").await.map(drop) });
        if key == 0 {
            store.entered(1).await;
        }
    }
    while orders.stats().queued < queued {
        tokio::task::yield_now().await;
    }
    calls
}

#[tokio::test]
async fn a_full_queue_is_busy() {
    let store = Memory::new();
    let orders = store.start(&Options { queue: 4, ..Options::default() });
    let calls = fill(&store, &orders, 4).await;
    store.put(77, State::Created, 1);
    assert!(matches!(orders.create(99, "").await, Err(Error::Busy)));
    assert!(matches!(orders.transition(77, Event::Pay, None).await, Err(Error::Busy)));
    assert_eq!(orders.stats().busy, 2);
    store.set(Mood::Work);
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert_eq!(store.get(99), None, "busy means that nothing was done");
    assert!(orders.create(99, "").await.is_ok());
}

#[tokio::test]
async fn a_table_full_of_pinned_words_is_busy() {
    let store = Memory::new();
    let orders = store.start(&Options { words: 16, ..Options::default() });
    store.put(77, State::Created, 1);
    let calls = fill(&store, &orders, 15).await;
    assert!(matches!(orders.create(99, "").await, Err(Error::Busy)));
    assert!(matches!(orders.transition(77, Event::Pay, None).await, Err(Error::Busy)));
    store.set(Mood::Work);
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert!(orders.create(99, "").await.is_ok());
    assert!(orders.transition(77, Event::Pay, None).await.is_ok());
}

#[tokio::test]
async fn waiters_are_bounded_too() {
    let store = Memory::new();
    let orders = store.start(&Options { queue: 3, ..Options::default() });
    let calls = fill(&store, &orders, 0).await;
    let mut waiting = JoinSet::new();
    for _ in 0..3 {
        let orders = orders.clone();
        waiting.spawn(async move { orders.transition(0, Event::Touch, None).await });
    }
    while orders.stats().waiting < 3 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(orders.transition(0, Event::Touch, None).await, Err(Error::Busy)));
    store.set(Mood::Work);
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert!(waiting.join_all().await.iter().all(Result::is_ok));
    assert_eq!(store.versions(0), [1, 2, 3, 4]);
}
