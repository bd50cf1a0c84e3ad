//! A caller may go away at any await: nothing stays stuck.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use aqueduct_fsm::Options;

use crate::memory::{Event, Memory, Mood, State, applied, id};

/// Polls once.
async fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    let mut future = Some(future);
    std::future::poll_fn(move |context| match future.take() {
        Some(future) => Poll::Ready(future.poll(context)),
        None => Poll::Pending,
    })
    .await
}

#[tokio::test]
async fn never_polled_does_nothing() {
    let store = Memory::new();
    let orders = store.start(&Options::default());
    drop(orders.create(1, ""));
    drop(orders.transition(1, Event::Pay, None));
    assert_eq!(orders.close().await, Ok(()));
    assert_eq!(store.log(), []);
}

#[tokio::test]
async fn gone_while_the_change_is_on_its_way() {
    let store = Memory::new();
    store.put(1, State::Created, 1);
    store.set(Mood::Hold);
    let orders = store.start(&Options::default());
    {
        let mut pay = pin!(orders.transition(1, Event::Pay, id("p")));
        assert!(poll(pay.as_mut()).await.is_pending());
        let mut create = pin!(orders.create(2, ""));
        assert!(poll(create.as_mut()).await.is_pending());
    }
    // The words are still pinned: only the committer lets them go.
    let mut ship = pin!(orders.transition(1, Event::Ship, None));
    assert!(poll(ship.as_mut()).await.is_pending());
    assert_eq!(orders.stats().waiting, 1);
    store.set(Mood::Work);
    assert_eq!(ship.await.unwrap(), applied(State::Shipped, 3));
    assert_eq!(orders.transition(2, Event::Pay, None).await.unwrap(), applied(State::Paid, 2));
    assert_eq!(store.versions(1), [2, 3]);
}

#[tokio::test]
async fn gone_while_waiting_for_another_caller() {
    let store = Memory::new();
    store.put(1, State::Created, 1);
    store.set(Mood::Hold);
    let orders = store.start(&Options { queue: 2, ..Options::default() });
    let mut pay = pin!(orders.transition(1, Event::Pay, None));
    assert!(poll(pay.as_mut()).await.is_pending());
    store.entered(1).await;
    for _ in 0..10 {
        let mut waiting = pin!(orders.transition(1, Event::Ship, None));
        assert!(poll(waiting.as_mut()).await.is_pending());
        assert_eq!(
            (orders.stats().waiting, orders.stats().queued),
            (1, 0),
            "a waiter holds no place in the queue"
        );
    }
    assert_eq!(orders.stats().waiting, 0);
    store.set(Mood::Work);
    assert_eq!(pay.await.unwrap(), applied(State::Paid, 2));
    assert_eq!(orders.transition(1, Event::Ship, None).await.unwrap(), applied(State::Shipped, 3));
}
