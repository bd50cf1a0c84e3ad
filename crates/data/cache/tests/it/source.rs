//! A store that tests can hold, fail and count.

use aqueduct_cache::{Builder, Cache, Loaded, Spawner, Task};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

pub(crate) type Rows = Cache<u64, u64, &'static str>;

#[expect(clippy::disallowed_methods, reason = "a test owns its runtime")]
pub(crate) fn spawn(task: Task) {
    drop(tokio::spawn(task));
}

pub(crate) fn spawner() -> Spawner {
    Arc::new(spawn)
}

/// Without jitter, so that deadlines are exact.
pub(crate) fn builder() -> Builder<u64, u64, &'static str> {
    Rows::builder().jitter(0.0)
}

pub(crate) fn rows() -> Rows {
    builder().build(spawner()).expect("valid")
}

/// One row, whose value is its version. A load reads it, then waits until it is let go.
#[derive(Clone, Default)]
pub(crate) struct Source {
    inner: Arc<Inner>,
}

struct Inner {
    version: AtomicU64,
    loads: AtomicUsize,
    fails: AtomicUsize,
    absent: AtomicUsize,
    gate: Semaphore,
}

impl Default for Inner {
    fn default() -> Self {
        let gate = Semaphore::new(0);
        let [loads, fails, absent] = [0, 0, 0].map(AtomicUsize::new);
        Self { version: AtomicU64::new(1), loads, fails, absent, gate }
    }
}

impl Source {
    /// A store that answers at once.
    pub(crate) fn open() -> Self {
        let source = Self::default();
        source.inner.gate.add_permits(1 << 20);
        source
    }

    pub(crate) fn write(&self) -> u64 {
        self.inner.version.fetch_add(1, SeqCst) + 1
    }

    /// From now on, loads fail.
    pub(crate) fn fail(&self, fail: bool) {
        self.inner.fails.store(usize::from(fail), SeqCst);
    }

    /// From now on, there is no such row.
    pub(crate) fn delete(&self) {
        self.inner.absent.store(1, SeqCst);
    }

    /// Lets one load end.
    pub(crate) fn let_go(&self) {
        self.inner.gate.add_permits(1);
    }

    /// Loads begun so far.
    pub(crate) fn loads(&self) -> usize {
        self.inner.loads.load(SeqCst)
    }

    /// A loader; each call makes another one.
    pub(crate) fn load(&self) -> impl Future<Output = Result<Loaded<u64>, &'static str>> + Send + 'static {
        let inner = Arc::clone(&self.inner);
        async move {
            inner.loads.fetch_add(1, SeqCst);
            let version = inner.version.load(SeqCst);
            let absent = inner.absent.load(SeqCst) == 1;
            inner.gate.acquire().await.expect("never closed").forget();
            if inner.fails.load(SeqCst) == 1 {
                return Err("the store is down");
            }
            Ok(Loaded::new(version, (!absent).then_some(version)))
        }
    }
}

/// Lets every task run until it waits.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn advance(seconds: f64) {
    tokio::time::advance(Duration::from_secs_f64(seconds)).await;
}
