//! The capture of changes within `aqueduct up`: a reader of each source's binlog, and its feed to the bus and the second level.
//!
//! It goes on from its checkpoint after whatever ends it, a new primary among them: positions are the same on all servers of
//! a source. Only another capture of the same source ends it for good, since only one may publish.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_bus::jetstream::{self, Bus, Publisher};
use aqueduct_cache::l2::Store;
use aqueduct_cdc::feed::{Feed, FeedError, FeedOptions, Floors, Gauge, KeepFile, Work};
use aqueduct_cdc::{FileStore, Key, Progress, Reader, TableName};
use aqueduct_shards::{Address, Shards};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::config::{DataFile, SourceFile};
use crate::process::Process;

/// The pause before a capture goes on after an error.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the end of the captures is waited for.
const LAST: Duration = Duration::from_secs(2);
/// How often it is looked whether the primary is another server.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The captures of all sources, each on a thread of its own: a large transaction takes time to decode, and must not hold up
/// requests. They end when this is dropped; what is not in the checkpoint is read again at the next start.
#[derive(Debug)]
pub(crate) struct Capture {
    threads: Vec<(oneshot::Sender<Infallible>, JoinHandle<()>)>,
}

/// One source and all that its capture needs.
struct Captured {
    source: SourceFile,
    /// The number of the shard by whose primary the source is followed.
    shard: u8,
    bus: Bus,
    store: Option<Store>,
    shards: Shards,
    login: (String, String),
    server_id: u32,
    checkpoint: PathBuf,
    shown: Shown,
}

impl Capture {
    /// Connects, which tells what is wrong with the servers or the checkpoints, and begins. The checkpoints are in `data_dir`.
    pub(crate) async fn start(
        data_dir: &Path,
        (data, shards): (&DataFile, &Shards),
        buses: Vec<(SourceFile, Bus)>,
        process: &Process,
    ) -> Result<Self> {
        let folder = data_dir.join("cdc");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let store = match &data.redis {
            Some(redis) => Some(Store::connect(&redis.urls(), aqueduct_cache::l2::Options::default()).await?),
            None => None,
        };
        let login = &data.mysql.login;
        let login = (login.user.clone().unwrap_or_default(), login.password.clone().unwrap_or_default());
        let mut threads = Vec::new();
        for (source, bus) in buses {
            let of_source =
                data.mysql.shards.iter().position(|shard| source.databases.contains(&shard.database));
            let captured = Captured {
                shard: of_source.and_then(|shard| u8::try_from(shard).ok()).unwrap_or_default(),
                checkpoint: folder.join(format!("{}.checkpoint", source.name)),
                bus,
                store: store.clone(),
                shards: shards.clone(),
                login: login.clone(),
                server_id: data.cdc.server_id,
                shown: Shown::default(),
                source,
            };
            let first = Box::pin(captured.begin()).await?;
            collect(process, captured.source.name.clone(), Arc::clone(&captured.shown));
            threads.push(spawn(captured, first)?);
        }
        Ok(Self { threads })
    }

    /// Ends it. What the last checkpoint does not cover is read again at the next start.
    pub(crate) async fn stop(self) {
        let ended = tokio::task::spawn_blocking(move || {
            for (stop, thread) in self.threads {
                drop(stop);
                // Its panic has been told by the standard library.
                drop(thread.join());
            }
        });
        drop(timeout(LAST, ended).await);
    }
}

/// Starts the thread of one source.
fn spawn(captured: Captured, first: Stretch) -> Result<(oneshot::Sender<Infallible>, JoinHandle<()>)> {
    let runtime = Handle::current();
    let (stop, stopped) = oneshot::channel();
    let name = format!("capture-{}", captured.shard);
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                () = captured.run(first) => {}
                _ = stopped => {}
            }
        });
    };
    let thread =
        std::thread::Builder::new().name(name).spawn(run).context("start the thread of a capture")?;
    Ok((stop, thread))
}

/// One stretch of a capture: a connection to one primary, and one epoch on the bus.
struct Stretch {
    primary: Address,
    reader: Reader<FileStore>,
    feed: Feed,
    work: Work<Publisher, Level2, KeepFile>,
}

/// What is known of the present stretch, for the metrics.
type Shown = Arc<Mutex<Option<(Progress, Gauge)>>>;

/// Why a stretch ended.
enum Ended {
    /// The primary is another server.
    Moved,
    /// Another capture has begun to publish.
    Superseded(String),
    Failed(String),
}

