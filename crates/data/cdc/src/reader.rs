//! Follows one server: connects, reads, hands over, saves, and begins again.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::StreamExt as _;
use mysql_async::binlog::events::Event;
use mysql_async::prelude::Queryable as _;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Error as Driver, OptsBuilder};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::assemble::Assembler;
use crate::change::{EpochBump, Reason, Scope, Sink, Transaction};
use crate::check;
use crate::checkpoint::{CheckpointError, Store};
use crate::decode::Decoder;
use crate::error::Error;
use crate::gtid::Position;
use crate::options::Options;

/// A reader of one server's binlog.
#[derive(Debug)]
pub struct Reader<S> {
    options: Options,
    store: Arc<S>,
    /// The last position that was acknowledged; or why there is none.
    position: Result<Position, Reason>,
    /// When the store is to be told of it.
    save_at: Option<Instant>,
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
        let reader = Self { options, store, position, save_at: None };
        let mut conn = reader.dial().await?;
        let found = check::findings(&mut conn, &reader.options.tables).await;
        let findings = found.map_err(|error| reader.broken(&error))?;
        if findings.is_empty() {
            // Asks for the stream, to be told now if that is not granted, and hangs up.
            let stream = Box::pin(reader.request(&Position::default())).await?;
            drop(stream);
            Ok(reader)
        } else {
            Err(Error::Setup { server: reader.server(), findings })
        }
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
        self.save().await
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
                    self.save().await?;
                    continue;
                }
                Err(_) => return Ok(Some(Broken::Cut("the server fell silent".to_owned()))),
            };
            silent_at = Instant::now() + self.options.heartbeat * 2;
            self.decode(&mut decoder, &event, &mut facts)?;
            for fact in facts.drain(..) {
                if let Some(transaction) = assembler.push(fact) {
                    self.hand_over(transaction, sink).await?;
                }
            }
            if self.save_at.is_some_and(|at| at <= Instant::now()) {
                self.save().await?;
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

    /// Nothing moves on before the sink has acknowledged.
    async fn hand_over<K: Sink>(&mut self, transaction: Transaction, sink: &mut K) -> Result<(), Error> {
        if !(transaction.bumps.is_empty() && transaction.changes.is_empty()) {
            sink.deliver(&transaction).await.map_err(|error| Error::Sink(Box::new(error)))?;
        }
        self.position = Ok(transaction.resume);
        self.save_at.get_or_insert_with(|| Instant::now() + self.options.checkpoint_every);
        Ok(())
    }

    async fn save(&mut self) -> Result<(), Error> {
        if let Ok(position) = self.position.clone() {
            blocking(&self.store, move |store| store.save(&position)).await?;
        }
        self.save_at = None;
        Ok(())
    }

    async fn dial(&self) -> Result<Conn, Error> {
        let options = &self.options;
        let driver = OptsBuilder::default()
            .ip_or_hostname(options.host.clone())
            .tcp_port(options.port)
            .user(Some(options.user.clone()))
            .pass(Some(options.password.clone()))
            .prefer_socket(false)
            // An event may be as long as the protocol allows.
            .max_allowed_packet(Some(1 << 30));
        let limit = options.heartbeat * 2;
        match timeout(limit, Box::pin(Conn::new(driver))).await {
            Ok(conn) => conn.map_err(|error| self.broken(&error)),
            Err(_) => Err(self.unreachable(format!("no answer in {limit:?}"))),
        }
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
        let server = self.server();
        match error {
            Driver::Server(refused) => match refused.code {
                1044 | 1045 | 1142 | 1227 | 1698 => Error::Denied {
                    server,
                    user: self.options.user.clone(),
                    message: refused.message.clone(),
                },
                4052 => Error::SameServerId { server, id: self.options.server_id },
                _ => self.unreachable(error.to_string()),
            },
            _ => self.unreachable(error.to_string()),
        }
    }

    fn unreachable(&self, message: String) -> Error {
        Error::Unreachable { server: self.server(), message }
    }

    fn server(&self) -> String {
        format!("{}:{}", self.options.host, self.options.port)
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
    match tokio::task::spawn_blocking(move || call(&store)).await {
        Ok(done) => Ok(done?),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
