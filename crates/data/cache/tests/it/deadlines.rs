//! Fresh until the soft deadline, stale with its age until the hard one, then a load; negative entries; refreshes.

use crate::source::{Source, advance, builder, rows, settle, spawner};
use aqueduct_cache::{Answer, BuildError, Error, Loaded};
use std::time::Duration;

fn fresh(version: u64) -> Answer<u64> {
    Answer { value: Some(version), version, age: None }
}

fn stale(version: u64, seconds: f64) -> Answer<u64> {
    Answer { age: Some(Duration::from_secs_f64(seconds)), ..fresh(version) }
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_fresh_until_its_soft_deadline() {
    let (cache, source) = (rows(), Source::open());
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), fresh(1));
    source.write();
    advance(9.999).await;
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), fresh(1));
    assert_eq!(source.loads(), 1);
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.hits, stats.stale, stats.loads, stats.entries), (1, 1, 0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn then_it_is_answered_at_once_with_its_age_while_one_refresh_runs() {
    let (cache, source) = (rows(), Source::default());
    source.let_go();
    cache.get(&1, || source.load()).await.unwrap();
    source.write();
    advance(10.0).await;
    // The refresh is held, so that all of these are answered while it runs.
    for _ in 0..10 {
        assert_eq!(cache.get(&1, || source.load()).await.unwrap(), stale(1, 10.0));
        settle().await;
    }
    assert_eq!(source.loads(), 2);
    advance(1.5).await;
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), stale(1, 11.5));
    source.let_go();
    settle().await;
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), fresh(2));
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.hits, stats.stale), (1, 1, 11));
    assert_eq!((stats.loads, stats.refreshes, stats.load_errors), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn age_and_deadlines_count_from_the_beginning_of_the_load() {
    let (cache, source) = (rows(), Source::default());
    let reader = cache.get(&1, || source.load());
    let (answer, ()) = tokio::join!(reader, async {
        settle().await;
        advance(4.0).await;
        source.let_go();
    });
    assert_eq!(answer.unwrap(), fresh(1));
    advance(6.0).await;
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), stale(1, 10.0));
}

#[tokio::test(start_paused = true)]
async fn failing_refreshes_leave_the_stale_answer_until_the_hard_deadline_and_then_the_error_is_the_answer() {
    let (cache, source) = (rows(), Source::open());
    cache.get(&1, || source.load()).await.unwrap();
    source.fail(true);
    for second in 10..60 {
        advance(if second == 10 { 10.0 } else { 1.0 }).await;
        let age = f64::from(second);
        assert_eq!(cache.get(&1, || source.load()).await.unwrap(), stale(1, age));
        settle().await;
    }
    advance(1.0).await;
    let error = cache.get(&1, || source.load()).await.unwrap_err();
    assert!(matches!(&error, Error::Load(reason) if **reason == "the store is down"), "{error}");
    let stats = cache.stats();
    assert_eq!((stats.stale, stats.refreshes, stats.load_errors), (50, 50, 51));
    source.fail(false);
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), fresh(1));
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_refresh_the_store_is_left_alone_for_a_while() {
    let (cache, source) = (rows(), Source::open());
    cache.get(&1, || source.load()).await.unwrap();
    source.fail(true);
    advance(10.0).await;
    for _ in 0..100 {
        assert!(cache.get(&1, || source.load()).await.unwrap().is_stale());
        settle().await;
    }
    assert_eq!(source.loads(), 2);
    advance(1.0).await;
    cache.get(&1, || source.load()).await.unwrap();
    settle().await;
    assert_eq!(source.loads(), 3);
}

#[tokio::test(start_paused = true)]
async fn past_the_hard_deadline_nothing_is_answered_without_a_load() {
    let (cache, source) = (rows(), Source::open());
    cache.get(&1, || source.load()).await.unwrap();
    source.write();
    advance(60.0).await;
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), fresh(2));
    assert_eq!((cache.stats().stale, cache.stats().misses), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn an_absent_row_is_remembered_for_a_second_and_never_answered_stale() {
    let (cache, source) = (rows(), Source::open());
    source.delete();
    let absent = Answer { value: None, version: 1, age: None };
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), absent);
    advance(0.999).await;
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), absent);
    assert_eq!((source.loads(), cache.stats().negative_hits, cache.stats().hits), (1, 1, 0));
    advance(0.001).await;
    source.fail(true);
    assert!(cache.get(&1, || source.load()).await.is_err());
    assert_eq!(source.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_goes_back_in_versions_is_refused() {
    let cache = rows();
    let read = |version| move || async move { Ok(Loaded::new(version, Some(version))) };
    cache.get(&1, read(5)).await.unwrap();
    advance(10.0).await;
    cache.get(&1, read(4)).await.unwrap();
    settle().await;
    assert_eq!(cache.get(&1, read(4)).await.unwrap(), stale(5, 10.0));
    assert_eq!(cache.stats().refused_fills, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_does_not_fit_under_the_bound_is_left_out() {
    let cache = builder().max_loads(1).build(spawner()).unwrap();
    let (source, held) = (Source::open(), Source::default());
    cache.get(&1, || source.load()).await.unwrap();
    advance(10.0).await;
    let blocked = cache.get(&2, || held.load());
    let (_, answer) = tokio::join!(blocked, async {
        settle().await;
        let answer = cache.get(&1, || source.load()).await;
        held.let_go();
        answer
    });
    assert_eq!(answer.unwrap(), stale(1, 10.0));
    assert_eq!((source.loads(), cache.stats().refreshes), (1, 0));
}

#[test]
fn impossible_settings_are_refused() {
    let check = |builder: aqueduct_cache::Builder<u64, u64, &'static str>, expect| {
        assert_eq!(builder.build(spawner()).map(drop), expect);
    };
    let second = Duration::from_secs(1);
    check(builder(), Ok(()));
    check(builder().capacity_bytes(100), Err(BuildError::Capacity(100)));
    check(builder().soft(Duration::ZERO), Err(BuildError::Lifetime("soft")));
    check(builder().hard(second), Err(BuildError::Lifetime("soft")));
    check(builder().negative(Duration::MAX), Err(BuildError::Lifetime("negative")));
    check(builder().jitter(0.6), Err(BuildError::Jitter));
    check(builder().jitter(f64::NAN), Err(BuildError::Jitter));
    check(builder().max_loads(0), Err(BuildError::NoLoads));
}
