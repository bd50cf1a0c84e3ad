//! Fences against loads under way, floors, and flushes.

use crate::source::{Source, rows, settle, spawner};
use aqueduct_cache::{Answer, Cache, Error, Loaded};
use std::sync::{Arc, Mutex};

fn read(version: u64) -> impl FnOnce() -> std::future::Ready<Result<Loaded<u64>, &'static str>> {
    move || std::future::ready(Ok(Loaded::new(version, Some(version))))
}

#[tokio::test(start_paused = true)]
async fn a_fence_removes_the_entry_stale_or_not() {
    let (cache, source) = (rows(), Source::open());
    for age in [0.0, 30.0] {
        cache.get(&1, || source.load()).await.unwrap();
        crate::source::advance(age).await;
        let version = source.write();
        cache.fence(&1, version);
        let answer = cache.get(&1, || source.load()).await.unwrap();
        assert_eq!(answer, Answer { value: Some(version), version, age: None });
    }
    assert_eq!(cache.stats().fences, 2);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_a_fence_serves_only_those_who_waited_before_it() {
    let (cache, source) = (rows(), Source::default());
    let (early, late, ()) = tokio::join!(
        cache.get(&1, || source.load()),
        async {
            settle().await;
            cache.fence(&1, source.write());
            cache.get(&1, || source.load()).await
        },
        async {
            settle().await;
            settle().await;
            assert_eq!(source.loads(), 1, "two loads of one key at once");
            source.let_go();
            settle().await;
            assert_eq!(source.loads(), 2);
            source.let_go();
        }
    );
    assert_eq!((early.unwrap().value, late.unwrap().value), (Some(1), Some(2)));
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(cache.get(&1, || source.load()).await.unwrap().value, Some(2));
    assert_eq!(source.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_a_key_that_is_written_all_the_time_still_ends() {
    let (cache, source) = (rows(), Source::default());
    let old = cache.get(&1, || source.load());
    let reader = async {
        settle().await;
        cache.fence(&1, source.write());
        cache.get(&1, || source.load()).await
    };
    let (_, answer, ()) = tokio::join!(old, reader, async {
        // Every load is fenced before it lands.
        for _ in 0..2 {
            settle().await;
            settle().await;
            cache.fence(&1, source.write());
            source.let_go();
        }
    });
    assert_eq!(answer.unwrap().version, 3);
    assert_eq!((source.loads(), cache.stats().entries), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn readers_join_a_load_that_began_after_they_did_even_if_it_is_fenced() {
    let (cache, source) = (rows(), Source::default());
    let fencing = || {
        // Of unknown version, so that the load cannot prove that it saw it.
        source.write();
        cache.fence(&1, 0);
        source.load()
    };
    let late = async {
        settle().await;
        cache.fence(&1, source.write());
        // Both wait for the old load. Whichever wakes first begins the next one, which is fenced at once.
        tokio::join!(cache.get(&1, fencing), cache.get(&1, fencing))
    };
    let (_, (one, two), ()) = tokio::join!(cache.get(&1, || source.load()), late, async {
        for _ in 0..3 {
            settle().await;
            settle().await;
            source.let_go();
        }
    });
    assert_eq!((one.unwrap().version, two.unwrap().version, source.loads()), (3, 3, 2));
}

#[tokio::test(start_paused = true)]
async fn announcing_a_change_twice_costs_nothing() {
    let cache = rows();
    cache.fence(&1, 2);
    cache.get(&1, read(2)).await.unwrap();
    cache.fence(&1, 2);
    cache.fence(&1, 1);
    assert_eq!(cache.get(&1, read(3)).await.unwrap().version, 2);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_after_an_announcement_stays_joinable_when_it_is_repeated() {
    let (cache, source) = (rows(), Source::default());
    source.write();
    source.fail(true);
    cache.fence(&1, 2);
    let (first, second, ()) = tokio::join!(
        cache.get(&1, || source.load()),
        async {
            settle().await;
            cache.fence(&1, 2);
            cache.get(&1, || source.load()).await
        },
        async {
            settle().await;
            settle().await;
            source.let_go();
        }
    );
    // Both share the one load's error.
    assert!(first.is_err() && second.is_err());
    assert_eq!(source.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_proves_to_have_seen_the_change_is_kept() {
    let (cache, source) = (rows(), Source::default());
    source.write();
    let (answer, ()) = tokio::join!(cache.get(&1, || source.load()), async {
        settle().await;
        cache.fence(&1, 2);
        source.let_go();
    });
    assert_eq!(answer.unwrap().version, 2);
    assert_eq!(cache.get(&1, || source.load()).await.unwrap().version, 2);
    assert_eq!((source.loads(), cache.stats().refused_fills), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_load_below_the_floor_is_refused() {
    let cache = rows();
    cache.fence(&1, 5);
    let behind = cache.get(&1, read(4)).await;
    assert!(matches!(behind, Err(Error::Behind { loaded: 4, floor: 5 })), "{behind:?}");
    assert_eq!((cache.stats().refused_fills, cache.stats().entries), (1, 0));
    // A row that is said to be absent, of unknown version, is behind as well.
    let absent = || std::future::ready(Ok(Loaded::new(0, None)));
    assert!(matches!(cache.get(&1, absent).await, Err(Error::Behind { loaded: 0, floor: 5 })));
    assert_eq!(cache.get(&1, read(5)).await.unwrap().version, 5);
}

#[tokio::test(start_paused = true)]
async fn a_fence_of_unknown_version_removes_everything_and_the_floor() {
    let cache = rows();
    cache.fence(&1, 5);
    cache.get(&1, read(5)).await.unwrap();
    cache.fence(&1, 0);
    let absent = || std::future::ready(Ok(Loaded::new(0, None)));
    assert_eq!(cache.get(&1, absent).await.unwrap().value, None);

    // A load under way cannot prove anything against it.
    let source = Source::default();
    let (_, ()) = tokio::join!(cache.get(&2, || source.load()), async {
        settle().await;
        cache.fence(&2, 0);
        source.let_go();
    });
    assert_eq!(cache.stats().refused_fills, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_voids_entries_floors_and_loads_under_way() {
    let cache = rows();
    for key in 0..100 {
        cache.get(&key, read(1)).await.unwrap();
    }
    cache.fence(&7, 9);
    let source = Source::default();
    let (early, late, ()) = tokio::join!(
        cache.get(&200, || source.load()),
        async {
            settle().await;
            source.write();
            cache.flush();
            assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
            cache.get(&200, || source.load()).await
        },
        async {
            settle().await;
            settle().await;
            source.let_go();
            settle().await;
            source.let_go();
        }
    );
    assert_eq!((early.unwrap().version, late.unwrap().version), (1, 2));
    assert_eq!(cache.get(&200, || source.load()).await.unwrap().version, 2);
    // Versions may have begun anew.
    assert_eq!(cache.get(&7, read(1)).await.unwrap().version, 1);
}

#[tokio::test(start_paused = true)]
async fn a_fence_of_one_key_leaves_all_others() {
    let cache = rows();
    for key in 0..5000 {
        cache.get(&key, read(1)).await.unwrap();
    }
    cache.fence(&0, 2);
    for key in 1..5000 {
        assert_eq!(cache.get(&key, read(2)).await.unwrap().version, 1);
    }
    assert_eq!(cache.stats().entries, 4999);
}

/// A value that does something when it is cloned for the first time: just before it is stored.
struct Trigger(Arc<Mutex<Option<Act>>>);

type Act = Box<dyn FnOnce() + Send>;

impl Clone for Trigger {
    fn clone(&self) -> Self {
        if let Some(act) = self.0.lock().expect("not poisoned").take() {
            act();
        }
        Self(Arc::clone(&self.0))
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_voids_an_entry_that_is_just_being_stored() {
    let cache = Cache::<u64, Trigger, &'static str>::builder().build(spawner()).unwrap();
    let flushed = cache.clone();
    let value = Some(Trigger(Arc::new(Mutex::new(Some(Box::new(move || flushed.flush()))))));
    cache.get(&1, || async { Ok(Loaded::new(1, value)) }).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cache.stats().entries, 1, "the flush came before or after the insertion");
    assert!(cache.get(&1, || async { Err("asked") }).await.is_err());
}
