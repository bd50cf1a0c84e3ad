//! The cache: reads, fences and flushes. How a load ends is in `fill`.

use crate::{
    answer::{Answer, AsOf, Ask, Loaded},
    builder::{Builder, Spawner, Watch, Weigher},
    clock::{Clock, Nanos},
    error::Error,
    flight::{Departure, Flight, Outcome},
    lifetime::Lifetimes,
    mutation::Mutation,
    stats::{Counters, Read, Stats, count},
    stripe::{Stripe, Stripes},
    table::{Entry, Table},
};
use foldhash::fast::RandomState;
use std::{
    fmt,
    hash::{BuildHasher, Hash},
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

/// A read-through cache of rows `V` by key `K`, whose loads fail with `E`. A clone is another handle to the same
/// cache. See the [crate's page](crate) for what it promises.
///
/// Values may be dropped while a lock of the cache is held, so a `Drop` of `V` must not call the cache.
pub struct Cache<K, V, E> {
    pub(crate) inner: Arc<Inner<K, V, E>>,
}

pub(crate) struct Inner<K, V, E> {
    pub(crate) table: Table<K, V>,
    pub(crate) stripes: Stripes<K, V, E>,
    pub(crate) hasher: RandomState,
    /// Goes up with each flush; entries and loads of another epoch are void.
    pub(crate) epoch: AtomicU32,
    /// When the last flush began; 0 if there was none. Set before the epoch goes up.
    pub(crate) flushed: AtomicU64,
    pub(crate) clock: Clock,
    pub(crate) watch: Option<Watch<K>>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) retry: Nanos,
    pub(crate) load_timeout: Duration,
    pub(crate) max_loads: usize,
    pub(crate) running: AtomicUsize,
    pub(crate) weigher: Weigher<K, V>,
    pub(crate) spawner: Spawner,
    pub(crate) counters: Counters,
    pub(crate) broken: Option<Mutation>,
}

/// What the table has for a key.
pub(crate) enum Look<V> {
    Fresh(Answer<V>),
    Stale { answer: Answer<V>, refresh: bool },
    Absent,
}

/// When a caller came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Its place among the loads of the stripe: a load with a later ticket began after the caller did.
    pub(crate) ticket: u64,
    pub(crate) at: Nanos,
}

/// A load that was just begun, and what its loader is told.
pub(crate) type Begun<V, E> = (Arc<Flight<V, E>>, Ask);

/// What a caller that found nothing usable does next.
pub(crate) enum Step<V, E> {
    /// An entry has arrived meanwhile.
    Answer(Answer<V>),
    /// A load is under way whose result it may have.
    Join(Arc<Flight<V, E>>),
    /// A load is under way that may have read too early for it: wait until it is over, look again.
    Wait(Arc<Flight<V, E>>),
    /// It has begun a load, and must call its loader.
    Lead(Begun<V, E>),
}

