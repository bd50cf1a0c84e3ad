//! The engine in this process, with participants that answer at once, or never.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::{Scratch, procfs};
use aqueduct_saga::fjall::Fjall;
use aqueduct_saga::mysql::{Mysql, Writing};
use aqueduct_saga::{
    Call, Clock, Coordinator, Definition, Executor, Kind, Options, Outcome, Plan, PlanStep, SagaId, Status,
    Store, Submit,
};
use bytes::Bytes;
use mysql_async::{OptsBuilder, Pool, PoolConstraints, PoolOpts};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Level, Measured, Restarted};

/// The server of a test has hardly any memory. What was committed is synced, in the binlog, too.
const SERVER: [&str; 3] = ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M", "--sync-binlog=1"];
/// Longer than any of them should take.
const PATIENCE: Duration = Duration::from_mins(2);
/// Submissions at a time before a restart.
const SUBMITTERS: u32 = 256;

/// Participants: what their answers mean is the participants' own work, and not measured here.
#[derive(Clone, Debug)]
enum Participants {
    Prompt(Arc<AtomicU64>),
    Silent,
}

impl Executor for Participants {
    async fn send(&self, _call: Call) -> Outcome {
        match self {
            Self::Prompt(calls) => {
                calls.fetch_add(1, Relaxed);
                Outcome::Done(Bytes::new())
            }
            Self::Silent => std::future::pending().await,
        }
    }
}

pub(super) fn embedded(folder: &Path, callers: u32, time: Duration) -> Result<Measured> {
    let cpu = || procfs::cpu_time(std::process::id());
    let store = Fjall::open(folder.join("sagas"), Clock::system())?;
    runtime()?.block_on(throughput((Level::Embedded, store, None), callers, time, cpu))
}

pub(super) fn mysql(callers: u32, time: Duration) -> Result<Measured> {
    let (server, _scratch) = server()?;
    let cpu = || Ok(procfs::cpu_time(std::process::id())? + procfs::cpu_time(server.pid())?);
    runtime()?.block_on(async {
        let (store, writing) = Mysql::open(pool(&server)).await?;
        throughput((Level::Mysql, store, Some(writing)), callers, time, cpu).await
    })
}

pub(super) fn embedded_restarted(folder: &Path, in_flight: u32) -> Result<Restarted> {
    let folder = folder.join("sagas");
    runtime()?.block_on(leave(Fjall::open(&folder, Clock::system())?, None, in_flight))?;
    // Another runtime: nothing of before is left, as after a crash.
    let began = Instant::now();
    let store = Fjall::open(&folder, Clock::system())?;
    let calls = runtime()?.block_on(end_all(store, None, in_flight))?;
    Ok(Restarted { level: Level::Embedded, in_flight, elapsed: began.elapsed(), calls })
}

