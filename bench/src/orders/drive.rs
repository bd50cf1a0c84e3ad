//! Drives callers: each creates orders one after the other for a while, and then moves its orders to their end. What a
//! caller does is the same on every level.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What moves an order on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Pay,
    Ship,
    Complete,
}

/// One caller, with one thing in hand at a time. An answer means that the change is durable.
pub(super) trait Caller: Send + 'static {
    /// Creates an order, and answers its key.
    fn create(&mut self) -> impl Future<Output = Result<u64>> + Send;
    /// Moves an order on.
    fn step(&mut self, key: u64, step: Step) -> impl Future<Output = Result<()>> + Send;
}

/// Counters of the store and the process under test, always growing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: f64,
    /// Changes in all commits.
    pub(super) changes: f64,
    /// Seconds in which a commit was being made durable.
    pub(super) sync_seconds: f64,
    /// CPU seconds of the process.
    pub(super) cpu_seconds: f64,
}

impl Counters {
    fn since(self, before: Self) -> Self {
        Self {
            commits: self.commits - before.commits,
            changes: self.changes - before.changes,
            sync_seconds: self.sync_seconds - before.sync_seconds,
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
        }
    }
}

/// What one kind of work brought.
#[derive(Debug)]
pub(super) struct Phase {
    pub(super) elapsed: Duration,
    /// Microseconds from call to answer, sorted.
    pub(super) times: Vec<u32>,
    /// What the counters grew by.
    pub(super) used: Counters,
}

impl Phase {
    pub(super) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// In milliseconds; NaN when nothing was done.
    pub(super) fn percentile_ms(&self, per_mille: usize) -> f64 {
        let last = self.times.len().saturating_sub(1);
        self.times.get(last * per_mille / 1000).map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
    }
}

/// Creations for `time`, then all their transitions. `counters` is read before, between and after.
pub(super) async fn drive<C: Caller>(
    callers: Vec<C>,
    time: Duration,
    counters: impl AsyncFn() -> Result<Counters>,
) -> Result<[Phase; 2]> {
    let worker = |caller| Worker { caller, keys: Vec::new(), times: Vec::new() };
    let mut workers: Vec<_> = callers.into_iter().map(worker).collect();
    let create = Work::Create { until: Instant::now() + time };
    let created = phase(&mut workers, create, &counters).await.context("create orders")?;
    let moved = phase(&mut workers, Work::Move, &counters).await.context("move orders")?;
    Ok([created, moved])
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Create { until: Instant },
    Move,
}

/// Lets all workers do `work` at once.
async fn phase<C: Caller>(
    workers: &mut Vec<Worker<C>>,
    work: Work,
    counters: &impl AsyncFn() -> Result<Counters>,
) -> Result<Phase> {
    let before = counters().await?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for worker in workers.drain(..) {
        tasks.spawn(worker.work(work));
    }
    let mut times = Vec::new();
    while let Some(worker) = tasks.join_next().await {
        let mut worker = worker??;
        times.append(&mut worker.times);
        workers.push(worker);
    }
    let elapsed = start.elapsed();
    let used = counters().await?.since(before);
    times.sort_unstable();
    Ok(Phase { elapsed, times, used })
}

struct Worker<C> {
    caller: C,
    /// The orders that it created.
    keys: Vec<u64>,
    times: Vec<u32>,
}

impl<C: Caller> Worker<C> {
    async fn work(mut self, work: Work) -> Result<Self> {
        match work {
            Work::Create { until } => {
                while Instant::now() < until {
                    let start = Instant::now();
                    self.keys.push(self.caller.create().await?);
                    self.times.push(micros_since(start));
                }
            }
            Work::Move => {
                for key in std::mem::take(&mut self.keys) {
                    for step in [Step::Pay, Step::Ship, Step::Complete] {
                        let start = Instant::now();
                        self.caller.step(key, step).await?;
                        self.times.push(micros_since(start));
                    }
                }
            }
        }
        Ok(self)
    }
}

fn micros_since(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Caller, Counters, Step, drive};
    use anyhow::{Result, ensure};
    use std::time::Duration;
    use tokio::time::sleep;

    /// Takes 10 ms to create and 1 ms to move, and insists on the order of the steps.
    struct Sleeper {
        created: u64,
        moved: usize,
    }

    impl Caller for Sleeper {
        async fn create(&mut self) -> Result<u64> {
            sleep(Duration::from_millis(10)).await;
            self.created += 1;
            Ok(self.created)
        }

        async fn step(&mut self, key: u64, step: Step) -> Result<()> {
            sleep(Duration::from_millis(1)).await;
            let expect = [Step::Pay, Step::Ship, Step::Complete][self.moved % 3];
            ensure!(step == expect && key == self.moved as u64 / 3 + 1, "{step:?} of {key}");
            self.moved += 1;
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_was_created_is_moved_to_its_end() {
        let callers = (0..4).map(|_| Sleeper { created: 0, moved: 0 }).collect();
        let counters = async || Ok(Counters::default());
        let [created, moved] = drive(callers, Duration::from_secs(1), counters).await.unwrap();
        assert_eq!((created.times.len(), moved.times.len()), (400, 1200));
        assert!((created.rate() - 400.0).abs() < 1.0, "{}", created.rate());
        assert!((moved.percentile_ms(990) - 1.0).abs() < 0.1, "{}", moved.percentile_ms(990));
    }
}
