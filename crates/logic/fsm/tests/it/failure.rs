//! A store that fails, fails everything at once and for good; nothing of the batch is acknowledged.

use aqueduct_fsm::Options;
use tokio::task::JoinSet;

use crate::memory::{Error, Event, Memory, Mood, State, applied};

/// Breaks the store under a batch, a queue and a waiter, and looks at what each is told.
async fn check(mood: Mood, reason: &str) {
    let store = Memory::new();
    store.put(0, State::Created, 1);
    store.set(Mood::Hold);
    let orders = store.start(&Options::default());
    let mut calls = JoinSet::new();
    for (key, event) in [(0, Event::Pay), (0, Event::Ship)] {
        let caller = orders.clone();
        calls.spawn(async move { caller.transition(key, event, None).await });
        store.entered(1).await;
    }
    for key in 1..=40 {
        let orders = orders.clone();
        calls.spawn(async move { orders.create(key, "").await });
    }
    while orders.stats().queued < 40 || orders.stats().waiting < 1 {
        tokio::task::yield_now().await;
    }
    store.set(mood);
    assert_eq!(orders.failed().await.reason(), reason);
    for answer in calls.join_all().await {
        assert!(matches!(answer, Err(Error::Failed)), "{answer:?}");
    }
    store.set(Mood::Work);
    assert!(matches!(orders.create(99, "").await, Err(Error::Failed)), "a failed store stays failed");
    assert!(matches!(orders.transition(0, Event::Pay, None).await, Err(Error::Failed)));
    assert_eq!(orders.close().await.unwrap_err().reason(), reason);
    let committed = store.log().iter().filter(|step| step.0 == "committed").count();
    assert_eq!(committed, 0);
    let expect = if mood == Mood::PanicInCommitted { vec![2] } else { vec![] };
    assert_eq!(store.versions(0), expect, "nothing is applied after the failure");
    assert_eq!((orders.stats().commits, orders.stats().failed), (0, 41));
}

#[tokio::test]
async fn an_error_of_apply() {
    check(Mood::FailApply, "no space left on device").await;
}

#[tokio::test]
async fn a_panic_in_apply() {
    check(Mood::PanicInApply, "the store panicked: apply went wrong").await;
}

/// The change is durable, but the local cache may not be fenced: acknowledging it could show a stale read.
#[tokio::test]
async fn a_panic_in_committed() {
    check(Mood::PanicInCommitted, "the store panicked: committed went wrong").await;
}

#[tokio::test]
async fn the_owner_can_fail_it() {
    let store = Memory::new();
    let orders = store.start(&Options::default());
    orders.create(1, "").await.unwrap();
    orders.fail("the probe failed");
    orders.fail("again");
    assert_eq!(orders.failed().await.to_string(), "the store failed: the probe failed");
    assert!(matches!(orders.transition(1, Event::Pay, None).await, Err(Error::Failed)));
    assert!(orders.close().await.is_err());
    assert_eq!(store.versions(1), [1]);
}

/// A store that never returns from `apply` does not keep its owner from closing.
#[tokio::test]
async fn a_wedged_store_can_be_failed_and_left() {
    let store = Memory::new();
    store.set(Mood::Hold);
    let orders = store.start(&Options { queue: 1, ..Options::default() });
    let mut calls = JoinSet::new();
    for key in 0..2 {
        let caller = orders.clone();
        calls.spawn(async move { caller.create(key, "").await });
        store.entered(1).await;
    }
    while orders.stats().queued < 1 {
        tokio::task::yield_now().await;
    }
    let (closed, ()) = tokio::join!(orders.close(), async { orders.fail("wedged") });
    assert_eq!(closed.unwrap_err().reason(), "wedged");
    store.set(Mood::Work);
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "the batch that was being applied");
}

#[tokio::test]
async fn a_read_error_is_answered_and_leaves_nothing_behind() {
    let store = Memory::new();
    store.put(1, State::Created, 1);
    store.set(Mood::FailReads);
    let orders = store.start(&Options::default());
    let answer = orders.transition(1, Event::Pay, None).await;
    assert!(matches!(&answer, Err(Error::Read(cause)) if cause.to_string() == "bad sector"), "{answer:?}");
    assert!(matches!(orders.create(2, "").await, Err(Error::Read(_))));
    store.set(Mood::Work);
    assert_eq!(orders.transition(1, Event::Pay, None).await.unwrap(), applied(State::Paid, 2));
    assert_eq!(orders.create(2, "").await.unwrap(), applied(State::Created, 1));
}
