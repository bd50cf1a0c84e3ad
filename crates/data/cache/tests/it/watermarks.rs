//! What goes out unmarked while changes come late, and what a lower level's answers are worth.

use crate::source::{Rows, Source, advance, builder, settle, spawner};
use aqueduct_cache::{Answer, AsOf, Ask, BuildError, Loaded, Watermarks};
use std::time::Duration;
use tokio::time::Instant;

const DELTA: Duration = Duration::from_secs(1);

/// A cache of rows whose source is their key's remainder by two.
fn watched() -> (Rows, Watermarks) {
    let watermarks = Watermarks::new(2, DELTA);
    let source_of = |key: &u64| usize::from(key % 2 == 1);
    (builder().watermarks(watermarks.clone(), source_of).build(spawner()).expect("valid"), watermarks)
}

fn lower(
    version: u64,
    as_of: AsOf,
) -> impl FnOnce(Ask) -> std::future::Ready<Result<Loaded<u64>, &'static str>> {
    move |_| std::future::ready(Ok(Loaded { version, value: Some(version), as_of }))
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_watermark_only_goes_up_until_it_is_lost() {
    let watermarks = Watermarks::new(2, DELTA);
    advance(10.0).await;
    assert_eq!((watermarks.is_current(0), watermarks.lag(0), watermarks.l2_at(0)), (false, None, None));
    let now = Instant::now();
    watermarks.l1(0, now);
    watermarks.l1(0, now - DELTA);
    watermarks.l2(0, now - DELTA / 2, &[]);
    assert_eq!((watermarks.lag(0), watermarks.l2_lag(0)), (Some(seconds(0.0)), Some(seconds(0.5))));
    assert_eq!(watermarks.l2_at(0), Some(now - DELTA / 2));
    advance(0.6).await;
    assert_eq!((watermarks.is_current(0), watermarks.l2_is_current(0)), (true, false));
    assert_eq!((watermarks.is_current(1), watermarks.is_current(2)), (false, false));
    watermarks.l1(2, now);
    watermarks.lost(2);
    watermarks.lost(0);
    assert_eq!((watermarks.is_current(0), watermarks.lag(0), watermarks.l2_lag(0)), (false, None, None));
}

#[tokio::test(start_paused = true)]
async fn what_no_watermark_vouches_for_is_answered_stale_and_refreshed_once() {
    let (cache, watermarks) = watched();
    let source = Source::open();
    let fresh = |version| Answer { value: Some(version), version, age: None };
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), fresh(1));
    // Its own load vouches for it for Δ, a watermark for longer.
    advance(0.999).await;
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), fresh(1));
    watermarks.l1(1, Instant::now());
    advance(0.999).await;
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), fresh(1));
    // The watermark of another source says nothing.
    watermarks.l1(0, Instant::now());
    advance(0.001).await;
    source.write();
    let stale = Answer { age: Some(seconds(1.999)), ..fresh(1) };
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), stale);
    settle().await;
    assert_eq!(cache.get(&1, || source.load()).await.unwrap(), fresh(2));
    assert_eq!((source.loads(), cache.stats().refreshes, cache.stats().stale), (2, 1, 1));
    watermarks.l1(1, Instant::now());
    watermarks.lost(1);
    advance(1.0).await;
    assert!(cache.get(&1, || source.load()).await.unwrap().is_stale());
}

