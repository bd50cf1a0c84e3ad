//! The group committer against a database in memory that fails as it is told.

#![expect(clippy::disallowed_methods, reason = "a test owns its runtime")]

mod memory;
mod random;

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Group, GroupError, GroupOptions, GroupOutcome};
use crate::event::EventId;
use crate::testing::{Event, Order};
use memory::{Memory, Mishap};

type Orders = Group<Order, Memory>;
type Outcome = GroupOutcome<Order, Memory>;

fn options() -> GroupOptions {
    GroupOptions { name: "test".into(), ..GroupOptions::default() }
}

fn start(memory: &Memory) -> Orders {
    let (orders, committer) = Group::new(memory.clone(), &options()).unwrap();
    tokio::spawn(committer);
    orders
}

fn id(text: &str) -> Option<EventId> {
    EventId::new(text)
}

/// All of them queue up before the committer looks.
fn ask(orders: &Orders, asked: &[(u64, Event, Option<EventId>)]) -> Vec<JoinHandle<Outcome>> {
    let call = |&(key, event, id): &(u64, Event, Option<EventId>)| {
        let orders = orders.clone();
        tokio::spawn(async move { orders.transition(key, event, id).await })
    };
    asked.iter().map(call).collect()
}

async fn told(calls: Vec<JoinHandle<Outcome>>) -> Vec<String> {
    let mut all = Vec::new();
    for call in calls {
        all.push(match call.await.unwrap() {
            Ok(done) => {
                format!("{:?} {}{}", done.state, done.version, if done.repeated { " again" } else { "" })
            }
            Err(error) => error.to_string(),
        });
    }
    all
}

