//! How a cache is configured.

use crate::{
    cache::{Cache, Inner},
    clock::{Clock, Nanos, nanos},
    lifetime::Lifetimes,
    mutation::Mutation,
    stats::Counters,
    stripe::Stripes,
    table::Table,
    watermarks::Watermarks,
};
use foldhash::fast::RandomState;
use std::{
    fmt,
    hash::Hash,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize},
    },
    time::Duration,
};

/// A load, to be run to its end by the owner.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts a [`Task`]. The cache spawns nothing by itself, so that its owner can track every task and give it its
/// context. Called in the context of the `get` that needs the load, on a runtime whose timer is enabled. A task that
/// is dropped instead of run answers its callers with [`Error::Dropped`](crate::Error::Dropped).
pub type Spawner = Arc<dyn Fn(Task) + Send + Sync>;

/// The heap bytes of a key and its value (`None`: a negative entry).
pub(crate) type Weigher<K, V> = Arc<dyn Fn(&K, Option<&V>) -> usize + Send + Sync>;

/// Which source a key's row belongs to.
pub(crate) type SourceOf<K> = Arc<dyn Fn(&K) -> usize + Send + Sync>;

/// Whose watermarks a cache obeys.
pub(crate) struct Watch<K> {
    pub(crate) watermarks: Watermarks,
    pub(crate) source_of: SourceOf<K>,
    pub(crate) visible_lag: Nanos,
}

/// Why a cache cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The capacity is below [`Builder::MIN_CAPACITY`], or cannot be addressed.
    #[error("the capacity of {0} bytes is not between 64 KiB and the address space")]
    Capacity(u64),
    /// A lifetime is zero or over 100 years, or the soft one exceeds the hard one.
    #[error("the {0} lifetime is zero, longer than 100 years, or longer than the hard one")]
    Lifetime(&'static str),
    /// The jitter is not in `0.0..=0.5`.
    #[error("the jitter is not between 0 and 0.5")]
    Jitter,
    /// `visible_lag` is not shorter than the watermarks' Δ.
    #[error("visible_lag must be shorter than the Δ of the watermarks")]
    VisibleLag,
    /// `max_loads` is zero: nothing could ever be loaded.
    #[error("no load is allowed")]
    NoLoads,
}

/// Configures a [`Cache`]; from [`Cache::builder`]. Every setting has a default.
#[must_use]
pub struct Builder<K, V, E> {
    capacity_bytes: u64,
    expected_bytes: u64,
    weigher: Weigher<K, V>,
    soft: Duration,
    hard: Duration,
    negative: Duration,
    retry: Duration,
    load_timeout: Duration,
    jitter: f64,
    seed: u64,
    max_loads: usize,
    watch: Option<(Watermarks, SourceOf<K>)>,
    visible_lag: Duration,
    pub(crate) broken: Option<Mutation>,
    error: std::marker::PhantomData<fn() -> E>,
}

impl<K, V, E> fmt::Debug for Builder<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("capacity_bytes", &self.capacity_bytes)
            .field("soft", &self.soft)
            .field("hard", &self.hard)
            .field("negative", &self.negative)
            .field("max_loads", &self.max_loads)
            .finish_non_exhaustive()
    }
}

impl<K, V, E> Builder<K, V, E> {
    /// The least capacity, in bytes.
    pub const MIN_CAPACITY: u64 = 64 << 10;

    pub(crate) fn new() -> Self {
        Self {
            capacity_bytes: 64 << 20,
            expected_bytes: 512,
            weigher: Arc::new(|_, _| 0),
            soft: Duration::from_secs(10),
            hard: Duration::from_mins(1),
            negative: Duration::from_secs(1),
            retry: Duration::from_secs(1),
            load_timeout: Duration::from_secs(5),
            jitter: 0.1,
            seed: 0,
            max_loads: 1024,
            watch: None,
            visible_lag: Duration::from_millis(100),
            broken: None,
            error: std::marker::PhantomData,
        }
    }

