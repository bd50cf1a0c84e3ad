//! One source: its primary is found and followed, and looked for again when it is another server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use aqueduct_bus::jetstream::{self, Bus};
use aqueduct_cache::l2;
use aqueduct_cdc::feed::{Feed, FeedError, FeedOptions, Floors, KeepFile, Master};
use aqueduct_cdc::survey::{self, Pattern};
use aqueduct_cdc::{Error, FileStore, Key, Options, Reader, TableName, heartbeat};
use aqueduct_runtime::task::{self, Owned};
use mysql_async::SslOpts;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::PATIENCE;
use super::shown::{Checks, Shown};
use crate::config::{DataFile, Server, SourceFile};
use crate::process::Process;
use crate::trust::Trust;

/// How often it is looked whether another server is the primary.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pause before a source that cannot be reached is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// A source that is followed.
pub(crate) struct Source {
    file: SourceFile,
    user: String,
    password: String,
    tls: Option<SslOpts>,
    server_id: u32,
    patterns: Vec<Pattern>,
    checkpoint: PathBuf,
    bus: Bus,
    level2: Option<l2::Store>,
    shown: Shown,
    first: Option<Connected>,
}

/// A primary, and a reader of it.
struct Connected {
    primary: Server,
    reader: Reader<FileStore>,
}

/// Why following ended.
enum End {
    Stopped,
    /// Another server takes the writes.
    Moved,
    Failed(anyhow::Error),
}

impl Source {
    /// Connects to the primary and to the bus.
    pub(crate) async fn prepare(
        file: SourceFile,
        (data, folder): (&DataFile, &Path),
        level2: Option<l2::Store>,
        process: (&Process, Checks),
    ) -> Result<Self> {
        let bus = jetstream::Options {
            replicas: data.bus.replicas,
            tls: data.bus.tls.as_ref().map(Trust::nats),
            ..jetstream::Options::new(&data.bus.url(), &file.name)
        };
        let bus = Box::pin(Bus::connect(bus)).await?;
        let shown = Shown::new(&file.name, level2.is_some(), bus.clone(), process);
        let login = &data.mysql.login;
        let mut source = Self {
            user: login.user.clone().unwrap_or_default(),
            password: login.password.clone().unwrap_or_default(),
            tls: data.mysql.tls.as_ref().map(Trust::mysql),
            server_id: data.cdc.server_id,
            patterns: patterns(data, &file),
            checkpoint: folder.join(format!("{}.checkpoint", file.name)),
            bus,
            level2,
            shown,
            first: None,
            file,
        };
        source.first = Some(Box::pin(source.connect()).await?);
        Ok(source)
    }

    pub(crate) fn name(&self) -> &str {
        &self.file.name
    }