#[tokio::test(start_paused = true)]
async fn each_change_of_a_batch_has_its_own_outcome() {
    let memory = Memory::default();
    let orders = start(&memory);
    for key in 1..=3 {
        orders.create(key, ()).await.unwrap();
    }
    memory.damage(3);
    let asked = [
        (2, Event::Pay, id("a")),
        (1, Event::Pay, id("b")),
        (1, Event::Ship, None),
        (1, Event::Pay, id("b")),
        (1, Event::Ship, id("b")),
        (1, Event::Pay, None),
        (3, Event::Pay, None),
        (4, Event::Pay, None),
    ];
    let before = memory.transactions();
    let outcomes = told(ask(&orders, &asked)).await;
    assert_eq!(
        outcomes,
        [
            "Paid 2",
            "Paid 2",
            "Shipped 3",
            "Shipped 3 again",
            "the event id was used for another event, which led to version 2",
            "illegal in state Shipped (version 3)",
            "the row has the unknown state 77, version 1",
            "no such entity",
        ]
    );
    assert_eq!(memory.transactions() - before, 1);
    assert_eq!(memory.order_of_locks(), [1, 2, 3, 4], "ascending, each once");
    assert_eq!(orders.create(1, ()).await.unwrap_err().to_string(), "the entity exists");
    let stats = orders.stats();
    assert_eq!((stats.creates, stats.transitions, stats.repeated, stats.pending), (3, 3, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_refused_is_refused_alone() {
    let memory = Memory::default();
    let orders = start(&memory);
    let keys: Vec<u64> = (1..=21).collect();
    for key in &keys {
        orders.create(*key, ()).await.unwrap();
    }
    memory.poison(13);
    let asked: Vec<_> = keys.iter().map(|key| (*key, Event::Pay, None)).collect();
    let outcomes = told(ask(&orders, &asked)).await;
    for (key, outcome) in keys.iter().zip(&outcomes) {
        let expect = if *key == 13 { "the database refuses it: refused" } else { "Paid 2" };
        assert_eq!(outcome, expect, "{key}");
        assert_eq!(memory.history(*key).len(), if *key == 13 { 1 } else { 2 });
    }
    let stats = orders.stats();
    assert_eq!(stats.refused, 1);
    assert!((4..=5).contains(&stats.split), "21 is halved about four times: {}", stats.split);
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_reply_is_lost_counts_once_whether_it_was_made_or_not() {
    for mishap in [Mishap::LostMade, Mishap::LostUnmade] {
        let memory = Memory::default();
        let orders = start(&memory);
        memory.next(&[mishap]);
        assert_eq!(orders.create(1, ()).await.unwrap().version, 1);
        memory.next(&[mishap, mishap]);
        // The second is decided on the first, and answers what it led to itself; a minted id does what a given one does.
        let outcomes = told(ask(&orders, &[(1, Event::Pay, None), (1, Event::Ship, id("s"))])).await;
        assert_eq!(outcomes, ["Paid 2", "Shipped 3"], "{mishap:?}");
        assert_eq!(memory.history(1), [None, Some(Event::Pay), Some(Event::Ship)]);
        let stats = orders.stats();
        assert_eq!((stats.resolved, stats.unknown), (3, 0));
        assert_eq!(memory.doubted(), [1; 5], "what is cached may be old from then on");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_cannot_be_learnt_is_unknown_and_not_guessed() {
    let memory = Memory::default();
    let orders = start(&memory);
    orders.create(1, ()).await.unwrap();
    memory.next(&[Mishap::LostMade]);
    memory.always(Some(Mishap::Away));
    let error = orders.transition(1, Event::Pay, id("a")).await.unwrap_err();
    assert!(matches!(error, GroupError::Unknown(_)), "{error}");
    assert_eq!(orders.stats().unknown, 1);
    memory.always(None);
    let again = orders.transition(1, Event::Pay, id("a")).await.unwrap();
    assert_eq!((again.version, again.repeated), (2, true));
}

#[tokio::test(start_paused = true)]
async fn conflicts_are_tried_again_three_times_and_then_aborted() {
    let memory = Memory::default();
    let orders = start(&memory);
    orders.create(1, ()).await.unwrap();
    memory.next(&[Mishap::Conflict; 3]);
    assert_eq!(orders.transition(1, Event::Pay, None).await.unwrap().version, 2);
    assert_eq!((orders.stats().retried, orders.stats().aborted), (3, 0));

    memory.always(Some(Mishap::Conflict));
    let before = memory.begun();
    let error = orders.transition(1, Event::Ship, None).await.unwrap_err();
    assert!(matches!(error, GroupError::Aborted), "{error}");
    assert_eq!(orders.stats().aborted, 1);
    let begun: Vec<Instant> = memory.begun().split_off(before.len());
    let pauses: Vec<Duration> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses.len(), 3);
    for (pause, whole) in pauses.iter().zip([20, 40, 80]) {
        // A timer has a resolution of a millisecond, and an attempt takes some.
        let (least, most) = (Duration::from_millis(whole / 2), Duration::from_millis(whole + 8));
        assert!((least..=most).contains(pause), "{pauses:?}");
    }
    assert!(pauses.iter().any(|pause| !pause.as_millis().is_multiple_of(10)), "no jitter: {pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_never_as_it_was_found_is_aborted_alone() {
    let memory = Memory::default();
    let orders = start(&memory);
    for key in 1..=9 {
        orders.create(key, ()).await.unwrap();
    }
    memory.moving(5);
    let asked: Vec<_> = (1..=9).map(|key| (key, Event::Pay, None)).collect();
    let outcomes = told(ask(&orders, &asked)).await;
    for (key, outcome) in (1..=9).zip(&outcomes) {
        let aborted = "others were in the way at each attempt";
        assert_eq!(outcome, if key == 5 { aborted } else { "Paid 2" }, "{key}");
    }
    assert_eq!((orders.stats().aborted, orders.stats().refused), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_others_have_locked_holds_up_nobody_else_for_long() {
    let memory = Memory::default();
    let orders = start(&memory);
    for key in [1, 2] {
        orders.create(key, ()).await.unwrap();
    }
    let lock = memory.lock_for_ever(1);
    let began = Instant::now();
    let [stuck, free] = [(1, Event::Pay, None), (2, Event::Pay, None)].map(|it| ask(&orders, &[it]));
    assert_eq!(told(free).await, ["Paid 2"]);
    assert!(began.elapsed() < memory::WAIT * 2, "{:?}", began.elapsed());
    assert_eq!(told(stuck).await, ["others were in the way at each attempt"]);
    drop(lock);
    assert_eq!(told(ask(&orders, &[(1, Event::Pay, None)])).await, ["Paid 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_is_tried_again_and_then_said_to_be() {
    let memory = Memory::default();
    let orders = start(&memory);
    memory.next(&[Mishap::Away; 2]);
    assert!(orders.create(1, ()).await.is_ok());
    memory.always(Some(Mishap::Away));
    let error = orders.transition(1, Event::Pay, None).await.unwrap_err();
    assert!(matches!(error, GroupError::Unavailable(_)), "{error}");
    assert_eq!(orders.stats().unavailable, 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_and_a_close_commits_it() {
    let memory = Memory::default();
    let bounded = GroupOptions { queue: 2, ..options() };
    let (orders, committer) = Group::<Order, _>::new(memory.clone(), &bounded).unwrap();
    let create = |key| {
        let orders = orders.clone();
        tokio::spawn(async move { orders.create(key, ()).await })
    };
    let waiting = [create(1), create(2)];
    tokio::task::yield_now().await;
    assert!(matches!(orders.create(3, ()).await, Err(GroupError::Busy)));
    assert_eq!((orders.stats().busy, orders.stats().pending), (1, 2));
    let committer = tokio::spawn(committer);
    orders.close().await;
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap().version, 1);
    }
    assert!(matches!(orders.create(4, ()).await, Err(GroupError::Closed)));
    committer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_before_his_change_is_taken_up_gives_it_up() {
    let memory = Memory::default();
    let (orders, committer) = Group::<Order, _>::new(memory.clone(), &options()).unwrap();
    let gone = tokio::time::timeout(Duration::ZERO, orders.create(1, ())).await;
    assert!(gone.is_err());
    tokio::spawn(committer);
    orders.create(2, ()).await.unwrap();
    assert_eq!((memory.history(1).len(), memory.history(2).len()), (0, 1));
    assert_eq!(orders.stats().pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_committer_that_is_dropped_in_the_middle_leaves_no_caller_waiting() {
    let memory = Memory::default();
    let (orders, committer) = Group::<Order, _>::new(memory, &options()).unwrap();
    let committer = tokio::spawn(committer);
    let call = tokio::spawn({
        let orders = orders.clone();
        async move { orders.create(1, ()).await }
    });
    tokio::task::yield_now().await;
    committer.abort();
    assert!(matches!(call.await.unwrap(), Err(GroupError::Gone)));
    orders.failed().await;
    orders.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_committer_that_was_closed_has_not_failed() {
    let (orders, committer) = Group::<Order, _>::new(Memory::default(), &options()).unwrap();
    tokio::spawn(committer);
    orders.close().await;
    assert!(tokio::time::timeout(Duration::from_mins(1), orders.failed()).await.is_err());
}