impl<K, V, E> Cache<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    /// Configures a cache.
    pub fn builder() -> Builder<K, V, E> {
        Builder::new()
    }

    pub(crate) fn new(inner: Inner<K, V, E>) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Answers from memory or through `loader`.
    ///
    /// A fresh entry is answered without an allocation, and `loader` is not called. A stale one is answered at once,
    /// and `loader` begins a refresh unless one is running or failed a moment ago. Otherwise the caller waits for a
    /// load, its own or one that another began; dropping the returned future leaves the load running for the others.
    ///
    /// `loader` must do its reading in the future it returns, or at least after it is called.
    ///
    /// # Errors
    /// Only when nothing usable is cached: see [`Error`].
    pub async fn get<F, R>(&self, key: &K, loader: F) -> Result<Answer<V>, Error<E>>
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
    {
        self.get_with(key, |_ask| loader()).await
    }

    /// As [`get`](Self::get), with a loader that reads through a lower level and so must know what that may answer.
    ///
    /// # Errors
    /// Only when nothing usable is cached: see [`Error`].
    pub async fn get_with<F, R>(&self, key: &K, loader: F) -> Result<Answer<V>, Error<E>>
    where
        F: FnOnce(Ask) -> R,
        R: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
    {
        let inner = &self.inner;
        // Before the look: see `Watermarks::l1_until`.
        let until = inner.until(key);
        match inner.table.get(key, |entry| inner.look(entry, until)) {
            Look::Fresh(answer) => {
                let class = if answer.value.is_some() { Read::Hit } else { Read::Negative };
                inner.counters.read(class);
                return Ok(answer);
            }
            Look::Stale { answer, refresh } => {
                inner.counters.read(Read::Stale);
                if refresh && let Some((flight, ask)) = inner.begin_refresh(key) {
                    Inner::launch(inner, key, flight, || loader(ask));
                }
                return Ok(answer);
            }
            Look::Absent => inner.counters.read(Read::Miss),
        }
        self.load(key, loader).await
    }

    /// Answers through a load. Ends after at most two loads that others began and one of its own: the first may have
    /// begun too early, any that begins after this call began is good enough, fenced or not.
    async fn load<F, R>(&self, key: &K, loader: F) -> Result<Answer<V>, Error<E>>
    where
        F: FnOnce(Ask) -> R,
        R: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
    {
        let mut arrival = None;
        let outcome = loop {
            match self.inner.step(key, &mut arrival)? {
                Step::Answer(answer) => return Ok(answer),
                Step::Join(flight) => break flight.outcome().await,
                Step::Wait(flight) => drop(flight.outcome().await),
                Step::Lead((flight, ask)) => {
                    Inner::launch(&self.inner, key, Arc::clone(&flight), || loader(ask));
                    break flight.outcome().await;
                }
            }
        };
        self.inner.settle(key, outcome, arrival)
    }

    /// What [`get`](Self::get) would answer from memory; `None` if it would load. Counts as no read, and begins none.
    pub fn peek(&self, key: &K) -> Option<Answer<V>> {
        let inner = &self.inner;
        let until = inner.until(key);
        match inner.look(inner.table.peek(key).as_mut(), until) {
            Look::Fresh(answer) | Look::Stale { answer, .. } => Some(answer),
            Look::Absent => None,
        }
    }

    /// Invalidates what was read of `key` before now. When it returns, no `get` that begins later is answered from
    /// an entry or a load older than this call; a load under way is still answered to those who already wait for it,
    /// but not kept. The exception is one that proves itself: an entry or load whose version is at least `version`
    /// has seen the change and stays, so announcing a change twice costs nothing.
    ///
    /// `version` becomes the key's floor: loads that return less are refused, as long as the floor is remembered (the
    /// latest 16 keys of each of 1024 stripes). With version 0 the change has no known version: everything of the key
    /// goes, its floor too, and lower levels are told when ([`Ask::since`]). Use that for a deletion if the store keeps no
    /// version for absent rows.
    ///
    /// Takes about 100 ns, never waits for a load, and may be called from any thread, inside or outside a runtime.
    pub fn fence(&self, key: &K, version: u64) {
        let inner = &*self.inner;
        let hash = inner.hasher.hash_one(key);
        let removed = {
            let mut stripe = inner.stripes.lock(hash);
            stripe.floors.raise(hash, version, inner.epoch(), inner.clock.now().max(1));
            if let Some(flight) = stripe.flights.get(key) {
                flight.fence(version);
            }
            let condemned = |entry: &Entry<V>| version == 0 || entry.version < version;
            inner.table.remove_if(key, |e| condemned(e) && !inner.is_broken(Mutation::FenceKeepsEntry))
        };
        drop(removed);
        count(&inner.counters.fences);
    }

    /// Invalidates everything at once, floors included: after a gap in the invalidations, or a store that went back
    /// in time. A load under way is answered only to those who already wait for it. The entries are freed before this
    /// returns, which takes time in proportion to their number; they are void from its first instruction.
    pub fn flush(&self) {
        self.inner.flushed.fetch_max(self.inner.clock.now().max(1), AcqRel);
        self.inner.epoch.fetch_add(1, AcqRel);
        self.inner.table.clear();
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        let Inner { table, counters, .. } = &*self.inner;
        Stats {
            evictions: table.evictions(),
            turned_away: table.turned_away(),
            entries: table.len(),
            bytes: table.bytes(),
            ..counters.snapshot()
        }
    }
}

