//! The shop on real servers: what the section `data` names, connected, migrated and joined. Everything that is wrong with them is an
//! error of the start, in one line that says what to do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_bus::jetstream::{self, Bus};
use aqueduct_cache::l2;
use aqueduct_ids_service::Held;
use aqueduct_shards::{Address, Progress, Shard, Shards};
use aqueduct_shop::{BusState, Cluster, Level2, OpenError, Options, Shop, Source};

use crate::capture::Capture;
use crate::config::{DataFile, IdsFile, MysqlFile, RedisFile, SourceFile};
use crate::lease;
use crate::process::Process;
use crate::trust::Trust;

/// How long an order event is kept on the bus: for workers that were away.
const EVENTS_KEPT: Duration = Duration::from_hours(7 * 24);

/// The shop on these servers, and the capture of their changes if it is to run here.
pub(crate) async fn start(
    options: &Options,
    (data, ids): (&DataFile, &IdsFile),
    process: &Process,
) -> Result<(Shop, Option<Capture>)> {
    let shards = prepare(&data.mysql).await?;
    let buses = buses(data).await?;
    let held = lease::shared(ids, Some((&data.mysql, &shards))).await?;
    let shop = join(options, (data, shards, held), &buses, process).await?;
    let capture = if data.cdc.here {
        match Box::pin(Capture::start(&options.data_dir, data, process)).await {
            Ok(capture) => Some(capture),
            Err(error) => {
                // The first error is the one to tell.
                drop(shop.close().await);
                return Err(error);
            }
        }
    } else {
        None
    };
    Ok((shop, capture))
}

/// The databases, with the schema that this program needs.
pub(crate) async fn prepare(mysql: &MysqlFile) -> Result<Shards, OpenError> {
    let told = &mut |Progress { shard, version, name, done, of }| {
        if done == 1 || done == of || done.is_multiple_of(16) {
            tracing::info!(shard, migration = version, name, done, of, "migrating");
        }
    };
    aqueduct_shop::prepare(databases(mysql), told).await
}

/// Connects to the bus and subscribes to each source of changes.
pub(crate) async fn buses(data: &DataFile) -> Result<Vec<(SourceFile, Bus)>> {
    let mut buses = Vec::new();
    for source in data.sources() {
        let options = jetstream::Options {
            replicas: data.bus.replicas,
            tls: data.bus.tls.as_ref().map(Trust::nats),
            ..jetstream::Options::new(&data.bus.url(), &source.name)
        };
        let bus = Bus::connect(options).await.context("join the bus")?;
        buses.push((source, bus));
    }
    Ok(buses)
}

/// The shop on these servers.
pub(crate) async fn join(
    options: &Options,
    (data, shards, ids): (&DataFile, Shards, Option<Held>),
    buses: &[(SourceFile, Bus)],
    process: &Process,
) -> Result<Shop> {
    let mut sources = Vec::new();
    for (source, bus) in buses {
        let changes =
            bus.subscribe().await.with_context(|| format!("follow the changes of {}", source.name))?;
        sources.push(Source { name: source.name.clone(), shards: shards_of(data, source), changes });
    }
    let mut events = Vec::new();
    if let Some((_, bus)) = buses.first() {
        for shard in 0..aqueduct_shards::SHARDS {
            let stream = bus.of_source(&format!("orders-{shard}"), EVENTS_KEPT).await;
            events.push(stream.context("make the streams of order events")?);
        }
    }
    let states: Vec<Bus> = buses.iter().map(|(_, bus)| bus.clone()).collect();
    let bus: BusState = Arc::new(move || {
        if states.iter().all(Bus::connected) { Ok(()) } else { Err("not connected; trying again".to_owned()) }
    });
    let level2 = data.redis.as_ref().map(|redis| Level2 {
        nodes: redis.urls(),
        options: level2_options(redis),
        tier: l2::TierOptions::default(),
    });
    let cluster =
        Cluster { shards: databases(&data.mysql), level2, sources, events, delta: data.staleness, bus, ids };
    Ok(Shop::join(options, shards, cluster, (&process.registry, &process.health)).await?)
}

pub(crate) fn databases(mysql: &MysqlFile) -> aqueduct_shards::Options {
    let shard = |file: &crate::config::ShardFile| Shard {
        database: file.database.clone(),
        servers: file
            .servers
            .iter()
            .map(|server| Address { host: server.host.clone(), port: server.port })
            .collect(),
    };
    let login = &mysql.login;
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let shards = mysql.shards.iter().map(shard).collect();
    aqueduct_shards::Options {
        tls: mysql.tls.as_ref().map(Trust::mysql),
        ..aqueduct_shards::Options::new(shards, text(&login.user), text(&login.password))
    }
}

pub(crate) fn level2_options(redis: &RedisFile) -> l2::Options {
    l2::Options { tls: redis.tls.as_ref().map(Trust::redis), ..l2::Options::default() }
}

/// The numbers of the shards that a source has.
fn shards_of(data: &DataFile, source: &SourceFile) -> Vec<u8> {
    let has = |shard: &crate::config::ShardFile| {
        source.databases.contains(&shard.database)
            && shard.servers.iter().any(|server| source.servers.contains(server))
    };
    (0..).zip(&data.mysql.shards).filter(|(_, shard)| has(shard)).map(|(number, _)| number).collect()
}
