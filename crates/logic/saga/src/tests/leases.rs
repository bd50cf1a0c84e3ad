//! Who has a saga: leases that are renewed, and what is given back.

use std::time::Duration;

use super::bench::{LONG, Reply, Script, check, id, open, submission, timeline, until};
use crate::{Coordinator, Memory, Options, Status, Store as _};

fn short_lease(store: &Memory) -> Coordinator<Memory> {
    let options = Options { lease: Duration::from_secs(1), ..Options::default() };
    Coordinator::open(store.clone(), options).unwrap()
}

async fn epoch(store: &Memory) -> u64 {
    store.load(&id("s")).await.unwrap().unwrap().header.epoch
}

/// While a call takes longer than a lease the saga stays with who made it, and a second submission changes nothing about that.
#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_a_call_lasts() {
    let (store, script) = (Memory::default(), Script::default().on("c0 execute", [Reply::Silence]));
    let sagas = short_lease(&store);
    until(&sagas, &script, async {
        sagas.submit(submission("s", "c")).await.unwrap();
        script.called(1).await;
        assert!(!sagas.submit(submission("s", "c")).await.unwrap().created);
        tokio::time::sleep(Duration::from_millis(4500)).await;
        assert_eq!(epoch(&store).await, 1);
        assert_eq!(sagas.snapshot().in_flight, 1);
    })
    .await;
}

/// A runner that ended without a word: another one takes over after the lease, and not before.
#[tokio::test(start_paused = true)]
async fn a_saga_is_taken_over_when_its_lease_is_over() {
    let (store, script) =
        (Memory::default(), Script::default().on("c0 execute", [Reply::Silence, Reply::Done]));
    let gone = short_lease(&store);
    until(&gone, &script, async {
        gone.submit(submission("s", "c")).await.unwrap();
        script.called(1).await;
    })
    .await;
    let start = tokio::time::Instant::now();
    let sagas = short_lease(&store);
    let view = until(&sagas, &script, sagas.wait(&id("s"), LONG)).await.unwrap().unwrap();
    check(&view, Status::Completed, "");
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
    assert_eq!((epoch(&store).await, script.calls().len()), (2, 2));
}

/// In the same process nobody waits for a lease to end.
#[tokio::test(start_paused = true)]
async fn what_a_dropped_runner_had_is_due_at_once_for_the_next_one() {
    let (store, script) =
        (Memory::default(), Script::default().on("c0 execute", [Reply::Silence, Reply::Done]));
    let sagas = open(&store);
    until(&sagas, &script, async {
        sagas.submit(submission("s", "c")).await.unwrap();
        script.called(1).await;
    })
    .await;
    let start = tokio::time::Instant::now();
    until(&sagas, &script, sagas.wait(&id("s"), LONG)).await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

/// A shutdown waits for the answers of the calls under way, notes them, begins nothing, and gives everything back.
#[tokio::test(start_paused = true)]
async fn a_shutdown_notes_what_is_under_way_and_begins_nothing() {
    let (store, script) = (Memory::default(), Script::default().on("c0 execute", [Reply::Slow]));
    let sagas = open(&store);
    sagas.submit(submission("s", "cp")).await.unwrap();
    sagas.run(script.clone(), script.called(1)).await.unwrap();
    assert_eq!(script.calls(), ["c0 execute 1"]);
    let view = sagas.get(&id("s")).await.unwrap().unwrap();
    assert_eq!(timeline(&view), ["CREATED", "SENT c0 execute 1", "DONE c0 execute 1"]);
    let header = store.load(&id("s")).await.unwrap().unwrap().header;
    assert!(header.due_at.unwrap() <= store.now(), "others may go on at once");
    let other = open(&store);
    let view = until(&other, &script, other.wait(&id("s"), LONG)).await.unwrap().unwrap();
    check(&view, Status::Completed, "");
}

#[tokio::test(start_paused = true)]
async fn ready_once_what_was_left_was_looked_at() {
    let sagas = open(&Memory::default());
    assert!(!sagas.ready());
    until(&sagas, &Script::default(), async {
        while !sagas.ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// More than may be under way: the rest waits for its turn, and all end.
#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_bounded() {
    let (store, script) = (Memory::default(), Script::default().on("c0 execute", [Reply::Slow]));
    let options = Options { in_flight: 3, ..Options::default() };
    let sagas = Coordinator::open(store, options).unwrap();
    until(&sagas, &script, async {
        for number in 0..20 {
            sagas.submit(submission(&format!("s{number}"), "c")).await.unwrap();
        }
        script.called(1).await;
        for number in 0..20 {
            let view = sagas.wait(&id(&format!("s{number}")), LONG).await.unwrap().unwrap();
            check(&view, Status::Completed, "");
            assert!(sagas.snapshot().in_flight <= 3);
        }
    })
    .await;
    let start = script.raw_calls().len();
    assert_eq!(start, 20, "each once");
}
