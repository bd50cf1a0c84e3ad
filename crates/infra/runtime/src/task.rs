//! Tracked tasks: each has a name, is counted while it lives, and is heard when it panics. The only place that calls
//! tokio's `spawn`. A task's [`Context`](crate::context::Context) is moved into its future like any other value.

use pin_project_lite::pin_project;
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

/// Runs `future` on the current runtime. Dropping the handle detaches the task, it does not end it.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    spawn_on(&Handle::current(), name, future)
}

/// Like [`spawn`], on a given runtime.
pub fn spawn_on<F>(runtime: &Handle, name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    runtime.spawn(Tracked::new(name, future))
}

/// Like [`spawn`], for a future that must stay on this thread. Panics unless the thread is a
/// [worker](crate::worker::Workers) (or runs a tokio `LocalRuntime` or `LocalSet`).
pub fn spawn_local<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: 'static> + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the tracked spawn itself")]
    tokio::task::spawn_local(Tracked::new(name, future))
}

/// A task that ends with its owner. It may still run to its next await when the owner is dropped.
#[derive(Debug)]
#[must_use = "the task ends as soon as this is dropped"]
pub struct Owned<T = ()>(JoinHandle<T>);

impl<T> From<JoinHandle<T>> for Owned<T> {
    fn from(handle: JoinHandle<T>) -> Self {
        Self(handle)
    }
}

/// Resolves as its handle does.
impl<T> Future for Owned<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The tasks of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskCount {
    /// The name given at the spawn.
    pub name: &'static str,
    /// Spawned since the process started.
    pub spawned: u64,
    /// Not yet finished.
    pub alive: u64,
    /// Ended by a panic since the process started.
    pub panicked: u64,
}

/// The counts of all names used so far, ordered by name.
pub fn counts() -> Vec<TaskCount> {
    let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.values().map(|counters| counters.snapshot()).collect()
}

#[derive(Debug)]
struct Counters {
    name: &'static str,
    spawned: AtomicU64,
    finished: AtomicU64,
    panicked: AtomicU64,
}

impl Counters {
    fn snapshot(&self) -> TaskCount {
        // Finished first: a task that ends in between can then only make `alive` too high, never negative.
        let finished = self.finished.load(Relaxed);
        let spawned = self.spawned.load(Relaxed);
        TaskCount {
            name: self.name,
            spawned,
            alive: spawned.saturating_sub(finished),
            panicked: self.panicked.load(Relaxed),
        }
    }
}

/// Counters live as long as the process: there are as many as names in the source.
static NAMES: Mutex<BTreeMap<&'static str, &'static Counters>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// What this thread has looked up. A handful of names compared by address beat a lock and a map.
    static SEEN: RefCell<Vec<&'static Counters>> = const { RefCell::new(Vec::new()) };
}

fn counters(name: &'static str) -> &'static Counters {
    SEEN.with_borrow_mut(|seen| {
        if let Some(counters) = seen.iter().find(|counters| std::ptr::eq(counters.name, name)) {
            return *counters;
        }
        let counters = registered(name);
        // The same text may have several addresses; only the one that is registered is worth keeping.
        if std::ptr::eq(counters.name, name) {
            seen.push(counters);
        }
        counters
    })
}

fn registered(name: &'static str) -> &'static Counters {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.entry(name).or_insert_with(|| {
        Box::leak(Box::new(Counters {
            name,
            spawned: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
        }))
    })
}

pin_project! {
    /// Counts a future from its spawn to its end, however it ends: ready, panicked, aborted, or dropped with its
    /// runtime.
    struct Tracked<F> {
        #[pin]
        future: F,
        counters: &'static Counters,
    }

    impl<F> PinnedDrop for Tracked<F> {
        fn drop(this: Pin<&mut Self>) {
            this.counters.finished.fetch_add(1, Relaxed);
        }
    }
}

impl<F> Tracked<F> {
    fn new(name: &'static str, future: F) -> Self {
        let counters = counters(name);
        counters.spawned.fetch_add(1, Relaxed);
        Self { future, counters }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // Unwind safe: the panic goes on to tokio, and the future is not polled again.
        catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))).unwrap_or_else(|panic| {
            this.counters.panicked.fetch_add(1, Relaxed);
            tracing::error!(task = this.counters.name, message = panic_message(&*panic), "task panicked");
            resume_unwind(panic)
        })
    }
}

/// What a panic said, when it said text.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return text;
    }
    panic.downcast_ref::<String>().map_or("(no message)", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::{TaskCount, counts, spawn, spawn_on};

    fn count(name: &str) -> TaskCount {
        counts().into_iter().find(|count| count.name == name).unwrap()
    }

    #[tokio::test]
    async fn counts_by_name_until_the_end() {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let waiting = spawn("counted", async { ended.await.is_ok() });
        let forever = spawn("counted", std::future::pending::<()>());
        assert_eq!(count("counted"), TaskCount { name: "counted", spawned: 2, alive: 2, panicked: 0 });
        end.send(()).unwrap();
        assert!(waiting.await.unwrap());
        assert_eq!(count("counted").alive, 1);
        forever.abort();
        assert!(forever.await.unwrap_err().is_cancelled());
        assert_eq!(count("counted").alive, 0);
    }

    #[test]
    fn a_runtime_that_ends_takes_its_tasks_along() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let task = spawn_on(runtime.handle(), "dropped", std::future::pending::<()>());
        assert_eq!(count("dropped").alive, 1);
        drop((runtime, task));
        assert_eq!(count("dropped").alive, 0);
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_reported_to_the_waiter() {
        let name = "panics";
        let failed = spawn(name, async { assert_eq!(1, 2, "one is not {}", "two") }).await.unwrap_err();
        assert!(failed.is_panic());
        assert!(super::panic_message(&*failed.into_panic()).contains("one is not two"));
        assert_eq!(count(name), TaskCount { name, spawned: 1, alive: 0, panicked: 1 });
    }
}
