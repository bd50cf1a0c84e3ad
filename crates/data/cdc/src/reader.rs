//! Follows one server: connects, reads, hands over, saves, and begins again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use mysql_async::binlog::events::Event;
use mysql_async::prelude::Queryable as _;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Error as Driver};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::assemble::Assembler;
use crate::change::{EpochBump, Reason, Scope, Sink, Transaction};
use crate::check;
use crate::checkpoint::{CheckpointError, Store};
use crate::connect;
use crate::decode::Decoder;
use crate::error::Error;
use crate::gtid::Position;
use crate::options::Options;
use crate::progress::Progress;
use crate::settling::Settling;

/// A reader of one server's binlog.
#[derive(Debug)]
pub struct Reader<S> {
    options: Options,
    store: Arc<S>,
    /// Behind the last transaction that the sink took; or why there is none.
    position: Result<Position, Reason>,
    settling: Settling,
    /// When the store is to be told of what has settled.
    save_at: Option<Instant>,
    /// A checkpoint that is being written. A disk takes its time to sync, and the changes do not wait for it.
    saving: Option<JoinHandle<Result<(), CheckpointError>>>,
    progress: Progress,
}

/// Why following ended, if the reader goes on.
enum Broken {
    /// The connection.
    Cut(String),
    /// The server does not have the position.
    Lost(String),
}

impl<S: Store> Reader<S> {
    /// Checks the server, the tables and the checkpoint. Without a checkpoint it will begin at the current position, after
    /// bumping all epochs.
    pub async fn connect(options: Options, store: S) -> Result<Self, Error> {
        let store = Arc::new(store);
        let position = blocking(&store, S::load).await?.ok_or(Reason::NoCheckpoint);
        let progress = Progress::default();
        let settling = Settling::default();
        let reader = Self { options, store, position, settling, save_at: None, saving: None, progress };
        let mut conn = reader.dial().await?;
        let found = check::findings(&mut conn, &reader.options.tables).await;
        let findings = found.map_err(|error| reader.broken(&error))?;
        if findings.is_empty() {
            Box::pin(reader.probe()).await?;
            Ok(reader)
        } else {
            Err(Error::Setup { server: reader.server(), findings })
        }
    }

    /// Asks for the stream, to be told now if that is not granted, and hangs up when the server has begun with it: by then it has
    /// ended the stream of the server id's earlier client. Later it could take the next one for that.
    async fn probe(&self) -> Result<(), Error> {
        let mut stream = self.request(&Position::default()).await?;
        match timeout(self.options.heartbeat * 2, stream.next()).await {
            // What else is wrong, also a purged position, is met again when it is followed.
            Ok(Some(Err(error))) => self.ended(&error).map(drop),
            Ok(Some(Ok(_)) | None) | Err(_) => Ok(()),
        }
    }

    /// How far it is, to be read from elsewhere.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Writes the checkpoint, at what the sink says has settled. For a clean end, after [`Reader::run`] was dropped.
    pub async fn save(&mut self, sink: &impl Sink) -> Result<(), Error> {
        if let Some(saving) = self.saving.take() {
            joined(saving.await)?;
        }
        let Some(position) = self.settling.settled(sink.settled()) else { return Ok(()) };
        blocking(&self.store, move |store| store.save(&position)).await
    }

    /// Hands every transaction to `sink`, until one of the reasons in [`Error`]. It may be dropped at any time: whoever connects
    /// again goes on at the checkpoint.
    pub async fn run<K: Sink>(&mut self, sink: &mut K) -> Result<Infallible, Error> {
        loop {
            let went = match self.position.clone() {
                Ok(position) => Box::pin(self.follow(position, sink)).await,
                Err(reason) => Box::pin(self.restart(reason, sink)).await.map(|()| None),
            };
            let why = match went {
                Ok(None) => continue,
                Ok(Some(Broken::Lost(words))) => {
                    self.position = Err(Reason::PositionLost(words.clone()));
                    words
                }
                Ok(Some(Broken::Cut(words))) => words,
                Err(Error::Unreachable { message, .. }) => message,
                Err(error) => return Err(error),
            };
            self.progress.broke_off();
            tracing::warn!(server = self.server(), why, "the binlog broke off; trying again");
            sleep(self.options.retry).await;
        }
    }

    /// Begins at what is current, having told that everything before may be stale.
    async fn restart<K: Sink>(&mut self, reason: Reason, sink: &mut K) -> Result<(), Error> {
        let mut conn = self.dial().await?;
        let position = visible(&mut conn).await.map_err(|error| self.broken(&error))?;
        let bumps = vec![EpochBump { scope: Scope::All, reason }];
        self.hand_over(Transaction { gtid: None, bumps, changes: Vec::new(), resume: position }, sink)
            .await?;
        self.save_some(sink).await
    }

    async fn follow<K: Sink>(&mut self, from: Position, sink: &mut K) -> Result<Option<Broken>, Error> {
        let mut stream = self.request(&from).await?;
        let mut decoder = Decoder::new(self.options.tables.clone());
        let mut assembler = Assembler::new(from, self.options.max_keys, self.options.max_prepared);
        let mut facts = Vec::new();
        let mut silent_at = Instant::now() + self.options.heartbeat * 2;
        loop {
            let wake = self.save_at.map_or(silent_at, |at| at.min(silent_at));
            let event = match timeout_at(wake, stream.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return self.ended(&error).map(Some),
                Ok(None) => return Ok(Some(Broken::Cut("the server ended the stream".to_owned()))),
                Err(_) if Instant::now() < silent_at => {
                    self.save_some(sink).await?;
                    continue;
                }
                Err(_) => return Ok(Some(Broken::Cut("the server fell silent".to_owned()))),
            };
            silent_at = Instant::now() + self.options.heartbeat * 2;
            self.progress.heard(event.header().timestamp());
            self.decode(&mut decoder, &event, &mut facts)?;
            for fact in facts.drain(..) {
                if let Some(transaction) = assembler.push(fact) {
                    self.hand_over(transaction, sink).await?;
                }
            }
            if self.save_at.is_some_and(|at| at <= Instant::now()) {
                self.save_some(sink).await?;
            }
        }
    }

