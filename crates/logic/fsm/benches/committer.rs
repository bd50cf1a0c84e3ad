//! Durable creations and transitions a second on fjall, with an fdatasync for each commit, at 1, 64 and 512 callers; beside them the
//! same store driven by hand, in batches of 256: what is left of it is the cost of the callers.
//!
//! `cargo bench -p aqueduct-fsm --features fjall --bench committer [-- FOLDER]`: FOLDER must be on a real disk (default
//! `target/bench-fsm`). The CPU columns are microseconds an operation, of the callers' two threads and of the committer's.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::disallowed_methods, reason = "a benchmark owns its runtime and its clock")]
#![expect(clippy::cast_precision_loss, reason = "figures of three digits")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use aqueduct_fsm::{Commit, EventId, Fsm, Options, Store, Word};

#[path = "../tests/it/orders.rs"]
mod orders;
use orders::{Event, Order, Orders};

type Service = Fsm<Order, Orders>;
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What one operation of a run does with the key it drew.
#[derive(Clone, Copy)]
enum Work {
    Create,
    /// Pay with an event id.
    Pay,
    /// Ship without one.
    Ship,
}

fn main() -> Outcome {
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let folder = std::path::PathBuf::from(folder.unwrap_or_else(|| "target/bench-fsm".into()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!(
        "{:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>6} {:>9} {:>11} {:>13}",
        "",
        "callers",
        "ops/s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "batch",
        "apply ms",
        "callers CPU",
        "committer CPU"
    );
    for (callers, ops) in [(1, 2_000), (64, 50_000), (512, 200_000)] {
        fresh(&folder)?;
        for (name, work) in [("create", Work::Create), ("pay+id", Work::Pay), ("ship", Work::Ship)] {
            let fsm = Fsm::start(Orders::open(&folder)?, &Options::default())?;
            runtime.block_on(run(name, &fsm, work, callers, ops))?;
            runtime.block_on(fsm.close())?;
        }
    }
    fresh(&folder)?;
    by_hand(&mut Orders::open(&folder)?, 200_000, 256)?;
    Ok(std::fs::remove_dir_all(&folder)?)
}

fn fresh(folder: &Path) -> Outcome {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(std::fs::create_dir_all(folder)?)
}

async fn run(name: &str, fsm: &Service, work: Work, callers: usize, ops: u64) -> Outcome {
    let next = Arc::new(AtomicU64::new(1));
    let before = cpu("tokio-rt-worker")?;
    let start = Instant::now();
    let tasks: Vec<_> =
        (0..callers).map(|_| tokio::spawn(call(fsm.clone(), work, Arc::clone(&next), ops))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await?);
    }
    let took = start.elapsed();
    let (calling, committing) = (cpu("tokio-rt-worker")?.saturating_sub(before), cpu("committer")?);
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3;
    let per_op = |cpu: Duration| cpu.as_secs_f64() * 1e6 / ops as f64;
    let stats = fsm.stats();
    println!(
        "{name:>8} {callers:>8} {:>9.0} {:>8.2} {:>8.2} {:>8.2} {:>6} {:>9.2} {:>11.2} {:>13.2}",
        ops as f64 / took.as_secs_f64(),
        at(500),
        at(990),
        at(1000),
        stats.batch_size.mean(),
        stats.apply_micros.mean() as f64 / 1e3,
        per_op(calling),
        per_op(committing),
    );
    Ok(())
}

async fn call(fsm: Service, work: Work, next: Arc<AtomicU64>, ops: u64) -> Vec<Duration> {
    let mut times = Vec::new();
    loop {
        let key = next.fetch_add(1, Relaxed);
        if key > ops {
            return times;
        }
        let start = Instant::now();
        let done = match work {
            Work::Create => fsm.create(key, vec![b'x'; 200]).await,
            Work::Pay => fsm.transition(key, Event::Pay, EventId::new(format!("pay-{key:032}"))).await,
            Work::Ship => fsm.transition(key, Event::Ship, None).await,
        };
        assert!(done.is_ok(), "{done:?}");
        times.push(start.elapsed());
    }
}

/// The store without callers: word rows only, `size` a commit.
fn by_hand(store: &mut Orders, ops: u64, size: u64) -> Outcome {
    let main = std::fs::read_to_string("/proc/thread-self/comm")?.trim().to_owned();
    let before = cpu(&main)?;
    let start = Instant::now();
    let mut times = Vec::new();
    for first in (0..ops).step_by(usize::try_from(size)?) {
        let batch: Vec<_> =
            (first..first + size).filter_map(|key| Some(change(key, Word::new(1, 2)?))).collect();
        let start = Instant::now();
        store.apply(&batch).map_err(|error| error.to_string())?;
        times.push(start.elapsed());
    }
    let took = start.elapsed();
    let mean = times.iter().sum::<Duration>().as_secs_f64() / times.len() as f64;
    println!(
        "{:>8} {:>8} {:>9.0} {:>26} {size:>6} {:>9.2} {:>11} {:>13.2}",
        "by hand",
        0,
        ops as f64 / took.as_secs_f64(),
        "",
        mean * 1e3,
        "",
        cpu(&main)?.saturating_sub(before).as_secs_f64() * 1e6 / ops as f64,
    );
    Ok(())
}

fn change(key: u64, after: Word) -> Commit<Vec<u8>> {
    Commit { key, before: None, after, event: Some(1), event_id: None, body: None }
}

/// The CPU time so far of the threads of this name.
fn cpu(name: &str) -> Outcome<Duration> {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() == name {
            let times = std::fs::read_to_string(task.join("schedstat"))?;
            sum += times.split(' ').next().map_or(Ok(0), str::parse)?;
        }
    }
    Ok(Duration::from_nanos(sum))
}
