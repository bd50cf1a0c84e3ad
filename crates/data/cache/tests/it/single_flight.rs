//! One load per key, whoever waits, leaves, panics or shuts down.

use crate::source::{Rows, Source, builder, rows, settle, spawn, spawner};
use aqueduct_cache::{Answer, Error, Task};
use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::mpsc;

type Outcome = Result<Answer<u64>, Error<&'static str>>;

/// A thousand readers of one key, in tasks of their own.
fn readers(cache: &Rows, source: &Source) -> mpsc::UnboundedReceiver<Outcome> {
    let (done, outcomes) = mpsc::unbounded_channel();
    for _ in 0..1000 {
        let (cache, source, done) = (cache.clone(), source.clone(), done.clone());
        spawn(Box::pin(async move {
            done.send(cache.get(&1, || source.load()).await).expect("somebody counts");
        }));
    }
    outcomes
}

async fn collect(mut outcomes: mpsc::UnboundedReceiver<Outcome>) -> Vec<Outcome> {
    let mut all = Vec::new();
    while let Some(outcome) = outcomes.recv().await {
        all.push(outcome);
    }
    all
}

/// Begins a read and polls it until it waits.
macro_rules! begin {
    ($read:expr) => {{
        let mut read = Box::pin($read);
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        settle().await;
        read
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_share_one_load() {
    let (cache, source) = (rows(), Source::default());
    let outcomes = readers(&cache, &source);
    source.let_go();
    let outcomes = collect(outcomes).await;
    assert_eq!((outcomes.len(), source.loads()), (1000, 1));
    assert!(outcomes.iter().all(|o| matches!(o, Ok(Answer { value: Some(1), version: 1, age: None }))));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_share_one_error() {
    let (cache, source) = (rows(), Source::default());
    source.fail(true);
    let outcomes = readers(&cache, &source);
    settle().await;
    source.let_go();
    let outcomes = collect(outcomes).await;
    assert_eq!((outcomes.len(), source.loads(), cache.stats().load_errors), (1000, 1, 1));
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::Load(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_harms_nobody() {
    let (cache, source) = (rows(), Source::default());
    let leader = begin!(cache.get(&1, || source.load()));
    let follower = begin!(cache.get(&1, || source.load()));
    drop(leader);
    source.let_go();
    assert_eq!(follower.await.unwrap().value, Some(1));
    assert_eq!(source.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_alone_still_fills_the_cache() {
    let (cache, source) = (rows(), Source::default());
    drop(begin!(cache.get(&1, || source.load())));
    source.let_go();
    settle().await;
    assert_eq!(cache.get(&1, || source.load()).await.unwrap().value, Some(1));
    assert_eq!((source.loads(), cache.stats().hits), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_leaves_harms_nobody() {
    let (cache, source) = (rows(), Source::default());
    let leader = begin!(cache.get(&1, || source.load()));
    drop(begin!(cache.get(&1, || source.load())));
    source.let_go();
    assert_eq!(leader.await.unwrap().value, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_load_whose_task_is_dropped_answers_its_callers() {
    let tasks: Arc<Mutex<Vec<Task>>> = Arc::default();
    let hold = Arc::clone(&tasks);
    let cache = builder().build(Arc::new(move |task| hold.lock().unwrap().push(task))).unwrap();
    let source = Source::open();
    let leader = begin!(cache.get(&1, || source.load()));
    let follower = begin!(cache.get(&1, || source.load()));
    tasks.lock().unwrap().clear();
    assert!(matches!(leader.await, Err(Error::Dropped)));
    assert!(matches!(follower.await, Err(Error::Dropped)));
    // The key is free again.
    let next = begin!(cache.get(&1, || source.load()));
    spawn(tasks.lock().unwrap().pop().unwrap());
    assert_eq!(next.await.unwrap().value, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_panics_answers_its_callers() {
    let cache = rows();
    let source = Source::open();
    let leader = begin!(cache.get(&1, || async {
        settle().await;
        settle().await;
        panic!("on purpose")
    }));
    let follower = begin!(cache.get(&1, || source.load()));
    assert!(matches!(leader.await, Err(Error::Panicked)));
    assert!(matches!(follower.await, Err(Error::Panicked)));
    assert_eq!(cache.get(&1, || source.load()).await.unwrap().value, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_panics_before_it_returns_a_future_leaves_the_key_free() {
    let (cache, source) = (rows(), Source::open());
    let other = cache.clone();
    let (died, dead) = tokio::sync::oneshot::channel::<()>();
    spawn(Box::pin(async move {
        let _died = died;
        let bad = || -> std::future::Pending<_> { panic!("on purpose") };
        drop(other.get(&1, bad).await);
    }));
    assert!(dead.await.is_err());
    assert_eq!(cache.get(&1, || source.load()).await.unwrap().value, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_weigher_that_panics_answers_the_callers() {
    let cache = builder().weigher(|_, _| panic!("on purpose")).build(spawner()).unwrap();
    let source = Source::open();
    assert!(matches!(cache.get(&1, || source.load()).await, Err(Error::Panicked)));
}

#[tokio::test(start_paused = true)]
async fn loads_at_once_are_bounded() {
    let cache = builder().max_loads(2).build(spawner()).unwrap();
    let source = Source::default();
    let first = begin!(cache.get(&1, || source.load()));
    let second = begin!(cache.get(&2, || source.load()));
    let refused = cache.get(&3, || source.load()).await;
    assert!(matches!(refused, Err(Error::Overloaded { max_loads: 2 })));
    // Joining a load is not beginning one.
    let follower = begin!(cache.get(&2, || source.load()));
    source.let_go();
    source.let_go();
    source.let_go();
    let outcomes = [first.await, second.await, follower.await].map(|outcome| outcome.unwrap().value);
    assert_eq!(outcomes, [Some(1); 3]);
    assert_eq!(cache.get(&3, || source.load()).await.unwrap().value, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_is_given_up() {
    let (cache, source) = (rows(), Source::default());
    let outcome = cache.get(&1, || source.load()).await;
    assert!(matches!(outcome, Err(Error::TimedOut(limit)) if limit == Duration::from_secs(5)));
    source.let_go();
    assert_eq!(cache.get(&1, || source.load()).await.unwrap().value, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_hit_is_ready_at_the_first_poll() {
    let (cache, source) = (rows(), Source::open());
    cache.get(&1, || source.load()).await.unwrap();
    let hit = pin!(cache.get(&1, || source.load()));
    assert!(matches!(hit.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_))));
}