pub(super) fn mysql_restarted(in_flight: u32) -> Result<Restarted> {
    let (server, _scratch) = server()?;
    runtime()?.block_on(async {
        let (store, writing) = Mysql::open(pool(&server)).await?;
        leave(store, Some(writing), in_flight).await
    })?;
    let began = Instant::now();
    let calls = runtime()?.block_on(async {
        let (store, writing) = Mysql::open(pool(&server)).await?;
        end_all(store, Some(writing), in_flight).await
    })?;
    Ok(Restarted { level: Level::Mysql, in_flight, elapsed: began.elapsed(), calls })
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn server() -> Result<(MariaDb, Scratch)> {
    let scratch = Scratch::new("bench-sagas");
    let server = MariaDb::start_with(&scratch, &SERVER).context("start MariaDB")?;
    server.sql("CREATE DATABASE sagas")?;
    Ok((server, scratch))
}

fn pool(server: &MariaDb) -> Pool {
    let most = PoolConstraints::new(0, 32).unwrap_or_default();
    let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(server.port());
    let options = options.user(Some("root")).db_name(Some("sagas"));
    Pool::new(options.pool_opts(PoolOpts::default().with_constraints(most)))
}

fn transfer(id: SagaId) -> Submit {
    let step = |name, kind| PlanStep::new(name, kind, "ledger", r#"{"account":"1","cents":500}"#);
    let steps = vec![step("debit", Kind::Compensable), step("credit", Kind::Pivot)];
    let plan = Plan { definition: Definition::Dynamic, steps, fingerprint: [7; 32] };
    Submit { id, plan, deadline: None, context: Vec::new() }
}

/// Callers that submit a transfer, wait for its end, and submit the next.
async fn throughput<S: Store>(
    (level, store, writing): (Level, S, Option<Writing>),
    callers: u32,
    time: Duration,
    cpu: impl Fn() -> std::io::Result<Duration>,
) -> Result<Measured> {
    let sagas = Coordinator::open(store, Options::default())?;
    let mut work = JoinSet::new();
    let _running = run(&sagas, writing, Participants::Prompt(Arc::default()));
    let (before, began) = (cpu()?, Instant::now());
    for caller in 0..callers {
        let sagas = sagas.clone();
        work.spawn(async move {
            let mut times = Vec::new();
            while began.elapsed() < time {
                let id = SagaId::new(format!("{caller}-{}", times.len()))?;
                let submitted = Instant::now();
                sagas.submit(transfer(id.clone())).await?;
                let ended = sagas.wait(&id, PATIENCE).await?.context("a saga that was submitted is gone")?;
                ensure!(ended.status == Status::Completed, "{id} is {:?}", ended.status);
                times.push(u32::try_from(submitted.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(some) = work.join_next().await {
        times.append(&mut some??);
    }
    let (elapsed, cpu) = (began.elapsed(), cpu()?.saturating_sub(before));
    times.sort_unstable();
    Ok(Measured { level, callers, elapsed, times, cpu })
}

/// The runner, and the writer of a store that has one, until this is dropped.
fn run<S: Store>(
    sagas: &Coordinator<S>,
    writing: Option<Writing>,
    participants: Participants,
) -> JoinSet<Result<()>> {
    let mut running = JoinSet::new();
    let sagas = sagas.clone();
    running.spawn(async move { Ok(sagas.run(participants, std::future::pending()).await?) });
    if let Some(writing) = writing {
        running.spawn(async move {
            writing.run().await;
            Ok(())
        });
    }
    running
}

/// Submits sagas whose participants never answer, and goes away.
async fn leave<S: Store>(store: S, writing: Option<Writing>, in_flight: u32) -> Result<()> {
    let options =
        Options { in_flight: in_flight as usize, lease: Duration::from_secs(1), ..Options::default() };
    let sagas = Coordinator::open(store, options)?;
    let _running = run(&sagas, writing, Participants::Silent);
    let mut work = JoinSet::new();
    for submitter in 0..SUBMITTERS {
        let sagas = sagas.clone();
        work.spawn(async move {
            for number in (submitter..in_flight).step_by(SUBMITTERS as usize) {
                sagas.submit(transfer(SagaId::new(number.to_string())?)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = work.join_next().await {
        done??;
    }
    // Each has been sent, and waits for its answer.
    let began = Instant::now();
    while sagas.snapshot().sends < u64::from(in_flight) {
        ensure!(began.elapsed() < PATIENCE, "not all are sent: {:?}", sagas.snapshot());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Brings all of them to their end; the calls that it took.
async fn end_all<S: Store>(store: S, writing: Option<Writing>, in_flight: u32) -> Result<u64> {
    let options = Options { lease: Duration::from_secs(1), ..Options::default() };
    let sagas = Coordinator::open(store, options)?;
    let calls = Arc::new(AtomicU64::new(0));
    let mut running = run(&sagas, writing, Participants::Prompt(Arc::clone(&calls)));
    for number in 0..in_flight {
        let id = SagaId::new(number.to_string())?;
        let ended = tokio::select! {
            ended = sagas.wait(&id, PATIENCE) => ended?.context("a saga that was acknowledged is gone")?,
            Some(end) = running.join_next() => bail!("the runner ended: {end:?}"),
        };
        ensure!(ended.status == Status::Completed, "{id} is {:?}", ended.status);
    }
    Ok(calls.load(Relaxed))
}
