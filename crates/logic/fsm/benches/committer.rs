//! Durable creations and transitions a second on fjall, with an fdatasync for each commit, at 1, 64 and 512 callers.
//!
//! `cargo bench -p aqueduct-fsm --features fjall [-- FOLDER]`: FOLDER must be on a real disk; default `target/bench-fsm`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::disallowed_methods, reason = "a benchmark owns its runtime and its clock")]
#![expect(clippy::cast_precision_loss, reason = "figures of three digits")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use aqueduct_fsm::{EventId, Fsm, Options};

#[path = "../tests/it/orders.rs"]
mod orders;
use orders::{Event, Order, Orders};

type Service = Fsm<Order, Orders>;
type Outcome = Result<(), Box<dyn std::error::Error>>;

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
        "{:>10} {:>8} {:>10} {:>8} {:>8} {:>8} {:>7} {:>9}",
        "", "callers", "ops/s", "p50 ms", "p99 ms", "max ms", "batch", "apply ms"
    );
    for (callers, ops) in [(1, 2_000), (64, 100_000), (512, 400_000)] {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        for (name, work) in [("create", Work::Create), ("pay+id", Work::Pay), ("ship", Work::Ship)] {
            let fsm = Fsm::start(Orders::open(&folder)?, &Options::default())?;
            runtime.block_on(run(name, &fsm, work, callers, ops))?;
            runtime.block_on(fsm.close())?;
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn run(name: &str, fsm: &Service, work: Work, callers: usize, ops: u64) -> Outcome {
    let next = Arc::new(AtomicU64::new(1));
    let start = Instant::now();
    let tasks: Vec<_> =
        (0..callers).map(|_| tokio::spawn(call(fsm.clone(), work, Arc::clone(&next), ops))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await?);
    }
    let took = start.elapsed();
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3;
    let stats = fsm.stats();
    println!(
        "{name:>10} {callers:>8} {:>10.0} {:>8.2} {:>8.2} {:>8.2} {:>7} {:>9.2}",
        ops as f64 / took.as_secs_f64(),
        at(500),
        at(990),
        at(1000),
        stats.batch_size.mean(),
        stats.apply_micros.mean() as f64 / 1e3,
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
