//! How a load runs and how it ends: its result is stored or refused, and those who wait are answered, whatever
//! happens to the loader, its task or the callers.

use crate::{
    answer::{AsOf, Loaded},
    cache::Inner,
    clock::Nanos,
    error::Error,
    flight::{Departure, Flight, Outcome},
    lifetime::Deadlines,
    mutation::Mutation,
    stats::count,
    stripe::Stripe,
    table::{Charge, Entry, Evicted},
};
use std::{
    fmt,
    hash::{BuildHasher, Hash},
    sync::{Arc, atomic::Ordering::Acquire},
};

/// What was loaded, and the heap bytes it holds together with its key.
struct Weighed<V> {
    loaded: Loaded<V>,
    heap: usize,
}

/// How a loaded row is kept.
struct Kept {
    /// From when its age counts.
    began: Nanos,
    at_most: Nanos,
}

/// The duty to end a load. It lives in the load's task, so it is done when the loader returns, when it panics, and
/// when the task is dropped without having run.
pub(crate) struct Landing<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    inner: Arc<Inner<K, V, E>>,
    key: K,
    flight: Arc<Flight<V, E>>,
    /// What happened to the load, if it came to its end.
    result: Option<Result<Weighed<V>, Error<E>>>,
}

impl<K, V, E> Landing<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    pub(crate) fn new(inner: &Arc<Inner<K, V, E>>, key: &K, flight: Arc<Flight<V, E>>) -> Self {
        Self { inner: Arc::clone(inner), key: key.clone(), flight, result: None }
    }

    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    fn loaded(self, loaded: Result<Loaded<V>, E>) {
        let weighed = |loaded: Loaded<V>| {
            let heap = (self.inner.weigher)(&self.key, loaded.value.as_ref());
            Weighed { loaded, heap }
        };
        let result = loaded.map(weighed).map_err(|error| Error::Load(Arc::new(error)));
        self.end(result);
    }

    fn end(mut self, result: Result<Weighed<V>, Error<E>>) {
        self.result = Some(result);
    }
}

impl<K, V, E> Drop for Landing<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let unfinished = || if std::thread::panicking() { Err(Error::Panicked) } else { Err(Error::Dropped) };
        let result = self.result.take().unwrap_or_else(unfinished);
        self.inner.land(&self.key, &self.flight, result);
    }
}