    fn decode(
        &self,
        decoder: &mut Decoder,
        event: &Event,
        facts: &mut Vec<crate::Fact>,
    ) -> Result<(), Error> {
        let header = event.header();
        let head = (header.event_type_raw(), header.flags_raw(), header.server_id());
        decoder
            .decode(head, event.data(), facts)
            .map_err(|source| Error::Unreadable { server: self.server(), source })
    }

    /// Nothing moves on before the sink has it.
    async fn hand_over<K: Sink>(&mut self, transaction: Transaction, sink: &mut K) -> Result<(), Error> {
        if !transaction.bumps.is_empty() {
            Box::pin(self.wait_visible()).await?;
        }
        if !(transaction.bumps.is_empty() && transaction.changes.is_empty()) {
            sink.deliver(&transaction).await.map_err(|error| Error::Sink(Box::new(error)))?;
            self.settling.took();
        }
        self.settling.passed(transaction.resume.clone());
        self.position = Ok(transaction.resume);
        self.save_at.get_or_insert_with(|| Instant::now() + self.options.checkpoint_every);
        Ok(())
    }

    /// Writes the checkpoint, and comes back if there is more to settle.
    async fn save_some<K: Sink>(&mut self, sink: &mut K) -> Result<(), Error> {
        let pause = self.options.checkpoint_every.max(Duration::from_millis(10));
        if self.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            self.save_at = Some(Instant::now() + pause);
            return Ok(());
        }
        if let Some(saving) = self.saving.take() {
            joined(saving.await)?;
        }
        if let Some(position) = self.settling.settled(sink.settled()) {
            let store = Arc::clone(&self.store);
            self.saving = Some(tokio::task::spawn_blocking(move || store.save(&position)));
        }
        // Looked at again also to hear how it went.
        let more = self.settling.waits() || self.saving.is_some();
        self.save_at = more.then(|| Instant::now() + pause);
        Ok(())
    }

    /// Until every SELECT sees what the binlog has by now, some milliseconds later. A bump has no version, and what it makes
    /// anybody read must not be older.
    async fn wait_visible(&self) -> Result<(), Error> {
        let mut conn = self.dial().await?;
        let broken = |error: Driver| self.broken(&error);
        let written: Option<String> = conn.query_first("SELECT @@gtid_binlog_pos").await.map_err(broken)?;
        let written: Position = written.unwrap_or_default().parse().unwrap_or_default();
        let mut pause = Duration::from_millis(1);
        while !visible(&mut conn).await.map_err(broken)?.covers(&written) {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        Ok(())
    }

    async fn dial(&self) -> Result<Conn, Error> {
        connect::dial(&self.options).await
    }

    async fn request(&self, from: &Position) -> Result<BinlogStream, Error> {
        let mut conn = self.dial().await?;
        let broken = |error: Driver| self.broken(&error);
        // Without the first, GTIDs are kept back and a distributed transaction ends the stream. A position is digits, minus
        // and comma.
        let sql = format!(
            "SET @mariadb_slave_capability=4, @slave_connect_state='{from}', @slave_gtid_strict_mode=1, \
             @master_heartbeat_period={}",
            self.options.heartbeat.as_nanos()
        );
        conn.query_drop(sql).await.map_err(broken)?;
        let request = BinlogStreamRequest::new(self.options.server_id);
        Box::pin(conn.get_binlog_stream(request)).await.map_err(broken)
    }

    /// What an error in the stream means.
    fn ended(&self, error: &Driver) -> Result<Broken, Error> {
        match error {
            Driver::Server(server) if server.code == 1236 => Ok(Broken::Lost(server.message.clone())),
            _ => match self.broken(error) {
                Error::Unreachable { message, .. } => Ok(Broken::Cut(message)),
                fatal => Err(fatal),
            },
        }
    }

    fn broken(&self, error: &Driver) -> Error {
        connect::broken(&self.options, error)
    }

    fn server(&self) -> String {
        connect::server(&self.options)
    }
}

/// The position at which everything before it can be read: the end of the binlog may be some milliseconds ahead of that, and an
/// epoch that begins there could be filled with what is older.
async fn visible(conn: &mut Conn) -> Result<Position, Driver> {
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
    let status: Vec<(String, String)> = conn.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    let value = |name: &str| {
        let found = status.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let (file, offset) = (value("Binlog_snapshot_file"), value("Binlog_snapshot_position"));
    let at: Option<Option<String>> = conn.exec_first("SELECT BINLOG_GTID_POS(?, ?)", (file, offset)).await?;
    conn.query_drop("ROLLBACK").await?;
    let at = at.flatten().ok_or_else(|| Driver::Other("BINLOG_GTID_POS knows no current position".into()))?;
    at.parse().map_err(|error| Driver::Other(Box::new(error)))
}

async fn blocking<S: Store, T: Send + 'static>(
    store: &Arc<S>,
    call: impl FnOnce(&S) -> Result<T, CheckpointError> + Send + 'static,
) -> Result<T, Error> {
    let store = Arc::clone(store);
    joined(tokio::task::spawn_blocking(move || call(&store)).await)
}

fn joined<T>(ended: Result<Result<T, CheckpointError>, JoinError>) -> Result<T, Error> {
    match ended {
        Ok(done) => Ok(done?),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
