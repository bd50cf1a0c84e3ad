//! The auditor finds what no invalidation told, and lets alone what is merely early.

use crate::source::{Rows, builder, spawner};
use aqueduct_cache::Loaded;
use aqueduct_cache::audit::{Audit, Auditor, Cached, Level};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

const GRACE: Duration = Duration::from_secs(3);

/// What the store has at each reading; the last one stays.
struct Store(Mutex<Vec<Result<Loaded<u64>, ()>>>);

impl Store {
    fn new(readings: impl Into<Vec<Result<Loaded<u64>, ()>>>) -> Self {
        Self(Mutex::new(readings.into()))
    }

    fn read(&self) -> Result<Loaded<u64>, ()> {
        let mut left = self.0.lock().expect("no panic");
        if left.len() > 1 { left.remove(0) } else { left[0] }
    }
}

fn row(version: u64, value: u64) -> Loaded<u64> {
    Loaded::new(version, Some(value))
}

async fn cached(key: u64, loaded: Loaded<u64>) -> (Rows, Auditor<u64>) {
    let cache = builder().build(spawner()).expect("valid");
    let auditor = Auditor::new(10, 0);
    auditor.note(&key);
    cache.get(&key, || async move { Ok(loaded) }).await.expect("loads");
    (cache, auditor)
}

/// One key with `copy` in memory; what a round makes of it, and whether the copy is still there.
async fn check(copy: Loaded<u64>, store: Vec<Result<Loaded<u64>, ()>>, expect: (Audit, bool)) {
    let (cache, auditor) = cached(7, copy).await;
    let store = Store::new(store);
    let audit = auditor.round(&cache, &(), GRACE, |_| std::future::ready(store.read())).await;
    let there = cache.peek(&7).is_some();
    assert_eq!((audit, there), expect, "{copy:?}");
    assert_eq!(auditor.total(), audit);
    let again = auditor.round(&cache, &(), GRACE, |_| std::future::ready(store.read())).await;
    assert_eq!(again, Audit::default(), "a sample begins anew");
}

#[tokio::test(start_paused = true)]
async fn what_differs_before_and_after_the_grace_is_a_lie() {
    let fine = Audit { compared: 1, ..Audit::default() };
    let lie = Audit { compared: 1, differing: 1, repaired: 1, unreadable: 0 };
    check(row(3, 1), vec![Ok(row(3, 1))], (fine, true)).await;
    check(row(3, 1), vec![Ok(row(4, 2))], (lie, false)).await;
    check(row(3, 1), vec![Ok(row(3, 2))], (lie, false)).await;
    check(row(3, 1), vec![Ok(row(2, 1))], (lie, false)).await;
    check(row(3, 1), vec![Ok(Loaded::new(0, None))], (lie, false)).await;
    // Changed and changed back: it may have been read in between.
    check(row(3, 1), vec![Ok(row(2, 9)), Ok(row(3, 1))], (fine, true)).await;
    // One that can be read only once proves nothing.
    let unreadable = Audit { unreadable: 1, ..fine };
    check(row(3, 1), vec![Ok(row(4, 2)), Err(())], (unreadable, true)).await;
    check(row(3, 1), vec![Err(())], (Audit { compared: 0, ..unreadable }, true)).await;
}

#[tokio::test(start_paused = true)]
async fn a_negative_entry_lies_once_there_is_a_row() {
    let cache = builder().negative(Duration::from_mins(1)).build(spawner()).expect("valid");
    let auditor = Auditor::new(10, 0);
    for (key, expect) in [(1, 0), (2, 1)] {
        auditor.note(&key);
        cache.get(&key, || async { Ok(Loaded::new(0, None)) }).await.expect("loads");
        let store = if key == 1 { Loaded::new(5, None) } else { row(1, 1) };
        let audit = auditor.round(&cache, &(), GRACE, |_| std::future::ready(Ok::<_, ()>(store))).await;
        assert_eq!((audit.compared, audit.differing), (1, expect), "key {key}");
    }
    assert!(cache.peek(&1).is_some() && cache.peek(&2).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_that_comes_within_the_grace_is_not_found_again() {
    let (cache, auditor) = cached(7, row(3, 1)).await;
    let fence = async {
        tokio::time::sleep(GRACE / 2).await;
        cache.fence(&7, 4);
        cache.get(&7, || async { Ok(row(4, 2)) }).await.expect("loads");
    };
    let round = auditor.round(&cache, &(), GRACE, |_| std::future::ready(Ok::<_, ()>(row(4, 2))));
    let (audit, ()) = tokio::join!(round, fence);
    assert_eq!(audit, Audit { compared: 1, ..Audit::default() });
    assert_eq!(cache.peek(&7).expect("cached").version, 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_as_stale_is_no_lie() {
    let (cache, auditor) = cached(7, row(3, 1)).await;
    tokio::time::advance(Duration::from_secs(20)).await;
    assert!(cache.peek(&7).expect("cached").is_stale());
    let audit = auditor.round(&cache, &(), GRACE, |_| std::future::ready(Ok::<_, ()>(row(4, 2)))).await;
    assert_eq!(audit, Audit::default());
}

/// A level with one row that is never right.
struct Below(Mutex<Option<Cached<u64>>>, AtomicUsize);

impl Level<u64, u64> for Below {
    async fn peek(&self, _key: &u64) -> Option<Cached<u64>> {
        self.0.lock().expect("no panic").clone()
    }

    async fn repair(&self, _key: &u64, cached: &Cached<u64>, newer: Option<u64>) -> bool {
        assert_eq!((cached.version, newer), (3, Some(4)));
        self.1.fetch_add(1, SeqCst);
        self.0.lock().expect("no panic").take().is_some()
    }
}

#[tokio::test(start_paused = true)]
async fn the_level_below_is_compared_and_repaired_too() {
    let below = Below(Mutex::new(Some(Cached { version: 3, value: Some(1) })), AtomicUsize::new(0));
    let (cache, auditor) = cached(7, row(4, 2)).await;
    let audit = auditor.round(&cache, &below, GRACE, |_| std::future::ready(Ok::<_, ()>(row(4, 2)))).await;
    assert_eq!(audit, Audit { compared: 1, differing: 1, repaired: 1, unreadable: 0 });
    assert_eq!((below.1.load(SeqCst), cache.peek(&7).expect("cached").version), (1, 4));
}