impl<K, V, E> Inner<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    /// Starts the load of a flight that was just begun, in a task of its own.
    pub(crate) fn launch<F, R>(this: &Arc<Self>, key: &K, flight: Arc<Flight<V, E>>, loader: F)
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
    {
        // Before anything that may panic.
        let landing = Landing::new(this, key, flight);
        let load = loader();
        let limit = this.load_timeout;
        (this.spawner)(Box::pin(async move {
            match tokio::time::timeout(limit, load).await {
                Ok(loaded) => landing.loaded(loaded),
                Err(_elapsed) => landing.end(Err(Error::TimedOut(limit))),
            }
        }));
    }

    /// Starts one load for many flights. Those that it has no result for end as dropped.
    pub(crate) fn launch_many<R>(this: &Arc<Self>, landings: Vec<Landing<K, V, E>>, load: R)
    where
        R: Future<Output = Vec<Result<Loaded<V>, E>>> + Send + 'static,
    {
        let limit = this.load_timeout;
        (this.spawner)(Box::pin(async move {
            match tokio::time::timeout(limit, load).await {
                Ok(all) => {
                    for (landing, loaded) in landings.into_iter().zip(all) {
                        landing.loaded(loaded);
                    }
                }
                Err(_elapsed) => {
                    for landing in landings {
                        landing.end(Err(Error::TimedOut(limit)));
                    }
                }
            }
        }));
    }

    /// Ends a load: stores or refuses its result, lets the next load of the key begin, and answers those who wait.
    fn land(&self, key: &K, flight: &Flight<V, E>, result: Result<Weighed<V>, Error<E>>) {
        // Dropped after the lock is released: it holds values of the owner's type.
        let mut displaced = Evicted::default();
        let (outcome, postponed) = {
            let mut stripe = self.stripes.lock(self.hasher.hash_one(key));
            // At most one flight per key: this one.
            stripe.flights.remove(key);
            let outcome =
                result.and_then(|weighed| self.fill(&stripe, (key, flight), weighed, &mut displaced));
            let failed = outcome.as_ref().map_or(true, |loaded| matches!(loaded.as_of, AsOf::Stale(_)));
            let postponed = failed && self.postpone_refresh(key, flight, &mut displaced);
            (outcome, postponed)
        };
        self.release_load();
        if let Err(error) = &outcome {
            count(&self.counters.load_errors);
            if postponed {
                // Nobody waits for a refresh, so nobody else could tell.
                tracing::debug!(%error, "a refresh failed; the stale answer goes on");
            }
        }
        flight.land(outcome);
    }

    /// Stores what was loaded, unless a fence, a flush or a newer version forbids it. Under the stripe's lock.
    ///
    /// # Errors
    /// [`Error::Behind`] if it is older than what is known, and so may not be answered either.
    fn fill(
        &self,
        stripe: &Stripe<K, V, E>,
        (key, flight): (&K, &Flight<V, E>),
        weighed: Weighed<V>,
        displaced: &mut Evicted<K, V>,
    ) -> Outcome<V, E> {
        let Weighed { loaded, heap } = weighed;
        let departure = flight.departure;
        let cached = self.table.peek(key).filter(|entry| self.is_usable(entry)).map_or(0, |e| e.version);
        let floor = departure.floor.max(cached);
        if loaded.version < floor && !self.is_broken(Mutation::FillBelowFloor) {
            count(&self.counters.refused_fills);
            return Err(Error::Behind { loaded: loaded.version, floor });
        }
        let fenced = loaded.version < flight.needed() && !self.is_broken(Mutation::FillDespiteFence);
        let forgetful = self.is_broken(Mutation::FlushForgetsLoads);
        if fenced || departure.epoch != self.epoch() && !forgetful {
            count(&self.counters.refused_fills);
            return Ok(loaded);
        }
        let Some(charge) = Self::charge(heap) else { return Ok(loaded) };
        let Some(Kept { began, at_most }) = self.keep(stripe, key, departure, loaded.as_of) else {
            count(&self.counters.unkept_fills);
            return Ok(loaded);
        };
        let Deadlines { soft, hard } = self.lifetimes.deadlines(began, loaded.value.is_none());
        let (soft, hard) = (soft.min(at_most), hard.min(at_most));
        let entry = Entry {
            value: loaded.value.clone(),
            version: loaded.version,
            began,
            soft,
            hard,
            retry: 0,
            // The epoch of the load's beginning: should a flush come right now, readers see that the entry is void.
            epoch: if forgetful { self.epoch() } else { departure.epoch },
            charge,
        };
        self.table.insert(key.clone(), entry, displaced);
        Ok(loaded)
    }

    /// Whether and how long what was loaded may be kept; that it must not be kept does not forbid that it is answered.
    fn keep(&self, stripe: &Stripe<K, V, E>, key: &K, departure: Departure, as_of: AsOf) -> Option<Kept> {
        let hash = self.hasher.hash_one(key);
        match as_of {
            AsOf::Stale(_) => None,
            AsOf::Since(at) => {
                // The lower level may not know yet what this one has forgotten.
                let began = self.clock.nanos_at(at);
                let sighted = self.blind(stripe, hash, departure.epoch) <= began;
                (sighted || self.is_broken(Mutation::KeepDespiteForgotten))
                    .then_some(Kept { began, at_most: Nanos::MAX })
            }
            AsOf::Load => {
                let began = departure.began;
                let at_most = self.sighted_until(stripe, hash, departure.epoch, began);
                let at_most = at_most.filter(|_| !self.is_broken(Mutation::KeepUnsighted));
                let at_most = at_most.unwrap_or(Nanos::MAX);
                (self.clock.now() < at_most).then_some(Kept { began, at_most })
            }
        }
    }

    /// The time up to which the key may have changed without a floor to tell; 0 if there is none.
    fn blind(&self, stripe: &Stripe<K, V, E>, hash: u64, epoch: u32) -> Nanos {
        stripe.floors.blind(hash, epoch).max(self.flushed.load(Acquire))
    }

    /// If a load that began at `began` may have missed a change that was announced before without a floor, and was not visible
    /// yet: how long what it read holds good.
    pub(crate) fn sighted_until(
        &self,
        stripe: &Stripe<K, V, E>,
        hash: u64,
        epoch: u32,
        began: Nanos,
    ) -> Option<Nanos> {
        let lag = self.watch.as_ref()?.visible_lag;
        let blind = self.blind(stripe, hash, epoch);
        let until = blind.min(began).saturating_add(lag);
        (blind != 0 && began < blind.saturating_add(lag)).then_some(until)
    }

    pub(crate) fn is_usable(&self, entry: &Entry<V>) -> bool {
        entry.epoch == self.epoch() && self.clock.now() < entry.hard
    }

    /// The charge for an entry; `None` from 4 GiB on, which is not kept.
    fn charge(heap: usize) -> Option<Charge> {
        let bytes = crate::table::Table::<K, V>::OVERHEAD.checked_add(u64::try_from(heap).ok()?)?;
        u32::try_from(bytes).ok().map(Charge::new)
    }

    /// After a failed refresh: the stale entry stays as it is, but is not refreshed again at once. Under the stripe's
    /// lock, so that it cannot bring back an entry that a fence removed. False if there is no entry.
    fn postpone_refresh(&self, key: &K, flight: &Flight<V, E>, displaced: &mut Evicted<K, V>) -> bool {
        let Some(mut entry) = self.table.peek(key) else { return false };
        entry.retry = self.clock.now().saturating_add(self.retry);
        if self.is_broken(Mutation::RefreshRenewsOldValue) {
            entry.soft = self.lifetimes.deadlines(flight.departure.began, false).soft;
        }
        self.table.replace(key.clone(), entry, displaced);
        true
    }
}
