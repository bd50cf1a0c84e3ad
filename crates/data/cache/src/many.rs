//! Reads of many keys at once: one load for all that are missing.

use crate::{
    answer::{Answer, Ask, Loaded},
    cache::{Arrival, Cache, Inner, Look, Step},
    error::Error,
    fill::Landing,
    flight::Flight,
    stats::Read,
};
use std::{fmt, hash::Hash, sync::Arc};

/// What a key of many came to before anything was waited for.
enum Place<V, E> {
    Done(Result<Answer<V>, Error<E>>),
    /// Its own load or one that another began.
    Waits(Arc<Flight<V, E>>, Option<Arrival>),
    /// A load is under way that may have read too early.
    Later,
}

/// The loads that the keys before have begun, with what their loader is told.
type Led<K, V, E> = Vec<(Landing<K, V, E>, Ask)>;

impl<K, V, E> Cache<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    /// Answers many keys, each as [`get_with`](Self::get_with) does, with one load for all that are missing or to be refreshed.
    /// The answers are in the keys' order.
    ///
    /// `loader` gets the keys to be loaded, and must answer as many results in their order; a key that it has none for ends as
    /// [`Error::Dropped`]. It is called again, for one key, where a load that another began turned out to have read too early.
    pub async fn get_many<F, R>(&self, keys: &[K], loader: F) -> Vec<Result<Answer<V>, Error<E>>>
    where
        F: Fn(Vec<(K, Ask)>) -> R,
        R: Future<Output = Vec<Result<Loaded<V>, E>>> + Send + 'static,
    {
        let inner = &self.inner;
        let mut led = Vec::new();
        let places: Vec<_> = keys.iter().map(|key| inner.place(key, &mut led)).collect();
        if !led.is_empty() {
            let asked = led.iter().map(|(landing, ask)| (landing.key().clone(), *ask)).collect();
            let load = loader(asked);
            Inner::launch_many(inner, led.into_iter().map(|(landing, _)| landing).collect(), load);
        }
        let mut answers = Vec::with_capacity(keys.len());
        for (key, place) in keys.iter().zip(places) {
            answers.push(match place {
                Place::Done(answer) => answer,
                Place::Waits(flight, arrival) => inner.settle(key, flight.outcome().await, arrival),
                Place::Later => self.load_one(key, &loader).await,
            });
        }
        answers
    }

    /// As [`Cache::load`](Self::load), with a loader of many.
    async fn load_one<F, R>(&self, key: &K, loader: &F) -> Result<Answer<V>, Error<E>>
    where
        F: Fn(Vec<(K, Ask)>) -> R,
        R: Future<Output = Vec<Result<Loaded<V>, E>>> + Send + 'static,
    {
        let inner = &self.inner;
        let mut arrival = None;
        loop {
            match inner.step(key, &mut arrival)? {
                Step::Answer(answer) => return Ok(answer),
                Step::Join(flight) => return inner.settle(key, flight.outcome().await, arrival),
                Step::Wait(flight) => drop(flight.outcome().await),
                Step::Lead((flight, ask)) => {
                    let landing = Landing::new(inner, key, Arc::clone(&flight));
                    Inner::launch_many(inner, vec![landing], loader(vec![(key.clone(), ask)]));
                    return inner.settle(key, flight.outcome().await, arrival);
                }
            }
        }
    }
}

impl<K, V, E> Inner<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    fn place(self: &Arc<Self>, key: &K, led: &mut Led<K, V, E>) -> Place<V, E> {
        let until = self.until(key);
        match self.table.get(key, |entry| self.look(entry, until)) {
            Look::Fresh(answer) => {
                self.counters.read(if answer.value.is_some() { Read::Hit } else { Read::Negative });
                return Place::Done(Ok(answer));
            }
            Look::Stale { answer, refresh } => {
                self.counters.read(Read::Stale);
                if refresh && let Some((flight, ask)) = self.begin_refresh(key) {
                    led.push((Landing::new(self, key, flight), ask));
                }
                return Place::Done(Ok(answer));
            }
            Look::Absent => self.counters.read(Read::Miss),
        }
        let mut arrival = None;
        match self.step(key, &mut arrival) {
            Err(error) => Place::Done(Err(error)),
            Ok(Step::Answer(answer)) => Place::Done(Ok(answer)),
            Ok(Step::Join(flight)) => Place::Waits(flight, arrival),
            Ok(Step::Wait(_)) => Place::Later,
            Ok(Step::Lead((flight, ask))) => {
                led.push((Landing::new(self, key, Arc::clone(&flight)), ask));
                Place::Waits(flight, arrival)
            }
        }
    }
}
