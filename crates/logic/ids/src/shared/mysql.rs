//! The register in a table of MySQL (8 and later) or MariaDB (10.6 and later).
//!
//! What the server must be: the primary, with `innodb_flush_log_at_trx_commit = 1` (its default). A failover to a replica that has
//! not got the last commits forgets the last claims and marks, so that IDs of the last term may be minted again: let replicas
//! acknowledge (`rpl_semi_sync_master_enabled`), or use etcd, where a majority has what is acknowledged.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use tokio::sync::Mutex;

use super::{Entry, Register, RegisterError, Row, Settings};

/// Created where they are missing.
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS aqueduct_id_settings (
        one TINYINT UNSIGNED NOT NULL PRIMARY KEY,
        sequence_bits INT UNSIGNED NOT NULL,
        epoch_ms BIGINT UNSIGNED NOT NULL
    ) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS aqueduct_id_workers (
        worker SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
        version BIGINT UNSIGNED NOT NULL,
        holder VARCHAR(192) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
        mark BIGINT UNSIGNED NOT NULL
    ) ENGINE = InnoDB",
];
/// ER_DUP_ENTRY: another node was faster.
const DUPLICATE: u16 = 1062;

type Connecting = Pin<Box<dyn Future<Output = Result<Conn, mysql_async::Error>> + Send>>;
type Connect = Arc<dyn Fn() -> Connecting + Send + Sync>;

/// The register in a database. One connection, which is made anew after any error.
#[derive(Clone)]
pub struct Mysql {
    place: String,
    connect: Connect,
    kept: Arc<Mutex<Option<Conn>>>,
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Mysql {
    /// In the database that `options` name.
    pub fn new(options: Opts) -> Self {
        let place = format!(
            "the database {} on {}:{}",
            options.db_name().unwrap_or_default(),
            options.ip_or_hostname(),
            options.tcp_port()
        );
        Self::with(place, move || Conn::new(options.clone()))
    }

    /// In the database that `connect` connects to: it chooses the primary each time. `place` is what people call it.
    pub fn with<F>(place: String, connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Conn, mysql_async::Error>> + Send + 'static,
    {
        let connect: Connect = Arc::new(move || Box::pin(connect()));
        Self { place, connect, kept: Arc::default() }
    }

    /// The connection, or a new one. It is kept only after all went well: a server that is no primary any more refuses, and one
    /// that did not answer may be in the middle of something.
    async fn connection(&self) -> Result<Conn, RegisterError> {
        let kept = self.kept.lock().await.take();
        match kept {
            Some(connection) => Ok(connection),
            None => (self.connect)().await.map_err(|error| self.failed(&error)),
        }
    }

    async fn keep(&self, connection: Conn) {
        *self.kept.lock().await = Some(connection);
    }

    fn failed(&self, error: &mysql_async::Error) -> RegisterError {
        RegisterError(format!("{}: {error}", self.place))
    }
}

impl Register for Mysql {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn settings(&self, proposed: Settings) -> Result<Settings, RegisterError> {
        let mut connection = self.connection().await?;
        let (flush, stored) = settle(&mut connection, proposed).await.map_err(|error| self.failed(&error))?;
        self.keep(connection).await;
        if flush != Some(1) {
            tracing::warn!(
                place = self.place,
                "innodb_flush_log_at_trx_commit is not 1: ids may be minted again after this server has crashed"
            );
        }
        let none = || RegisterError(format!("{}: the settings are gone again", self.place));
        let (sequence_bits, epoch_ms) = stored.ok_or_else(none)?;
        Ok(Settings { sequence_bits, epoch_ms })
    }

    async fn read(&self) -> Result<Vec<(u16, Entry)>, RegisterError> {
        let mut connection = self.connection().await?;
        let rows = connection.query("SELECT worker, version, holder, mark FROM aqueduct_id_workers").await;
        let rows: Vec<(u16, u64, String, u64)> = rows.map_err(|error| self.failed(&error))?;
        self.keep(connection).await;
        let entry = |(worker, version, holder, mark)| (worker, Entry { version, row: Row { holder, mark } });
        Ok(rows.into_iter().map(entry).collect())
    }

    async fn swap(&self, worker: u16, expect: u64, row: Row) -> Result<Option<u64>, RegisterError> {
        let mut connection = self.connection().await?;
        let swapped =
            swap(&mut connection, (worker, expect), row).await.map_err(|error| self.failed(&error))?;
        self.keep(connection).await;
        Ok(swapped)
    }
}

/// The setting that durability hangs on, and what is stored.
async fn settle(
    connection: &mut Conn,
    Settings { sequence_bits, epoch_ms }: Settings,
) -> Result<(Option<u8>, Option<(u32, u64)>), mysql_async::Error> {
    for table in TABLES {
        connection.query_drop(table).await?;
    }
    let flush = connection.query_first("SELECT @@innodb_flush_log_at_trx_commit").await?;
    let first = format!("INSERT IGNORE INTO aqueduct_id_settings VALUES (0, {sequence_bits}, {epoch_ms})");
    connection.query_drop(first).await?;
    let stored = connection.query_first("SELECT sequence_bits, epoch_ms FROM aqueduct_id_settings").await?;
    Ok((flush, stored))
}

async fn swap(
    connection: &mut Conn,
    (worker, expect): (u16, u64),
    Row { holder, mark }: Row,
) -> Result<Option<u64>, mysql_async::Error> {
    if expect == 0 {
        let insert = "INSERT INTO aqueduct_id_workers VALUES (?, 1, ?, ?)";
        return match connection.exec_drop(insert, (worker, holder, mark)).await {
            Ok(()) => Ok(Some(1)),
            Err(mysql_async::Error::Server(error)) if error.code == DUPLICATE => Ok(None),
            Err(error) => Err(error),
        };
    }
    let update = "UPDATE aqueduct_id_workers SET version = version + 1, holder = ?, mark = ? \
                  WHERE worker = ? AND version = ?";
    connection.exec_drop(update, (holder, mark, worker, expect)).await?;
    Ok((connection.affected_rows() == 1).then_some(expect + 1))
}
