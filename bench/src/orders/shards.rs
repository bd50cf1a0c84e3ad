//! Orders on MariaDB, in four databases of one server: a transaction for each change first, as `single` makes it, and then the committers
//! of the shards. Both leave the same rows behind.

mod single;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::{Scratch, procfs};
use aqueduct_shards::{Address, Options, Shard};
use aqueduct_shop::measure::Committers;

use super::drive::{Caller, Counters, Phase, Step, drive};

/// One transaction for each change.
pub(super) const SINGLE: &str = "one transaction each";
/// By the shards' committers.
pub(super) const GROUPED: &str = "committers";

/// The server of a test has hardly any memory. What was committed is synced, in the binlog, too.
const SERVER: [&str; 3] = ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M", "--sync-binlog=1"];

type Ways = Vec<(&'static str, [Phase; 2])>;

pub(super) fn measure(callers: u32, time: Duration) -> Result<Ways> {
    let scratch = Scratch::new("bench-orders-shards");
    let server = MariaDb::start_with(&scratch, &SERVER).context("start MariaDB")?;
    let pid = server.pid();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ways = Vec::new();
        for way in [SINGLE, GROUPED] {
            // Databases of its own: the later way must not find the tables that the earlier one has filled.
            let prefix = if way == SINGLE { "single" } else { "grouped" };
            for shard in 0..4 {
                server.sql(&format!("CREATE DATABASE {prefix}_{shard}"))?;
            }
            let committers = Committers::start(options(prefix, server.port()), 1).await?;
            let next = Arc::new(AtomicU64::new(1));
            let counters = async || counters(way, &committers, pid);
            let phases = if way == SINGLE {
                let caller = |_| Single { shards: committers.shards().clone(), next: Arc::clone(&next) };
                drive((0..callers).map(caller).collect(), time, counters).await?
            } else {
                let caller = |_| Grouped { committers: committers.clone(), next: Arc::clone(&next) };
                drive((0..callers).map(caller).collect(), time, counters).await?
            };
            ways.push((way, phases));
        }
        Ok(ways)
    })
}

fn options(prefix: &str, port: u16) -> Options {
    let shard = |number| Shard {
        database: format!("{prefix}_{number}"),
        servers: vec![Address { host: "127.0.0.1".to_owned(), port }],
    };
    let options = Options::new((0..4).map(shard).collect(), "root", "");
    // All callers of the first way wait in line for a connection.
    let wait = Duration::from_secs(30);
    Options { pool_wait: wait, session_timeout: wait, slow: wait, ..options }
}

fn counters(way: &str, committers: &Committers, server: u32) -> Result<Counters> {
    let done = committers.done();
    let single: u64 = committers.shards().stats().iter().map(|server| server.commits).sum();
    let (commits, changes) = if way == SINGLE { (single, single) } else { (done.commits, done.changes) };
    let cpu = procfs::cpu_time(std::process::id())? + procfs::cpu_time(server)?;
    Ok(Counters {
        commits: commits as f64,
        changes: changes as f64,
        // Of several committers at a time; of the other way nobody counts it.
        sync_seconds: done.micros as f64 / 1e6,
        // The server's, too.
        cpu_seconds: cpu.as_secs_f64(),
    })
}

/// An id as they are minted: above the route's bits it only grows.
fn id(next: &AtomicU64) -> u64 {
    let number = next.fetch_add(1, Relaxed);
    // Spread as users are: by a hash.
    let route = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    number << 21 | route << 15
}

fn number(step: Step) -> usize {
    match step {
        Step::Pay => 0,
        Step::Ship => 1,
        Step::Complete => 2,
    }
}

struct Grouped {
    committers: Committers,
    next: Arc<AtomicU64>,
}

impl Caller for Grouped {
    async fn create(&mut self) -> Result<u64> {
        let id = id(&self.next);
        self.committers.create(id, 7).await.context("create")?;
        Ok(id)
    }

    async fn step(&mut self, key: u64, step: Step) -> Result<()> {
        self.committers.step(key, number(step)).await.context("move")
    }
}

struct Single {
    shards: aqueduct_shards::Shards,
    next: Arc<AtomicU64>,
}

impl Caller for Single {
    async fn create(&mut self) -> Result<u64> {
        let id = id(&self.next);
        single::create(&self.shards, id, 7).await.context("create")?;
        Ok(id)
    }

    async fn step(&mut self, key: u64, step: Step) -> Result<()> {
        single::step(&self.shards, key, number(step)).await.context("move")
    }
}
