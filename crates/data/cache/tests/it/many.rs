//! Reads of many keys: one load for all that are missing.

use crate::source::{Rows, advance, rows, settle};
use aqueduct_cache::{Ask, Error, Loaded};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Answers each key with itself as value and version; key 9 fails. It remembers what it was asked.
#[derive(Clone, Default)]
struct Loader {
    asked: Arc<Mutex<Vec<Vec<u64>>>>,
    gate: Arc<Notify>,
}

impl Loader {
    fn asked(&self) -> Vec<Vec<u64>> {
        std::mem::take(&mut self.asked.lock().expect("not poisoned"))
    }

    fn load(
        &self,
        keys: Vec<(u64, Ask)>,
    ) -> impl Future<Output = Vec<Result<Loaded<u64>, &'static str>>> + Send + 'static {
        let keys: Vec<_> = keys.into_iter().map(|(key, _)| key).collect();
        self.asked.lock().expect("not poisoned").push(keys.clone());
        let row = |key| if key == 9 { Err("no row 9") } else { Ok(Loaded::new(key, Some(key))) };
        std::future::ready(keys.into_iter().map(row).collect())
    }

    async fn get(&self, cache: &Rows, keys: &[u64]) -> Vec<Result<u64, &'static str>> {
        let answers = cache.get_many(keys, |keys| self.load(keys)).await;
        answers
            .into_iter()
            .map(|answer| answer.map(|answer| answer.version).map_err(|error| error.kind()))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_are_missing_are_one_load_and_the_answers_are_in_order() {
    let (cache, loader) = (rows(), Loader::default());
    assert_eq!(loader.get(&cache, &[3, 1, 3, 9]).await, [Ok(3), Ok(1), Ok(3), Err("load")]);
    assert_eq!(loader.asked(), [[3, 1, 9]]);
    assert_eq!(loader.get(&cache, &[1, 2, 3]).await, [Ok(1), Ok(2), Ok(3)]);
    assert_eq!(loader.asked(), [[2]]);
    assert_eq!(loader.get(&cache, &[3, 2]).await, [Ok(3), Ok(2)]);
    assert!(loader.asked().is_empty());
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.hits, stats.misses, stats.load_errors), (4, 4, 5, 1));
}

#[tokio::test(start_paused = true)]
async fn stale_ones_are_answered_at_once_and_refreshed_together() {
    let (cache, loader) = (rows(), Loader::default());
    loader.get(&cache, &[1, 2]).await;
    advance(10.0).await;
    let answers = cache.get_many(&[1, 2], |keys| loader.load(keys)).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().is_stale()));
    settle().await;
    assert_eq!(loader.asked(), [[1, 2], [1, 2]]);
    assert!(!cache.get(&2, || async { Err("not called") }).await.unwrap().is_stale());
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_a_fence_is_made_again_for_the_late_ones() {
    let (cache, loader) = (rows(), Loader::default());
    let gate = Arc::clone(&loader.gate);
    let old = cache.get(&5, || async move {
        gate.notified().await;
        Ok(Loaded::new(1, Some(1)))
    });
    let late = async {
        settle().await;
        cache.fence(&5, 5);
        let many = loader.get(&cache, &[4, 5]);
        let (many, ()) = tokio::join!(many, async {
            settle().await;
            loader.gate.notify_one();
        });
        many
    };
    let (old, late) = tokio::join!(old, late);
    assert_eq!((old.unwrap().version, late), (1, vec![Ok(4), Ok(5)]));
    assert_eq!(loader.asked(), [[4], [5]]);
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_answers_too_little_leaves_nobody_waiting() {
    let cache = rows();
    let answers = cache.get_many(&[1, 2], |_| async { vec![Ok(Loaded::new(1, Some(1)))] }).await;
    assert!(matches!(&answers[..], [Ok(_), Err(Error::Dropped)]), "{answers:?}");
    assert_eq!(cache.get(&2, || async { Ok(Loaded::new(2, Some(2))) }).await.unwrap().version, 2);
}
