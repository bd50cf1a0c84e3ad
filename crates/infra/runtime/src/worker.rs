//! The data plane's threads: each runs its own tokio runtime, and what is spawned there never leaves it.
//!
//! A `LocalRuntime` rather than a current-thread runtime with a `LocalSet`: a `LocalSet` is a second scheduler inside
//! the first, whose tasks tokio's metrics do not see. To spawn and wake a task costs 220 ns against 175 there
//! (`benches/local.rs`); connections are spawned rarely, and requests on HTTP/1.1 not at all.

use crate::task::panic_message;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, LocalOptions, LocalRuntime, RuntimeMetrics};
use tokio::sync::Semaphore;

/// A number of running worker threads. Dropping it detaches them.
#[derive(Debug)]
pub struct Workers<T> {
    workers: Vec<Worker<T>>,
    /// One permit for each worker that has ended.
    ended: Arc<Semaphore>,
}

#[derive(Debug)]
struct Worker<T> {
    thread: JoinHandle<Result<T, WorkerPanic>>,
    name: String,
    metrics: RuntimeMetrics,
}

/// A worker ended by a panic. A bug of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerPanic {
    /// The name of its thread.
    pub worker: String,
    /// What the panic said.
    pub message: String,
}

impl std::fmt::Display for WorkerPanic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} panicked: {}", self.worker, self.message)
    }
}

impl std::error::Error for WorkerPanic {}

impl<T: Send + 'static> Workers<T> {
    /// Starts `count` threads named `name-0` and so on (Linux shows 15 bytes of it). Each calls `build` with its index,
    /// on its own thread, so the future need not be `Send`; the worker ends with it, and tasks still spawned there end too.
    ///
    /// # Errors
    /// When the system refuses a thread or a runtime; the workers that had started are then abandoned before they
    /// have run anything.
    pub fn start<F, Fut>(name: &str, count: usize, build: F) -> io::Result<Self>
    where
        F: Fn(usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = T> + 'static,
    {
        Self::start_range(name, 0..count, build)
    }

    /// The same with these indices: workers beside others that run already.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_range<F, Fut>(name: &str, indices: Range<usize>, build: F) -> io::Result<Self>
    where
        F: Fn(usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let build = Arc::new(build);
        let ended = Arc::new(Semaphore::new(0));
        let mut starts = Vec::with_capacity(indices.len());
        let mut workers = Vec::with_capacity(indices.len());
        for index in indices {
            let (build, ended) = (Arc::clone(&build), Ended(Arc::clone(&ended)));
            let (runtime, started) = std::sync::mpsc::sync_channel(1);
            let (start, go) = std::sync::mpsc::sync_channel(1);
            let name = format!("{name}-{index}");
            let body = {
                let name = name.clone();
                move || run(&name, &runtime, &go, ended, || build(index))
            };
            // A LocalRuntime cannot move between threads, so the thread makes it and sends back its metrics.
            let thread = std::thread::Builder::new().name(name.clone()).spawn(body)?;
            let metrics = started.recv().map_err(|_| io::Error::other(format!("{name} ended at once")))??;
            starts.push(start);
            workers.push(Worker { thread, name, metrics });
        }
        for start in starts {
            // Cannot fail: until it hears this, a worker does nothing but listen.
            start.send(()).map_err(io::Error::other)?;
        }
        Ok(Self { workers, ended })
    }

    /// Resolves when any worker has ended, by returning or by a panic. For an owner who wants them all or none.
    pub async fn any_ended(&self) {
        // The permit is given back at once: this only looks. The semaphore is never closed.
        drop(self.ended.acquire().await);
    }

    /// What each worker's runtime did so far, in order.
    pub fn stats(&self) -> Vec<RuntimeStats> {
        self.workers.iter().map(|worker| RuntimeStats::read(&worker.name, &worker.metrics)).collect()
    }

    /// A function that reads [`stats`](Self::stats) for as long as the metrics are wanted, for a scrape.
    pub fn stats_reader(&self) -> impl Fn() -> Vec<RuntimeStats> + Send + Sync + 'static {
        let runtimes: Vec<_> = self.workers.iter().map(|w| (w.name.clone(), w.metrics.clone())).collect();
        move || runtimes.iter().map(|(name, metrics)| RuntimeStats::read(name, metrics)).collect()
    }

    /// Whether every one of them has ended.
    pub fn all_ended(&self) -> bool {
        self.workers.iter().all(|worker| worker.thread.is_finished())
    }

    /// Waits for all of them and returns what each one did, in order. Blocks; not for use inside a runtime.
    pub fn join(self) -> Vec<Result<T, WorkerPanic>> {
        let join = |worker: Worker<T>| {
            // Only a panic while dropping the runtime comes this way.
            let panicked = |panic| Err(WorkerPanic::new(&worker.name, &panic));
            worker.thread.join().unwrap_or_else(panicked)
        };
        self.workers.into_iter().map(join).collect()
    }
}

impl WorkerPanic {
    fn new(worker: &str, panic: &(dyn std::any::Any + Send)) -> Self {
        Self { worker: worker.to_owned(), message: panic_message(panic).to_owned() }
    }
}