    /// Until it is asked to stop, or what is wrong will not mend itself. It may be run again then.
    pub(crate) async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut connected = self.first.take();
        loop {
            let end = if let Some(connected) = connected.take() {
                Box::pin(self.follow(connected, &mut stop)).await
            } else {
                tokio::select! {
                    found = Box::pin(self.connect()) => match found {
                        Ok(found) => {
                            connected = Some(found);
                            continue;
                        }
                        Err(error) => End::Failed(error),
                    },
                    () = stopped(&mut stop) => End::Stopped,
                }
            };
            let source = self.name();
            match end {
                End::Stopped => return Ok(()),
                End::Moved => tracing::info!(source, "another server is the primary now: following that"),
                End::Failed(error) if mends_itself(&error) => {
                    tracing::warn!(
                        source,
                        error = format!("{error:#}"),
                        "the primary cannot be followed; trying again"
                    );
                    tokio::select! {
                        () = sleep(PAUSE) => {}
                        () = stopped(&mut stop) => return Ok(()),
                    }
                }
                End::Failed(error) => return Err(error),
            }
        }
    }

    fn options(&self, server: &Server) -> Options {
        Options {
            server_id: self.server_id,
            tls: self.tls.clone(),
            ..Options::new(&server.host, server.port, &self.user, &self.password, Vec::new())
        }
    }

    async fn connect(&self) -> Result<Connected> {
        let primary = self.primary().await?;
        let mut options = self.options(&primary);
        let Some(database) = self.file.databases.first() else { bail!("{} has no database", self.name()) };
        Box::pin(survey::ensure_heartbeat(&options, database)).await?;
        options.tables = Box::pin(survey::tables(&options, &self.patterns)).await?;
        options.tables.push(heartbeat::watched(database));
        let reader = Box::pin(Reader::connect(options, FileStore::new(&self.checkpoint))).await?;
        tracing::info!(source = self.name(), %primary, "following");
        Ok(Connected { primary, reader })
    }

    /// The server that takes writes. The only one is it, whatever it says.
    async fn primary(&self) -> Result<Server> {
        if let [only] = &self.file.servers[..] {
            return Ok(only.clone());
        }
        let mut reasons = Vec::new();
        for server in &self.file.servers {
            match Box::pin(survey::is_primary(&self.options(server))).await {
                Ok(true) => return Ok(server.clone()),
                Ok(false) => reasons.push(format!("{server} has read_only=1")),
                Err(error @ Error::Denied { .. }) => return Err(error.into()),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(anyhow::Error::new(NoPrimary(reasons.join("; "))))
    }

    /// Comes back when another server takes the writes and this one does not.
    async fn moved(&self, from: &Server) {
        loop {
            sleep(LOOK_EVERY).await;
            if self.file.servers.len() > 1 && Box::pin(self.primary()).await.is_ok_and(|now| now != *from) {
                return;
            }
        }
    }

    async fn follow(&self, connected: Connected, stop: &mut watch::Receiver<bool>) -> End {
        let Connected { primary, mut reader } = connected;
        let keep = KeepFile::beside(&self.checkpoint);
        let feed = async {
            let publisher = Box::pin(self.bus.publisher()).await?;
            let heartbeat = self.file.databases.first().map(|database| heartbeat::table(database));
            let options = FeedOptions { heartbeat, ..FeedOptions::default() };
            anyhow::Ok(Feed::new(publisher, Level2(self.level2.clone()), keep, options).await?)
        };
        let (mut feed, work) = match Box::pin(feed).await {
            Ok(feed) => feed,
            Err(error) => return End::Failed(error),
        };
        self.shown.follow(reader.progress(), feed.gauge());
        let (work, floors) = work.sides();
        let mut work = Box::pin(work);
        let mut floors = Owned::from(task::spawn("cdc-floors", floors));
        let end = tokio::select! {
            read = reader.run(&mut feed) => match read {
                // The work knows why nothing more is taken.
                Err(Error::Sink(_)) => End::Failed((&mut work).await.err().unwrap_or(FeedError::Ended).into()),
                Err(error) => End::Failed(error.into()),
            },
            worked = &mut work => End::Failed(worked.err().unwrap_or(FeedError::Ended).into()),
            Err(ended) = &mut floors => End::Failed(ended.into()),
            () = self.moved(&primary) => End::Moved,
            () = stopped(stop) => End::Stopped,
        };
        // What came in is still brought where it belongs, if that takes no time, so that it need not be read again.
        let settled = async {
            while aqueduct_cdc::Sink::settled(&feed) < feed.taken() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if matches!(end, End::Stopped | End::Moved) {
            let both = async {
                tokio::select! {
                    () = settled => {}
                    _ = &mut work => {}
                }
            };
            if timeout(PATIENCE, both).await.is_err() {
                tracing::warn!(
                    source = self.name(),
                    "not all is acknowledged: it is read again at the next start"
                );
            }
        }
        match reader.save(&feed).await {
            Err(error) if !matches!(end, End::Failed(_)) => End::Failed(error.into()),
            _ => end,
        }
    }
}

/// Comes back when it is asked to stop, or nobody is left to ask.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// None of the servers takes writes: a failover may be under way.
#[derive(Debug, thiserror::Error)]
#[error("no server takes writes: {0}")]
struct NoPrimary(String);

/// Whether it is worth waiting.
fn mends_itself(error: &anyhow::Error) -> bool {
    error.downcast_ref::<NoPrimary>().is_some()
        || matches!(error.downcast_ref(), Some(Error::Unreachable { .. }))
        || matches!(error.downcast_ref(), Some(jetstream::Error::Unreachable { .. }))
}

/// The tables of the file that are in this source's databases; or else those of the shop.
fn patterns(data: &DataFile, file: &SourceFile) -> Vec<Pattern> {
    let of_file = data.cdc.tables.iter().map(|table| Pattern {
        database: table.database.clone(),
        table: table.table.clone(),
        version: table.version.clone(),
    });
    if !data.cdc.tables.is_empty() {
        return of_file.collect();
    }
    let of_shop = |database: &String| Pattern {
        database: database.clone(),
        table: "orders_*".to_owned(),
        version: Some("version".to_owned()),
    };
    file.databases.iter().map(of_shop).collect()
}

/// The second level, if there is one.
#[derive(Debug)]
struct Level2(Option<l2::Store>);

impl Floors for Level2 {
    type Error = l2::Error;

    async fn invalidate(&self, table: &TableName, key: &Key, version: u64) -> Result<(), l2::Error> {
        match &self.0 {
            Some(store) => Floors::invalidate(store, table, key, version).await,
            None => Ok(()),
        }
    }

    async fn delete(&self, table: &TableName, key: &Key, version: u64) -> Result<(), l2::Error> {
        match &self.0 {
            Some(store) => Floors::delete(store, table, key, version).await,
            None => Ok(()),
        }
    }

    async fn mark(&self, table: &TableName, key: &Key) -> Result<(), l2::Error> {
        match &self.0 {
            Some(store) => Floors::mark(store, table, key).await,
            None => Ok(()),
        }
    }

    async fn masters(&self) -> Vec<Master> {
        match &self.0 {
            Some(store) => Floors::masters(store).await,
            None => Vec::new(),
        }
    }
}
