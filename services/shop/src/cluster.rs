//! A shop whose orders, accounts and transfers are in the shards: what it is told of the servers, and how it joins them.
//!
//! A read goes `L1 → L2 → primary`. What keeps the caches true is the stream of changes of each source (a database server that
//! is followed): this process reads all of each, fences its L1, and dates both levels by its own heartbeat (`docs/data.md`).

mod apply;
pub(crate) mod audit;
mod checks;
mod heart;
pub(crate) mod relay;
pub(crate) mod sagas;
mod ship;

use std::sync::Arc;
use std::time::Duration;

use aqueduct_bus::Subscribe;
use aqueduct_bus::jetstream::Bus;
use aqueduct_cache::Watermarks;
use aqueduct_cache::l2::{self, Epochs, Store, TierOptions};
use aqueduct_cdc::follow::{Beats, Follower};
use aqueduct_cdc::heartbeat;
use aqueduct_cdc::{TableName, Watched};
use aqueduct_fsm::Failure;
use aqueduct_ids::Generator;
use aqueduct_ids_service::{Held, Keeper, Renewal};
use aqueduct_runtime::{clock, task, task::Owned};
use aqueduct_shards::{Progress, Route, SHARDS, Shards, TABLES};
use aqueduct_telemetry::health::{Health, OnFailure};
use aqueduct_telemetry::metrics::Registry;
use tokio::sync::Notify;

use crate::bank::Bank;
use crate::book::Book;
use crate::error::OpenError;
use crate::folder::Folder;
use crate::metrics::{self, Metrics};
use crate::options::Options;
use crate::orders::Orders;
use crate::sharded::recent::Recent;
use crate::sharded::tiers::Tiers;
use crate::sharded::{Sharded, schema};
use crate::shop::{self, Shop};
use crate::vitals::{Failed, Monitor};
use crate::watchers::Watchers;
use apply::Applied;
use relay::{Relay, Relayed};

/// What a shop is told of the servers that hold its orders and accounts.
#[expect(missing_debug_implementations, reason = "a closure has nothing to show")]
pub struct Cluster<R> {
    /// The databases.
    pub shards: aqueduct_shards::Options,
    /// The cache's second level, if there is one.
    pub level2: Option<Level2>,
    /// What is followed: each shard belongs to one of them.
    pub sources: Vec<Source<R>>,
    /// The streams of order events, one a shard, to which the outboxes are brought.
    pub events: Vec<Bus>,
    /// How old an answer may be that does not say that it is stale.
    pub delta: Duration,
    /// Whether the bus can be used; asked often, so it must not wait.
    pub bus: BusState,
    /// The lease that ids are minted under; that of the data folder if there is none.
    pub ids: Option<Held>,
}

/// Whether the bus can be used, and otherwise why not.
pub type BusState = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The Redis Cluster.
#[derive(Debug, Clone)]
pub struct Level2 {
    /// Some of its nodes: `redis://user:password@host:port`.
    pub nodes: Vec<String>,
    /// How it is used.
    pub options: l2::Options,
    /// How loads go through it.
    pub tier: TierOptions,
}

/// A database server whose changes are followed.
#[derive(Debug)]
pub struct Source<R> {
    /// Its name on the bus.
    pub name: String,
    /// The shards that it holds. Heartbeats are in the database of the first.
    pub shards: Vec<u8>,
    /// Its stream of changes, subscribed to.
    pub changes: R,
}