/// Counts the worker as ended, however it ends.
struct Ended(Arc<Semaphore>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// The body of a worker's thread.
fn run<Fut: Future>(
    name: &str,
    started: &std::sync::mpsc::SyncSender<io::Result<RuntimeMetrics>>,
    go: &std::sync::mpsc::Receiver<()>,
    ended: Ended,
    build: impl FnOnce() -> Fut,
) -> Result<Fut::Output, WorkerPanic> {
    // Held to the end of this function, whichever end that is.
    let _ended = ended;
    let abandoned = || WorkerPanic { worker: name.to_owned(), message: "never started".to_owned() };
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            started.send(Err(error)).map_err(|_| abandoned())?;
            return Err(abandoned());
        }
    };
    started.send(Ok(runtime.handle().metrics())).map_err(|_| abandoned())?;
    go.recv().map_err(|_| abandoned())?;
    drive(name, runtime, build)
}

fn drive<Fut: Future>(
    name: &str,
    runtime: LocalRuntime,
    build: impl FnOnce() -> Fut,
) -> Result<Fut::Output, WorkerPanic> {
    // Unwind safe: nothing of the future or the runtime is used after a panic.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // The closure runs inside the runtime too: it may create timers, sockets and tasks.
        runtime.block_on(async { build().await })
    }));
    // A blocking call that still runs (a name look-up) must not hold up the end.
    runtime.shutdown_background();
    outcome.map_err(|panic| {
        let panic = WorkerPanic::new(name, &*panic);
        tracing::error!(worker = panic.worker, message = panic.message, "worker panicked");
        panic
    })
}

/// What one tokio runtime did since it started. Only metrics that tokio has declared stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeStats {
    /// The worker's thread, or the name given to [`of`](Self::of).
    pub name: String,
    /// Its threads; one for a worker.
    pub threads: usize,
    /// The time its threads were not waiting for events, summed.
    pub busy: Duration,
    /// How often its threads went to wait for events.
    pub parks: u64,
    /// Tasks that have not ended.
    pub alive_tasks: usize,
    /// Tasks woken from other threads that wait for their turn.
    pub global_queue: usize,
}

impl RuntimeStats {
    /// The figures of any runtime, for example one with several threads.
    pub fn of(name: &str, runtime: &Handle) -> Self {
        Self::read(name, &runtime.metrics())
    }

    fn read(name: &str, metrics: &RuntimeMetrics) -> Self {
        let threads = metrics.num_workers();
        Self {
            name: name.to_owned(),
            threads,
            busy: (0..threads).map(|thread| metrics.worker_total_busy_duration(thread)).sum(),
            parks: (0..threads).map(|thread| metrics.worker_park_count(thread)).sum(),
            alive_tasks: metrics.num_alive_tasks(),
            global_queue: metrics.global_queue_depth(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RuntimeStats, WorkerPanic, Workers};
    use crate::task::spawn_local;
    use std::rc::Rc;

    #[test]
    fn each_runs_its_own_future_on_a_named_thread() {
        let workers = Workers::start("named", 3, |index| async move {
            // Not Send, and still spawned: the point of a worker.
            let here = Rc::new(std::thread::current().name().map(str::to_owned));
            let there = Rc::clone(&here);
            spawn_local("check", async move { assert!(there.is_some()) }).await.unwrap();
            (index, here.as_deref().unwrap().to_owned())
        })
        .unwrap();
        let names = workers.join().into_iter().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(names, [0, 1, 2].map(|index| (index, format!("named-{index}"))));
    }

    #[test]
    fn a_panic_is_reported_by_its_worker_alone() {
        let workers = Workers::start("panics", 2, |index| async move {
            assert_ne!(index, 1, "worker one fails");
            tokio::task::yield_now().await;
            index
        })
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(workers.any_ended());
        let [good, bad] = workers.join().try_into().unwrap();
        assert_eq!(good, Ok(0));
        let WorkerPanic { worker, message } = bad.unwrap_err();
        assert!(worker == "panics-1" && message.contains("worker one fails"), "{worker}: {message}");
    }

    #[test]
    fn stats_tell_what_the_runtime_did() {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let (report, reports) = std::sync::mpsc::channel();
        let workers = Workers::start("stats", 1, move |_| {
            let (mut stopped, report) = (stopped.clone(), report.clone());
            async move {
                // A timer is an event that a runtime can only park for.
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                let pending = spawn_local("pending", std::future::pending::<()>());
                report.send(()).unwrap();
                stopped.wait_for(|stop| *stop).await.unwrap();
                drop(pending);
            }
        })
        .unwrap();
        reports.recv().unwrap();
        let [RuntimeStats { name, threads, alive_tasks, .. }] = workers.stats().try_into().unwrap();
        assert_eq!((name.as_str(), threads, alive_tasks), ("stats-0", 1, 1));
        stop.send(true).unwrap();
        let read = workers.stats_reader();
        workers.join();
        // Readable even after the end, with the tasks gone and a park counted for the wait.
        let [RuntimeStats { alive_tasks, parks, .. }] = read().try_into().unwrap();
        assert_eq!(alive_tasks, 0);
        assert!(parks > 0);
    }
}
