//! Sagas a second, of two steps each at participants that cost nothing: at 1, 64 and 1024 submitters, each of which waits for the
//! end of its saga. On fjall with an fdatasync for each commit, or on a MySQL server as it is configured.
//!
//! `cargo bench -p aqueduct-saga --features fjall,mysql --bench sagas [-- FOLDER | mysql://USER@HOST:PORT/DATABASE]`: FOLDER must be
//! on a real disk (default `target/bench-saga`). The database's tables of sagas are dropped.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::disallowed_methods, reason = "a benchmark owns its runtime and its clock")]
#![expect(clippy::cast_precision_loss, reason = "figures of three digits")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use aqueduct_saga::fjall::Fjall;
use aqueduct_saga::mysql::Mysql;
use aqueduct_saga::{
    Call, Clock, Coordinator, Definition, Executor, Kind, Options, Outcome, Plan, PlanStep, SagaId, Status,
    Store, Submit,
};
use mysql_async::prelude::Queryable as _;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
struct Nothing;

impl Executor for Nothing {
    async fn send(&self, _: Call) -> Outcome {
        Outcome::Done("{}".into())
    }
}

fn main() -> Result<(), Failure> {
    let place = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let place = place.unwrap_or_else(|| "target/bench-saga".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{:>10} {:>10} {:>8} {:>8} {:>12}", "submitters", "sagas/s", "p50 ms", "p99 ms", "CPU us/saga");
    let on_mysql = place.starts_with("mysql:");
    for (submitters, sagas) in [(1, 500), (64, 10_000), (1024, if on_mysql { 15_000 } else { 60_000 })] {
        if on_mysql {
            runtime.block_on(mysql(&place, submitters, sagas))?;
        } else {
            runtime.block_on(fjall(Path::new(&place), submitters, sagas))?;
        }
    }
    Ok(())
}

async fn fjall(folder: &Path, submitters: usize, sagas: usize) -> Result<(), Failure> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    run(Fjall::open(folder, Clock::system())?, submitters, sagas).await
}

async fn mysql(url: &str, submitters: usize, sagas: usize) -> Result<(), Failure> {
    let pool = mysql_async::Pool::from_url(url)?;
    pool.get_conn().await?.query_drop("DROP TABLE IF EXISTS saga, saga_log").await?;
    let (store, writing) = Mysql::open(pool).await?;
    let writer = tokio::spawn(writing.run());
    let result = run(store, submitters, sagas).await;
    writer.abort();
    result
}

async fn run(store: impl Store, submitters: usize, sagas: usize) -> Result<(), Failure> {
    let coordinator = Coordinator::open(store, Options::default())?;
    let running = coordinator.clone();
    let runner = tokio::spawn(async move { running.run(Nothing, std::future::pending()).await });
    let next = Arc::new(AtomicUsize::new(0));
    let (start, cpu) = (Instant::now(), cpu());
    let mut tasks = Vec::new();
    for _ in 0..submitters {
        let (coordinator, next) = (coordinator.clone(), Arc::clone(&next));
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= sagas {
                    return Ok::<_, Failure>(times);
                }
                let start = Instant::now();
                let saga = transfer(number)?;
                let id = saga.id.clone();
                coordinator.submit(saga).await?;
                let view = coordinator.wait(&id, Duration::from_mins(1)).await?;
                if view.is_none_or(|view| view.status != Status::Completed) {
                    return Err(format!("{id} did not complete").into());
                }
                times.push(start.elapsed());
            }
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let (taken, cpu) = (start.elapsed(), self::cpu().saturating_sub(cpu));
    runner.abort();
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{submitters:>10} {:>10.0} {:>8.2} {:>8.2} {:>12.1}",
        sagas as f64 / taken.as_secs_f64(),
        at(50),
        at(99),
        cpu.as_secs_f64() * 1e6 / sagas as f64
    );
    Ok(())
}

fn transfer(number: usize) -> Result<Submit, Failure> {
    let payload = format!(r#"{{"account":{number},"cents":100}}"#);
    let step = |name, kind| PlanStep::new(name, kind, "http://127.0.0.1:9/bank", payload.clone());
    let steps = vec![step("debit", Kind::Compensable), step("credit", Kind::Pivot)];
    let plan = Plan { definition: Definition::Dynamic, steps, fingerprint: [0; 32] };
    let id = SagaId::new(format!("transfer-{number}"))?;
    Ok(Submit { id, plan, deadline: Some(Duration::from_mins(1)), context: Vec::new() })
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the command's name: the state, and utime and stime 11 and 12 fields after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let ticks = ticks(11) + ticks(12);
    Duration::from_millis(ticks * 10)
}