/// Brings the schema of all shards up to date, telling of each statement, and sees that it is what this program reads. It comes before
/// the changes are followed, since there must be tables to follow.
///
/// # Errors
/// [`OpenError::Shards`]: a server that cannot be used, or tables that are not what they should be.
pub async fn prepare(
    options: aqueduct_shards::Options,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Shards, OpenError> {
    let (shards, _) = Shards::connect(options).await?;
    shards.migrate(schema::MIGRATIONS, progress).await?;
    shards.check_schema(schema::NEEDED).await?;
    Ok(shards)
}

/// The tables of a source that must be followed, that of the heartbeats among them.
pub fn watched(databases: &[String]) -> Vec<Watched> {
    let orders = |database: &String| {
        let database = database.clone();
        (0..TABLES).map(move |table| Watched::exact(&database, &orders_table(table), "version"))
    };
    let heartbeats = databases.first().map(|database| heartbeat::watched(database));
    databases.iter().flat_map(orders).chain(heartbeats).collect()
}

/// Where the heartbeats of a source are: in the first of its databases.
pub fn heartbeat_table(database: &str) -> TableName {
    heartbeat::table(database)
}

fn orders_table(table: u8) -> String {
    Route::new(0, table).map(|route| route.name("orders").to_string()).unwrap_or_default()
}

impl Shop {
    /// Joins the servers: takes the data folder, which holds the lease of the ids alone, and starts what works for it: the
    /// followers of the changes, the heartbeats, and the checks `mysql`, `redis`, `bus`, `cdc` and `saga` in `health`.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing is left running.
    pub async fn join<R: Subscribe + 'static>(
        options: &Options,
        shards: Shards,
        cluster: Cluster<R>,
        (registry, health): (&Registry, &Health),
    ) -> Result<Self, OpenError> {
        let Cluster { shards: configured, level2, sources, events, delta, bus, ids: held } = cluster;
        let (folder, held) = folder(options, held)?;
        let ids = held.generator();
        let level2 = match level2 {
            Some(Level2 { nodes, options, tier }) => Some((Store::connect(&nodes, options).await?, tier)),
            None => None,
        };
        let watermarks = Watermarks::new(sources.len(), delta);
        let of_shard = sources_of_shards(&sources)?;
        let of_key = move |id: &i64| of_shard[usize::from(Route::of_id(id.cast_unsigned()).shard())];
        let cache = shop::cache(options, |builder| builder.watermarks(watermarks.clone(), of_key))?;
        let epochs = Epochs::new();
        let instance = clock::now_unix_ms() << 7 | u64::from(ids.worker());
        let watchers = Watchers::new(options.max_watches);
        let names: Vec<String> = configured.shards.iter().map(|shard| shard.database.clone()).collect();
        let tiers = |(store, options): (Store, TierOptions)| {
            Tiers::new((store, &options), (&names, of_shard), &watermarks, &epochs)
        };
        let store = level2.as_ref().map(|(store, _)| store.clone());
        let tiers = level2.map(tiers).transpose()?;
        let database = shards.clone();
        let recent = Recent::new(delta);
        let (sharded, committers) =
            Sharded::new(shards, (&cache, tiers), recent.clone(), (options.queue, instance))?;
        let outboxes = sharded.outboxes();
        let asked = checks::Asked { shards: database.clone(), store, watermarks: watermarks.clone(), bus };
        let mut background = checks::start(asked, health, options.cache_hard);
        background.extend(committers);
        let followed = sources.iter().map(|source| source.name.clone()).collect();
        let (cached, watching) = (cache.clone(), Arc::clone(&watchers));
        let parts = Parts { cache: cached, watchers: watching, watermarks: watermarks.clone(), epochs };
        let hearts = (database.clone(), recent, instance, delta / 4);
        background.extend(follow(sources, (&names, &parts), hearts));
        let monitor = Arc::new(Monitor::new(health.check("ids", OnFailure::Unavailable)));
        let keeper = Keeper::start(held, report(&monitor, ids.clone()));
        let place = sagas::Place::new(&database, &configured);
        let bank = Bank::join(options, place, (&ids, &monitor), health)?;
        let orders = Arc::new(Orders {
            ids,
            book: Arc::new(Book::Sharded(sharded)),
            cache,
            watchers,
            monitor,
            bus: None,
            auditor: audit::auditor(clock::now_unix_ms()),
        });
        background.push(task::spawn("shop-committers", committers_live(Arc::clone(&orders))).into());
        background.push(task::spawn("shop-audit", audit::run(Arc::clone(&orders), delta)).into());
        let relayed = Arc::new(Relayed::default());
        let part = (database, outboxes, instance);
        background.extend(with_bus(&orders, events, part, (options.ship_when_paid, &relayed)));
        metrics::collect_relay(registry, relayed);
        metrics::collect_sagas(registry, &bank.0);
        metrics::collect(registry, &orders);
        metrics::collect_lag(registry, watermarks, followed);
        Ok(Self {
            metrics: Metrics::new(registry),
            jobs: Vec::new(),
            followers: Vec::new(),
            background,
            keeper: Some(keeper),
            folder: Some(folder),
            bank,
            orders,
        })
    }
}

