//! One caller at a time: what is legal, what is answered, and in which order things happen.

use aqueduct_fsm::{Code, Machine, Options};

use crate::memory::{Error, Event, Memory, Mood, Order, State, applied, id, repeated};

#[tokio::test]
async fn an_order_lives_from_created_to_completed() {
    let store = Memory::new();
    let orders = store.start(&Options::default());
    assert_eq!(orders.create(7, "seven").await.unwrap(), applied(State::Created, 1));
    assert_eq!(orders.transition(7, Event::Pay, None).await.unwrap(), applied(State::Paid, 2));
    assert_eq!(orders.transition(7, Event::Ship, id("s")).await.unwrap(), applied(State::Shipped, 3));
    assert_eq!(orders.transition(7, Event::Complete, None).await.unwrap(), applied(State::Completed, 4));
    assert_eq!(store.versions(7), [1, 2, 3, 4]);
    let stats = orders.stats();
    assert_eq!((stats.creates, stats.transitions, stats.commits, stats.queued), (1, 3, 4, 0));
}

/// Every state with every event: the answer is the table's, and an illegal event writes nothing.
#[tokio::test]
async fn every_event_in_every_state() {
    for (key, (&state, &event)) in
        (1..).zip(State::ALL.iter().flat_map(|state| Event::ALL.iter().map(move |event| (state, event))))
    {
        let store = Memory::new();
        store.put(key, state, 9);
        let orders = store.start(&Options::default());
        match (orders.transition(key, event, None).await, Order::next(state, event)) {
            (Ok(answer), Some(to)) => assert_eq!(answer, applied(to, 10), "{event:?} in {state:?}"),
            (Err(Error::Illegal { state: now, version: 9 }), None) => {
                assert_eq!(now, state);
                assert_eq!(store.versions(key), []);
            }
            (answer, expect) => panic!("{event:?} in {state:?}: {answer:?}, expected {expect:?}"),
        }
    }
}

#[tokio::test]
async fn unknown_and_known_keys() {
    let store = Memory::new();
    let orders = store.start(&Options::default());
    assert!(matches!(orders.transition(0, Event::Pay, None).await, Err(Error::NotFound)));
    assert_eq!(orders.create(0, "zero is a key like any other").await.unwrap(), applied(State::Created, 1));
    assert!(matches!(orders.create(0, "again").await, Err(Error::Exists)));
    store.put(5, State::Paid, 2);
    assert!(matches!(orders.create(5, "in the store only").await, Err(Error::Exists)));
    assert_eq!(orders.transition(5, Event::Ship, None).await.unwrap(), applied(State::Shipped, 3));
}

#[tokio::test]
async fn a_repeated_event_answers_the_present_word_and_writes_nothing() {
    let store = Memory::new();
    let orders = store.start(&Options::default());
    orders.create(1, "").await.unwrap();
    assert_eq!(orders.transition(1, Event::Pay, id("p")).await.unwrap(), applied(State::Paid, 2));
    assert_eq!(orders.transition(1, Event::Pay, id("p")).await.unwrap(), repeated(State::Paid, 2));
    assert_eq!(orders.transition(1, Event::Ship, id("s")).await.unwrap(), applied(State::Shipped, 3));
    assert_eq!(orders.transition(1, Event::Pay, id("p")).await.unwrap(), repeated(State::Shipped, 3));
    let reused = orders.transition(1, Event::Complete, id("p")).await;
    assert!(matches!(reused, Err(Error::EventReused { version: 2 })), "{reused:?}");
    let other = orders.transition(1, Event::Pay, id("p2")).await;
    assert!(matches!(other, Err(Error::Illegal { state: State::Shipped, version: 3 })), "{other:?}");
    orders.create(2, "").await.unwrap();
    let elsewhere = orders.transition(2, Event::Pay, id("p")).await.unwrap();
    assert_eq!(elsewhere, applied(State::Paid, 2), "an event id is its entity's alone");
    assert_eq!(store.versions(1), [1, 2, 3]);
}

#[tokio::test]
async fn nothing_is_answered_before_it_is_applied_and_fenced() {
    let store = Memory::new();
    store.set(Mood::Hold);
    let orders = store.start(&Options::default());
    let mut creation = std::pin::pin!(orders.create(1, ""));
    assert!(futures_pending(creation.as_mut()).await);
    store.entered(1).await;
    assert!(futures_pending(creation.as_mut()).await, "answered before the store applied it");
    assert_eq!(store.log(), []);
    store.set(Mood::Work);
    creation.await.unwrap();
    assert_eq!(store.log(), [("apply", vec![(1, 1)]), ("committed", vec![(1, 1)])]);
}

async fn futures_pending<F: Future + Unpin>(mut future: F) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut future).poll(context).is_pending())
    })
    .await
}

#[tokio::test]
async fn one_commit_carries_what_queued_up_meanwhile() {
    let store = Memory::new();
    store.set(Mood::Hold);
    let orders = store.start(&Options { max_batch: 20, ..Options::default() });
    let mut calls = tokio::task::JoinSet::new();
    let first = orders.clone();
    calls.spawn(async move { first.create(0, "").await });
    store.entered(1).await;
    for key in 1..=50 {
        let orders = orders.clone();
        calls.spawn(async move { orders.create(key, "").await });
    }
    while orders.stats().queued < 50 {
        tokio::task::yield_now().await;
    }
    store.set(Mood::Work);
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    let sizes: Vec<_> =
        store.log().iter().filter(|step| step.0 == "apply").map(|step| step.1.len()).collect();
    assert_eq!(sizes, [1, 20, 20, 10]);
    let stats = orders.stats();
    assert_eq!((stats.creates, stats.commits, stats.batch_size.sum), (51, 4, 51));
}

#[tokio::test]
async fn closing_commits_what_is_queued_and_drops_the_store() {
    let store = Memory::new();
    store.set(Mood::Hold);
    let orders = store.start(&Options::default());
    let mut calls = tokio::task::JoinSet::new();
    let first = orders.clone();
    calls.spawn(async move { first.create(0, "").await });
    store.entered(1).await;
    for key in 1..30 {
        let orders = orders.clone();
        calls.spawn(async move { orders.create(key, "").await });
    }
    while orders.stats().queued < 29 {
        tokio::task::yield_now().await;
    }
    let closing = tokio::join!(orders.close(), orders.close(), async {
        tokio::task::yield_now().await;
        store.set(Mood::Work);
    });
    assert_eq!((closing.0, closing.1), (Ok(()), Ok(())));
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert!(matches!(orders.create(99, "").await, Err(Error::Closed)));
    assert!(matches!(orders.transition(1, Event::Pay, None).await, Err(Error::Closed)));
    assert_eq!(orders.close().await, Ok(()), "closing twice is closing once");
}

#[test]
fn options_out_of_bounds_are_named() {
    let check = |options: Options, expect: &str| {
        let error = aqueduct_fsm::Fsm::<Order, Memory>::start(Memory::new(), &options).err();
        assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(expect));
    };
    check(Options { queue: 0, ..Options::default() }, "queue must be in 1..=1048576, not 0");
    check(Options { max_batch: 1 << 17, ..Options::default() }, "max_batch must be in 1..=65536, not 131072");
    check(Options { words: 8, ..Options::default() }, "words must be in 16..=67108864, not 8");
}