#[tokio::test(start_paused = true)]
async fn an_absent_row_that_nothing_vouches_for_is_loaded_anew() {
    let watermarks = Watermarks::new(1, DELTA);
    let builder = builder().negative(Duration::from_secs(30)).watermarks(watermarks, |_| 0);
    let (cache, source) = (builder.build(spawner()).unwrap(), Source::open());
    source.delete();
    for loads in [1, 2] {
        for _ in 0..2 {
            assert_eq!(cache.get(&1, || source.load()).await.unwrap().value, None);
            assert_eq!(source.loads(), loads);
        }
        advance(1.0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lower_levels_row_is_as_old_as_that_level_knows() {
    let (cache, watermarks) = watched();
    advance(10.0).await;
    let at = Instant::now() - Duration::from_millis(400);
    let answer = cache.get_with(&1, lower(7, AsOf::Since(at))).await.unwrap();
    assert_eq!((answer.version, answer.age), (7, None));
    advance(0.599).await;
    assert_eq!(cache.get_with(&1, lower(8, AsOf::Load)).await.unwrap().age, None);
    advance(0.001).await;
    assert_eq!(cache.get_with(&1, lower(7, AsOf::Since(at))).await.unwrap().age, Some(seconds(1.0)));
    settle().await;
    // What it refreshed with is no newer; and the soft deadline counts from there too.
    watermarks.l1(1, Instant::now());
    assert_eq!(cache.get_with(&1, lower(8, AsOf::Load)).await.unwrap().age, None);
    for _ in 0..20 {
        advance(0.5).await;
        watermarks.l1(1, Instant::now());
    }
    assert_eq!(cache.get_with(&1, lower(8, AsOf::Load)).await.unwrap().age, Some(seconds(11.0)));
}

#[tokio::test(start_paused = true)]
async fn who_joins_a_load_late_is_told_how_old_the_lower_levels_answer_is() {
    let (cache, watermarks) = watched();
    advance(10.0).await;
    let held = std::sync::Arc::new(tokio::sync::Notify::new());
    let (at, gate) = (Instant::now() - Duration::from_millis(900), std::sync::Arc::clone(&held));
    let load = |_| async move {
        gate.notified().await;
        Ok(Loaded { version: 1, value: Some(1), as_of: AsOf::Since(at) })
    };
    let late = async {
        settle().await;
        advance(0.5).await;
        watermarks.l1(1, Instant::now());
        let joined = cache.get_with(&1, lower(2, AsOf::Load));
        let (joined, ()) = tokio::join!(joined, async {
            settle().await;
            held.notify_one();
        });
        joined
    };
    let (first, joined) = tokio::join!(cache.get_with(&1, load), late);
    assert_eq!((first.unwrap().age, joined.unwrap().age), (None, Some(seconds(1.4))));
}

#[tokio::test(start_paused = true)]
async fn a_lower_levels_stale_answer_is_marked_and_not_kept() {
    let (cache, _) = watched();
    advance(60.0).await;
    let at = Instant::now() - Duration::from_secs(30);
    let source = Source::open();
    assert_eq!(cache.get_with(&1, lower(1, AsOf::Stale(at))).await.unwrap().age, Some(seconds(30.0)));
    assert_eq!((cache.stats().entries, cache.stats().unkept_fills), (0, 1));
    cache.get(&1, || source.load()).await.unwrap();
    advance(5.0).await;
    // As a refresh it is worth no more than a failure: the entry stays as old as it is, and is left alone for a while.
    for _ in 0..10 {
        let answer = cache.get_with(&1, lower(1, AsOf::Stale(at))).await.unwrap();
        assert_eq!(answer.age, Some(seconds(5.0)));
        settle().await;
    }
    assert_eq!(cache.stats().refreshes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_loader_is_told_what_a_lower_level_must_know() {
    let (cache, _) = watched();
    let check = async |key: u64, expect: Ask| {
        let mut asked = None;
        let load = |ask| {
            asked = Some(ask);
            std::future::ready(Err("not now"))
        };
        cache.get_with(&key, load).await.unwrap_err();
        assert_eq!(asked, Some(expect));
    };
    check(1, Ask { least: 0, since: None }).await;
    cache.fence(&1, 5);
    check(1, Ask { least: 5, since: None }).await;
    advance(2.0).await;
    let now = Instant::now();
    cache.fence(&1, 0);
    advance(2.0).await;
    check(1, Ask { least: 0, since: Some(now) }).await;
    cache.flush();
    check(1, Ask { least: 0, since: None }).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_flush_a_lower_level_that_lags_is_not_kept_and_the_store_for_a_moment_only() {
    let (cache, watermarks) = watched();
    advance(10.0).await;
    let before = Instant::now();
    advance(0.5).await;
    cache.flush();
    watermarks.l1(1, Instant::now());
    cache.get_with(&1, lower(1, AsOf::Since(before))).await.unwrap();
    assert_eq!(cache.stats().entries, 0);
    // The change that the flush stood for may not be visible yet.
    advance(0.06).await;
    cache.get_with(&1, lower(1, AsOf::Load)).await.unwrap();
    advance(0.039).await;
    assert_eq!(cache.get_with(&1, lower(2, AsOf::Load)).await.unwrap().version, 1);
    advance(0.001).await;
    assert_eq!(cache.get_with(&1, lower(2, AsOf::Load)).await.unwrap().version, 2);
    advance(0.5).await;
    assert_eq!(
        cache.get_with(&1, lower(3, AsOf::Load)).await.unwrap(),
        Answer { value: Some(2), version: 2, age: None }
    );
    let after = AsOf::Since(Instant::now());
    cache.get_with(&3, lower(1, after)).await.unwrap();
    assert_eq!(cache.stats().entries, 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_lower_level_gives_is_not_kept_when_a_later_floor_is_forgotten() {
    let (cache, watermarks) = watched();
    advance(10.0).await;
    let before = Instant::now();
    advance(0.1).await;
    // More than are remembered, in every stripe.
    (1000..100_000).for_each(|key| cache.fence(&key, 1));
    watermarks.l1(1, Instant::now());
    assert_eq!(cache.get_with(&1, lower(1, AsOf::Since(before))).await.unwrap().age, None);
    assert_eq!((cache.stats().entries, cache.stats().unkept_fills), (0, 1));
    cache.get_with(&1, lower(1, AsOf::Since(Instant::now()))).await.unwrap();
    assert_eq!((cache.stats().entries, cache.stats().unkept_fills), (1, 1));
}

#[test]
fn a_visible_lag_that_breaks_the_promise_is_refused() {
    let builder = builder().watermarks(Watermarks::new(1, DELTA), |_| 0).visible_lag(DELTA);
    assert_eq!(builder.build(spawner()).map(drop), Err(BuildError::VisibleLag));
}
