//! A hundred keys through Redis, at once and one by one; and ten thousand callers that miss one key.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aqueduct_cache::l2::{Entry, Key, Leased, Options, Plain, Store, Tier, TierError, TierOptions};
use aqueduct_cache::{Ask, Cache, Loaded, Stamp};
use aqueduct_kit::Scratch;
use aqueduct_kit::redis::RedisCluster;
use futures_util::future::join_all;
use redis::AsyncCommands as _;
use tokio::time::Instant;

use crate::median::median;
use crate::table::Table;

const KEYS: usize = 100;
const CALLERS: usize = 10_000;
const BYTES: usize = 200;
const ANY: Ask = Ask { least: 0, since: None };

const HOW: &str = "Rows of 200 bytes on a cluster of three masters and three replicas, on this machine. One by one: GET by redis-rs, each awaited before \
the next. `redis-benchmark` sends plain GETs of one key to one master in pipelines of 100, over one connection: the limit of what a \
client can reach, without floors, leases and stamps.";

type Rows = Cache<u64, Vec<u8>, TierError<String>>;

#[expect(clippy::disallowed_methods, reason = "the benchmark owns its runtime")]
fn spawn(task: aqueduct_cache::Task) {
    drop(tokio::spawn(task));
}

pub(super) fn measure(rounds: u32) -> Result<String> {
    let scratch = Scratch::new("bench-cache");
    let cluster = RedisCluster::start(&scratch)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let nodes: Vec<String> = cluster.addresses().iter().map(|address| format!("redis://{address}")).collect();
    let many = runtime.block_on(many(&nodes, rounds, &cluster))?;
    let storm = runtime.block_on(storm(&nodes))?;
    Ok(["## Through Redis", HOW, &many, &storm].join("\n\n"))
}

async fn many(nodes: &[String], rounds: u32, cluster: &RedisCluster) -> Result<String> {
    let store = connect(nodes).await?;
    let tier = Tier::<Vec<u8>>::new(store.clone(), "bench", Plain, TierOptions::default())?;
    let client = redis::cluster::ClusterClient::new(nodes.iter().map(String::as_str))?;
    let mut connection = client.get_async_connection().await?;
    let rows: Vec<_> = (0..KEYS).map(|pk| (pk.to_string(), 0, ANY)).collect();
    for (pk, ..) in &rows {
        fill(&store, pk).await?;
        let _: () = connection.set(format!("plain:{pk}"), vec![7_u8; BYTES]).await?;
    }
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        let began = Instant::now();
        let found = tier.load_many(&rows, |_, _| async { Err("all are there".to_owned()) }).await;
        times[0].push(began.elapsed().as_secs_f64());
        ensure!(found.iter().all(Result::is_ok), "a row is missing");
        let began = Instant::now();
        for (pk, ..) in &rows {
            let loaded = tier.load(pk, 0, ANY, |_| async { Err("all are there".to_owned()) }).await;
            ensure!(loaded.is_ok(), "a row is missing");
        }
        times[1].push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        for (pk, ..) in &rows {
            let bytes: Vec<u8> = connection.get(format!("plain:{pk}")).await?;
            ensure!(bytes.len() == BYTES, "a row is missing");
        }
        times[2].push(began.elapsed().as_secs_f64());
    }
    let per_key = |times: &Vec<f64>| median(times.iter().copied()) * 1e6 / KEYS as f64;
    let mut table = Table::new(["µs a key", "median", "part of redis-rs"]);
    let plain = per_key(&times[2]);
    let names = ["load_many of 100", "load, one by one", "GET by redis-rs, one by one"];
    for (name, times) in names.iter().zip(&times) {
        let time = per_key(times);
        table.row([(*name).to_owned(), format!("{time:.1}"), format!("{:.2}", time / plain)]);
    }
    if let Some(limit) = limit(cluster)? {
        table.row([
            "redis-benchmark -P 100".to_owned(),
            format!("{limit:.1}"),
            format!("{:.2}", limit / plain),
        ]);
    }
    Ok(table.to_string())
}

async fn connect(nodes: &[String]) -> Result<Store> {
    let options = Options { timeout: Duration::from_secs(10), ..Options::default() };
    Store::connect(nodes, options).await.context("connect to the cluster")
}

async fn fill(store: &Store, pk: &str) -> Result<()> {
    let key = Key::new("bench", pk)?;
    let Leased::Load { token, .. } = store.lease(&key).await? else {
        anyhow::bail!("the key {pk} is leased already")
    };
    let hour = Duration::from_hours(1);
    let entry = Entry {
        version: 1,
        data: Some(vec![7; BYTES]),
        fresh: hour,
        age: Duration::ZERO,
        master: Stamp::default(),
    };
    store.fill(&key, &token, &entry, hour).await?;
    Ok(())
}

/// Microseconds a GET; `None` if redis-benchmark is not installed.
fn limit(cluster: &RedisCluster) -> Result<Option<f64>> {
    let Some(program) = crate::tools::on_path("redis-benchmark") else { return Ok(None) };
    let master = cluster.master_of(cluster.slot_of("plain:7")?)?;
    let port = cluster.nodes[master].port().to_string();
    let mut command = Command::new(program);
    command.args(["-p", &port, "-P", "100", "-c", "1", "-n", "200000", "--csv", "GET", "plain:7"]);
    let output = command.stdin(Stdio::null()).output().context("run redis-benchmark")?;
    // "GET plain:7","1234567.00",…
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().last().and_then(|line| line.split(',').nth(1)).map(|rate| rate.trim_matches('"'));
    let rate: f64 = rate.context("read what redis-benchmark prints")?.parse()?;
    Ok(Some(1e6 / rate))
}

async fn storm(nodes: &[String]) -> Result<String> {
    let tier = Tier::<Vec<u8>>::new(connect(nodes).await?, "storm", Plain, TierOptions::default())?;
    let cache = Rows::builder().build(Arc::new(spawn))?;
    let reads = Arc::new(AtomicUsize::new(0));
    let callers = (0..CALLERS).map(|_| {
        let (tier, reads) = (tier.clone(), Arc::clone(&reads));
        let load = |ask| async move {
            let primary = |_| async {
                reads.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(Loaded::new(1, Some(vec![7; BYTES])))
            };
            tier.load("7", 0, ask, primary).await
        };
        cache.get_with(&7, load)
    });
    let began = Instant::now();
    let answers = join_all(callers).await;
    let took = began.elapsed().as_secs_f64() * 1e3;
    ensure!(answers.iter().all(Result::is_ok), "a caller got no answer");
    Ok(format!(
        "A miss storm: {CALLERS} callers of one key, whose load takes 5 ms: {} load, all answered after {took:.0} ms.",
        reads.load(Relaxed)
    ))
}