    /// The memory entries may take, their bookkeeping included (default 64 MiB). Slots live in vectors that double;
    /// the charge assumes the worst, so the memory in use stays below and, full, is about half of it or more (40 %
    /// for values of a few bytes). An entry larger than a shard (the capacity by 4 times the cores, roughly) is not
    /// kept. Beside the capacity there is at most half a MiB for fences, and what [`max_loads`](Self::max_loads) loads need.
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity_bytes = bytes;
        self
    }

    /// Tells the heap bytes of a key and its value, beyond `size_of` of both; `None` is an absent row. The default
    /// says 0, which is right only for types without heap. Called once for each fill, without a lock held.
    pub fn weigher(mut self, weigher: impl Fn(&K, Option<&V>) -> usize + Send + Sync + 'static) -> Self {
        self.weigher = Arc::new(weigher);
        self
    }

    /// The heap bytes of a typical entry (default 512). It decides how many evicted keys are remembered (half as
    /// many as such entries fit): too high costs hit rate, too low costs capacity. Right within a factor of 4 is enough.
    pub fn expected_bytes(mut self, bytes: u64) -> Self {
        self.expected_bytes = bytes;
        self
    }

    /// How long an entry is fresh, from when its load began (default 10 s).
    pub fn soft(mut self, lifetime: Duration) -> Self {
        self.soft = lifetime;
        self
    }

    /// How long it may be answered stale, from when its load began (default 60 s).
    pub fn hard(mut self, lifetime: Duration) -> Self {
        self.hard = lifetime;
        self
    }

    /// How long the absence of a row is answered; it is never answered stale (default 1 s).
    pub fn negative(mut self, lifetime: Duration) -> Self {
        self.negative = lifetime;
        self
    }

    /// How long after a failed refresh the next may begin (default 1 s), so that a store in trouble is not
    /// asked again by every stale read.
    pub fn retry(mut self, pause: Duration) -> Self {
        self.retry = pause;
        self
    }

    /// How long a load may take (default 5 s). Without it, a load that hangs would hold its key for ever.
    pub fn load_timeout(mut self, limit: Duration) -> Self {
        self.load_timeout = limit;
        self
    }

    /// By which share lifetimes vary (default 0.1): soft and negative ones both ways, the hard one only downwards.
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// Seeds the jitter (default 0). Instances of one service should differ.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many loads may run at once, refreshes included (default 1024).
    pub fn max_loads(mut self, max: usize) -> Self {
        self.max_loads = max;
        self
    }

    /// Who follows the changes of the store, and of which source a key's row is (default: nobody, and fences come from the
    /// writers themselves). `source_of` is called by every read, so it should be cheap.
    ///
    /// A row goes out unmarked only if its source's watermark is at most Δ ago, or its own load began at most Δ ago. Otherwise
    /// it is what it would be past its soft deadline: answered at once as stale, with its age, while one refresh runs, until its
    /// hard deadline; an absent row is loaded anew. (Waiting for the load lost: when the stream of changes stops, every read
    /// would wait for the store, and all at once.)
    pub fn watermarks(
        mut self,
        watermarks: Watermarks,
        source_of: impl Fn(&K) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.watch = Some((watermarks, Arc::new(source_of)));
        self
    }

    /// How long after it was announced a change may still be invisible to loads (default 100 ms; it counts only with
    /// [`watermarks`](Self::watermarks)). MariaDB's log was seen to be 13 ms ahead of a SELECT. A floor makes that harmless;
    /// where there is none (after a flush, a fence of unknown version, a floor that was forgotten) what is loaded within this
    /// time is kept no longer than it. It must be shorter than Δ.
    pub fn visible_lag(mut self, lag: Duration) -> Self {
        self.visible_lag = lag;
        self
    }

    /// A cache that breaks one promise.
    #[cfg(feature = "mutations")]
    pub fn broken(mut self, mutation: Mutation) -> Self {
        self.broken = Some(mutation);
        self
    }

    fn validate(&self) -> Result<(), BuildError> {
        const CENTURY: Duration = Duration::from_hours(100 * 365 * 24);
        let lifetimes = [("soft", self.soft), ("hard", self.hard), ("negative", self.negative)];
        if let Some((name, _)) = lifetimes.iter().find(|(_, l)| l.is_zero() || *l > CENTURY) {
            return Err(BuildError::Lifetime(name));
        }
        if self.soft > self.hard {
            return Err(BuildError::Lifetime("soft"));
        }
        if !(0.0..=0.5).contains(&self.jitter) {
            return Err(BuildError::Jitter);
        }
        if self.watch.as_ref().is_some_and(|(watermarks, _)| self.visible_lag >= watermarks.delta()) {
            return Err(BuildError::VisibleLag);
        }
        if self.max_loads == 0 {
            return Err(BuildError::NoLoads);
        }
        Ok(())
    }

    /// Builds the cache; `spawner` runs its loads.
    pub fn build(self, spawner: Spawner) -> Result<Cache<K, V, E>, BuildError>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        E: fmt::Display + Send + Sync + 'static,
    {
        self.validate()?;
        let refused = BuildError::Capacity(self.capacity_bytes);
        if self.capacity_bytes < Self::MIN_CAPACITY {
            return Err(refused);
        }
        let hasher = RandomState::default();
        let table = Table::new(self.capacity_bytes, self.expected_bytes, hasher.clone()).ok_or(refused)?;
        Ok(Cache::new(Inner {
            table,
            stripes: Stripes::new(&hasher),
            hasher,
            epoch: AtomicU32::new(0),
            flushed: AtomicU64::new(0),
            clock: self.watch.as_ref().map_or_else(Clock::new, |(watermarks, _)| watermarks.clock()),
            watch: self.watch.map(|(watermarks, source_of)| Watch {
                watermarks,
                source_of,
                visible_lag: nanos(self.visible_lag),
            }),
            lifetimes: Lifetimes {
                soft: self.soft,
                hard: self.hard,
                negative: self.negative,
                jitter: self.jitter,
                seed: self.seed,
                drawn: AtomicU64::new(0),
            },
            retry: nanos(self.retry),
            load_timeout: self.load_timeout,
            max_loads: self.max_loads,
            running: AtomicUsize::new(0),
            weigher: self.weigher,
            spawner,
            counters: Counters::default(),
            broken: self.broken,
        }))
    }
}