/// Follows each source, and beats in it.
fn follow<R: Subscribe + 'static>(
    sources: Vec<Source<R>>,
    (names, parts): (&[String], &Parts),
    (database, recent, instance, every): (Shards, Recent, u64, Duration),
) -> Vec<Owned> {
    let mut tasks = Vec::new();
    for (number, source) in sources.into_iter().enumerate() {
        let applied = Applied::new(number, &source.shards, names, parts.clone());
        let beats = Beats::default();
        let follower = Follower::new(source.changes, applied, instance, beats.clone());
        tasks.push(task::spawn("shop-follow", async move { drop(follower.run().await) }).into());
        let held = (source.shards, recent.clone());
        let heart = heart::run(database.clone(), held, instance, every, beats);
        tasks.push(task::spawn("shop-heart", heart).into());
    }
    tasks
}

/// What works with the streams of order events, one a shard: the relays, and who ships.
fn with_bus(
    orders: &Arc<Orders>,
    events: Vec<Bus>,
    (database, outboxes, holder): (Shards, Vec<Arc<Notify>>, u64),
    (ships, relayed): (bool, &Arc<Relayed>),
) -> Vec<Owned> {
    let mut tasks = Vec::new();
    for ((shard, bus), outbox) in (0..SHARDS).zip(events).zip(outboxes) {
        if ships {
            let ship = ship::run(Arc::clone(orders), bus.clone());
            tasks.push(task::spawn("shop-ship", ship).into());
        }
        let (shards, relayed) = (database.clone(), Arc::clone(relayed));
        let relay = Relay { shards, shard, bus, holder, outbox, relayed };
        tasks.push(task::spawn("shop-relay", relay.run()).into());
    }
    tasks
}

/// The data folder, and the lease in it where there is no other.
fn folder(options: &Options, held: Option<Held>) -> Result<(Folder, Held), OpenError> {
    match held {
        Some(held) => Ok((Folder::open(&options.data_dir)?, held)),
        None => shop::lease(options).map(|(folder, lease)| (folder, Held::Folder(lease))),
    }
}

/// Tells whether ids can be minted after each renewal, and gives the process up once there will be none.
fn report(monitor: &Arc<Monitor>, ids: Generator) -> impl Fn(Renewal) + Send + 'static {
    let monitor = Arc::clone(monitor);
    move |renewal| {
        if let Renewal::Over(why) = renewal {
            monitor.fail(Failed::Ids(why));
        }
        monitor.ids(ids.ready());
    }
}

/// Gives the process up when a committer has ended by itself: nothing of its shard would be committed any more.
async fn committers_live(orders: Arc<Orders>) {
    if let Book::Sharded(sharded) = &*orders.book {
        let shard = sharded.failed().await;
        let reason =
            format!("the committer of shard {shard} has ended, which is a defect: see the log above");
        orders.monitor.fail(Failure::new(&reason));
    }
}

/// What a follower of changes tells.
#[derive(Clone)]
pub(crate) struct Parts {
    cache: crate::orders::OrderCache,
    watchers: Arc<Watchers>,
    watermarks: Watermarks,
    epochs: Epochs,
}

/// The source of each shard.
fn sources_of_shards<R>(sources: &[Source<R>]) -> Result<[usize; SHARDS as usize], OpenError> {
    let mut of = [usize::MAX; SHARDS as usize];
    for (number, source) in sources.iter().enumerate() {
        for shard in &source.shards {
            *of.get_mut(usize::from(*shard)).ok_or(OpenError::Unfollowed(*shard))? = number;
        }
    }
    match (0..).zip(&of).find(|(_, source)| **source == usize::MAX) {
        Some((shard, _)) => Err(OpenError::Unfollowed(shard)),
        None => Ok(of),
    }
}