impl Captured {
    async fn begin(&self) -> Result<Stretch> {
        let primary = self.shards.primary(self.shard)?;
        let tables = aqueduct_shop::watched(&self.source.databases);
        let (user, password) = &self.login;
        let options = aqueduct_cdc::Options {
            server_id: self.server_id,
            ..aqueduct_cdc::Options::new(&primary.host, primary.port, user, password, tables)
        };
        let reader = Reader::connect(options, FileStore::new(&self.checkpoint)).await?;
        let publisher =
            self.bus.publisher().await.with_context(|| format!("publish {}", self.source.name))?;
        let heartbeat =
            self.source.databases.first().map(|database| aqueduct_shop::heartbeat_table(database));
        let options = FeedOptions { heartbeat, ..FeedOptions::default() };
        let level2 = Level2(self.store.clone());
        let (feed, work) = Feed::new(publisher, level2, KeepFile::beside(&self.checkpoint), options).await?;
        let shown = Some((reader.progress(), feed.gauge()));
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(Stretch { primary, reader, feed, work })
    }

    async fn run(self, first: Stretch) {
        let mut stretch = Some(first);
        loop {
            let ended = match stretch.take() {
                Some(stretch) => Box::pin(self.follow(stretch)).await,
                None => match Box::pin(self.begin()).await {
                    Ok(begun) => {
                        stretch = Some(begun);
                        continue;
                    }
                    Err(error) => Ended::Failed(format!("{error:#}")),
                },
            };
            let source = &self.source.name;
            match ended {
                Ended::Moved => tracing::info!(source, "the primary is another server: following that"),
                Ended::Superseded(why) => {
                    tracing::error!(
                        source,
                        why,
                        "the capture of changes ends here; say `cdc: {{ here: false }}` where another runs"
                    );
                    return;
                }
                Ended::Failed(why) => {
                    tracing::error!(source, why, "the capture of changes broke off; trying again");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Follows one primary until something ends it.
    async fn follow(&self, Stretch { primary, mut reader, mut feed, work }: Stretch) -> Ended {
        let moved = moved(self.shards.clone(), self.shard, primary);
        let read = reader.run(&mut feed);
        tokio::select! {
            read = read => match read {
                Err(error) => Ended::Failed(error.to_string()),
            },
            worked = work.run() => match worked {
                Err(error) if superseded(&error) => Ended::Superseded(error.to_string()),
                Err(error) => Ended::Failed(error.to_string()),
                Ok(()) => Ended::Failed("the feed has ended".to_owned()),
            },
            () = moved => Ended::Moved,
        }
    }
}

/// Resolves once the shard's primary is another server.
async fn moved(shards: Shards, shard: u8, primary: Address) {
    while shards.primary(shard).map_or(true, |now| now == primary) {
        sleep(LOOK_EVERY).await;
    }
}

fn superseded(error: &FeedError) -> bool {
    let FeedError::Bus(error) = error else { return false };
    matches!(error.downcast_ref(), Some(jetstream::Error::Superseded { .. }))
}

/// The second level, if there is one.
#[derive(Debug)]
struct Level2(Option<Store>);

impl Floors for Level2 {
    type Error = aqueduct_cache::l2::Error;

    async fn invalidate(
        &self,
        table: &TableName,
        key: &Key,
        version: u64,
    ) -> std::result::Result<(), Self::Error> {
        match &self.0 {
            Some(store) => Floors::invalidate(store, table, key, version).await,
            None => Ok(()),
        }
    }

    async fn delete(
        &self,
        table: &TableName,
        key: &Key,
        version: u64,
    ) -> std::result::Result<(), Self::Error> {
        match &self.0 {
            Some(store) => Floors::delete(store, table, key, version).await,
            None => Ok(()),
        }
    }

    async fn mark(&self, table: &TableName, key: &Key) -> std::result::Result<(), Self::Error> {
        match &self.0 {
            Some(store) => Floors::mark(store, table, key).await,
            None => Ok(()),
        }
    }
}

/// Shows how far the capture of a source is.
fn collect(process: &Process, source: String, shown: Shown) {
    process.registry.collect(move |snapshot| {
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((progress, gauge)) = shown else { return };
        let stats = gauge.stats();
        let of = |value: u64| [([("source", source.as_str())], value)];
        snapshot.counters("cdc_events", "Events read from the binlog", of(progress.events()));
        snapshot.counters("cdc_reconnects", "Times that the binlog broke off", of(progress.reconnects()));
        snapshot.counters("cdc_transactions", "Transactions taken", of(stats.transactions));
        snapshot.counters("cdc_changes", "Changed rows told", of(stats.changes));
        snapshot.counters("cdc_records", "Records that the bus acknowledged", of(stats.records));
        snapshot.counters("cdc_floors", "Floors that the second level acknowledged", of(stats.floors));
        snapshot.counters(
            "cdc_floors_let_go",
            "Floors let go while the second level was away",
            of(stats.let_go),
        );
        snapshot.counters(
            "cdc_level2_failures",
            "Attempts that the second level did not acknowledge",
            of(stats.failures),
        );
        snapshot.gauges("cdc_queue", "Floors that wait for the second level", of(stats.queue));
        let bumps = stats
            .bumps
            .iter()
            .map(|(reason, count)| ([("source", source.as_str()), ("reason", *reason)], *count));
        snapshot.counters("cdc_bumps", "Times whole tables were invalidated", bumps);
    });
}
