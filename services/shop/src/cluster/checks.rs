//! Whether the servers answer, asked in the background: a probe of the process does no I/O.
//!
//! All of them are tolerable at first: while what is cached may be answered as stale, this instance is of use. When the
//! database has been away for longer than anything cached may be answered, it is not.

use std::time::Duration;

use aqueduct_cache::Watermarks;
use aqueduct_cache::l2::{Key, Store};
use aqueduct_runtime::task::{self, Owned};
use aqueduct_shards::{Error, Freshness, SHARDS, Shards};
use aqueduct_telemetry::health::{Check, Health, OnFailure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, interval};

use super::BusState;

/// From question to question.
const EVERY: Duration = Duration::from_millis(500);
/// How long an answer of a database may take.
const WITHIN: Duration = Duration::from_secs(1);
/// So many keys lie in as many slots: with few masters, some in each.
const KEYS: usize = 16;

/// Who is asked.
pub(super) struct Asked {
    pub(super) shards: Shards,
    pub(super) store: Option<Store>,
    pub(super) watermarks: Watermarks,
    pub(super) bus: BusState,
}

/// Starts to ask. `useful` is how long what is cached may be answered.
pub(super) fn start(asked: Asked, health: &Health, useful: Duration) -> Vec<Owned> {
    let check = |name| health.check(name, OnFailure::Degraded);
    let (mysql, bus, cdc) = (check("mysql"), check("bus"), check("cdc"));
    let health = health.clone();
    let Asked { shards, store, watermarks, bus: state } = asked;
    let mut tasks = vec![
        task::spawn("shop-check-mysql", async move { databases(&shards, &mysql, (&health, useful)).await })
            .into(),
        task::spawn("shop-check-bus", async move { connected(&state, &bus).await }).into(),
        task::spawn("shop-check-cdc", async move { changes(&watermarks, &cdc).await }).into(),
    ];
    if let Some(store) = store {
        let redis = check("redis");
        tasks.push(task::spawn("shop-check-redis", async move { nodes(&store, &redis).await }).into());
    }
    tasks
}

/// Whether each shard's primary answers.
async fn databases(shards: &Shards, check: &Check, (health, useful): (&Health, Duration)) {
    let mut ticks = interval(EVERY);
    let mut well = Instant::now();
    let mut meaning = OnFailure::Degraded;
    loop {
        ticks.tick().await;
        let asked = try_join_all((0..SHARDS).map(|shard| ask(shards, shard))).await;
        if asked.is_ok() {
            well = Instant::now();
        }
        let wanted = if well.elapsed() > useful { OnFailure::Unavailable } else { OnFailure::Degraded };
        if wanted != meaning {
            meaning = wanted;
            drop(health.check("mysql", meaning));
        }
        match asked {
            Ok(_) => check.ok(format!("{SHARDS} shards")),
            Err(error) => check.failed(error.to_string()),
        }
    }
}

async fn ask(shards: &Shards, shard: u8) -> Result<(), Error> {
    let deadline = Some(Instant::now() + WITHIN);
    shards.read(shard, Freshness::Primary, deadline).await?.rows::<u8>("SELECT 1", ()).await.map(drop)
}

/// Whether the masters of the Redis Cluster answer.
async fn nodes(store: &Store, check: &Check) {
    let mut ticks = interval(EVERY);
    let keys: Vec<Key> = (0..KEYS).filter_map(|n| Key::new("aqueduct_health", &n.to_string()).ok()).collect();
    loop {
        ticks.tick().await;
        match store.get_many(&keys).await.into_iter().find_map(Result::err) {
            None => check.ok(""),
            Some(error) => check.failed(error.to_string()),
        }
    }
}

/// Whether the bus can be used.
async fn connected(bus: &BusState, check: &Check) {
    let mut ticks = interval(EVERY);
    loop {
        ticks.tick().await;
        match bus() {
            Ok(()) => check.ok(""),
            Err(why) => check.failed(why),
        }
    }
}

/// Whether what this process hears of changes is recent.
async fn changes(watermarks: &Watermarks, check: &Check) {
    let mut ticks = interval(EVERY);
    loop {
        ticks.tick().await;
        let lags: Vec<Option<Duration>> =
            (0..watermarks.sources()).map(|source| watermarks.lag(source)).collect();
        let Some(worst) =
            lags.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max())
        else {
            check.lag(None);
            check.failed("nothing is known of the changes of some database: does cdc run, and follow it?");
            continue;
        };
        check.lag(Some(worst));
        let lag = format!("lag {} ms", worst.as_millis());
        if worst <= watermarks.delta() { check.ok(lag) } else { check.failed(lag) }
    }
}