impl<K, V, E> Inner<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Acquire)
    }

    /// False outside of tests, and compiled away there.
    pub(crate) fn is_broken(&self, mutation: Mutation) -> bool {
        cfg!(any(test, feature = "mutations")) && self.broken == Some(mutation)
    }

    /// Until when entries of the key go out unmarked, whatever their age. To be asked before the table is.
    #[inline]
    pub(crate) fn until(&self, key: &K) -> Nanos {
        let until = |watch: &Watch<K>| watch.watermarks.l1_until((watch.source_of)(key));
        self.watch.as_ref().map_or(Nanos::MAX, until)
    }

    /// What was true at `then` may go out unmarked until this.
    fn plus_delta(&self, then: Nanos) -> Nanos {
        self.watch.as_ref().map_or(Nanos::MAX, |watch| then.saturating_add(watch.watermarks.delta_nanos()))
    }

    /// What an entry from the table is worth now. Its value is taken out of it.
    #[expect(clippy::inline_always, reason = "measured")]
    #[inline(always)]
    pub(crate) fn look(&self, entry: Option<&mut Entry<V>>, until: Nanos) -> Look<V> {
        let Some(entry) = entry else { return Look::Absent };
        if entry.epoch != self.epoch() {
            return Look::Absent;
        }
        let unmarked = until.max(self.plus_delta(entry.began));
        let unmarked = if self.is_broken(Mutation::NoWatermark) { Nanos::MAX } else { unmarked };
        let fresh = entry.soft.min(unmarked);
        let now = self.clock.before(fresh);
        if now < fresh {
            Look::Fresh(Answer { value: entry.value.take(), version: entry.version, age: None })
        } else if now < entry.hard && entry.value.is_some() {
            let age = Some(Duration::from_nanos(now.saturating_sub(entry.began)));
            let refresh = now >= entry.retry;
            let answer = Answer { value: entry.value.take(), version: entry.version, age };
            Look::Stale { answer, refresh }
        } else {
            Look::Absent
        }
    }

    /// The same, without counting as a use.
    fn peek(&self, key: &K) -> Look<V> {
        let until = self.until(key);
        self.look(self.table.peek(key).as_mut(), until)
    }

    /// Decides what a caller without an answer does. `arrival` is taken at its first step.
    pub(crate) fn step(&self, key: &K, arrival: &mut Option<Arrival>) -> Result<Step<V, E>, Error<E>> {
        let hash = self.hasher.hash_one(key);
        let mut stripe = self.stripes.lock(hash);
        let arrival = *arrival.get_or_insert_with(|| Arrival { ticket: stripe.begun, at: self.clock.now() });
        if let Some(flight) = stripe.flights.get(key) {
            let flight = Arc::clone(flight);
            let late = flight.departure.ticket > arrival.ticket;
            let void = flight.is_fenced() && !self.is_broken(Mutation::JoinDespiteFence)
                || flight.departure.epoch != self.epoch() && !self.is_broken(Mutation::FlushForgetsLoads)
                || self.is_outdated(&flight, arrival, self.until(key));
            return Ok(if late || !void { Step::Join(flight) } else { Step::Wait(flight) });
        }
        // A load may have landed between the look and the lock.
        match self.peek(key) {
            Look::Fresh(answer) | Look::Stale { answer, .. } => Ok(Step::Answer(answer)),
            Look::Absent if self.admit_load() => Ok(Step::Lead(self.begin(&mut stripe, key, hash))),
            Look::Absent => Err(Error::Overloaded { max_loads: self.max_loads }),
        }
    }

    /// Whether a load that nothing fenced may have read too early for a caller all the same: it began more than Δ before the
    /// caller came, and what was committed meanwhile may not have been announced.
    fn is_outdated(&self, flight: &Flight<V, E>, arrival: Arrival, until: Nanos) -> bool {
        let current = flight.departure.sighted && arrival.at < until;
        !current
            && self.plus_delta(flight.departure.began) < arrival.at
            && !self.is_broken(Mutation::JoinOutdated)
    }

    /// Begins a refresh, unless a load is under way, the entry is gone, or too many loads are running.
    pub(crate) fn begin_refresh(&self, key: &K) -> Option<Begun<V, E>> {
        let hash = self.hasher.hash_one(key);
        let mut stripe = self.stripes.lock(hash);
        if stripe.flights.contains_key(key) {
            return None;
        }
        let stale = matches!(self.peek(key), Look::Stale { refresh: true, .. });
        (stale && self.admit_load()).then(|| {
            count(&self.counters.refreshes);
            self.begin(&mut stripe, key, hash)
        })
    }

    /// Takes one of the places for running loads; `Landing` gives it back.
    fn admit_load(&self) -> bool {
        let free = |running: usize| (running < self.max_loads).then_some(running + 1);
        self.running.fetch_update(AcqRel, Relaxed, free).is_ok()
    }

    pub(crate) fn release_load(&self) {
        self.running.fetch_sub(1, Release);
    }

    /// Registers a load, before its loader is called: every fence from here on finds it.
    fn begin(&self, stripe: &mut Stripe<K, V, E>, key: &K, hash: u64) -> Begun<V, E> {
        stripe.begun += 1;
        let epoch = self.epoch();
        let known = stripe.floors.of(hash, epoch);
        let cached = self.table.peek(key).filter(|entry| self.is_usable(entry)).map_or(0, |e| e.version);
        let since = (known.since != 0).then(|| self.clock.instant(known.since));
        let began = self.clock.now();
        let flight = Arc::new(Flight::new(Departure {
            ticket: stripe.begun,
            epoch,
            floor: known.least,
            began,
            sighted: self.sighted_until(stripe, hash, epoch, began).is_none(),
        }));
        stripe.flights.insert(key.clone(), Arc::clone(&flight));
        count(&self.counters.loads);
        (flight, Ask { least: known.least.max(cached), since })
    }

    /// Turns the outcome of a load into the caller's answer: if the load failed, an entry that arrived meanwhile and is
    /// not past its hard deadline is better than an error.
    pub(crate) fn settle(
        &self,
        key: &K,
        outcome: Outcome<V, E>,
        arrival: Option<Arrival>,
    ) -> Result<Answer<V>, Error<E>> {
        match outcome {
            Ok(Loaded { version, value, as_of }) => {
                let age = match as_of {
                    AsOf::Load => None,
                    AsOf::Since(at) => {
                        let until = self.plus_delta(self.clock.nanos_at(at));
                        let outdated = |arrival: &Arrival| until < arrival.at;
                        arrival.filter(outdated).map(|_| at.elapsed())
                    }
                    AsOf::Stale(at) => Some(at.elapsed()),
                };
                Ok(Answer { value, version, age })
            }
            Err(error) => match self.peek(key) {
                Look::Fresh(answer) | Look::Stale { answer, .. } => Ok(answer),
                Look::Absent => Err(error),
            },
        }
    }
}

impl<K, V, E> Clone for Cache<K, V, E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V, E> fmt::Debug for Cache<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}
