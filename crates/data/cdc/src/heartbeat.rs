//! The heartbeat of an instance: its row in the primary, written again and again.
//!
//! A [`Follower`](crate::follow::Follower) hears of it over the bus, and knows then that it has heard of everything that was committed
//! before. The table must be in the primary that the feed follows, and is the same for all instances ([`create`]):
//!
//! ```sql
//! CREATE TABLE aqueduct_heartbeat (instance BIGINT UNSIGNED PRIMARY KEY, beat BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aqueduct_runtime::clock;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error, OptsBuilder, SslOpts};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::change::TableName;
use crate::follow::Beats;
use crate::options::Watched;

/// The name of the table, in a database of one's choice.
pub const TABLE: &str = "aqueduct_heartbeat";

/// The table's names, for a database.
pub fn table(database: &str) -> TableName {
    TableName { database: database.to_owned(), table: TABLE.to_owned() }
}

/// The table as the reader must watch it.
pub fn watched(database: &str) -> Watched {
    Watched::exact(database, TABLE, "beat")
}

/// The statement that creates the table where it is not yet there.
pub fn create(database: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {}.{TABLE} (instance BIGINT UNSIGNED PRIMARY KEY, beat BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB",
        quoted(database)
    )
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// How to write the row.
#[derive(Clone)]
pub struct HeartOptions {
    /// Where the primary is.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who logs in; needs INSERT, UPDATE and DELETE on the table.
    pub user: String,
    /// With what.
    pub password: String,
    /// How its certificate is verified; `None`: the connection is not encrypted.
    pub tls: Option<SslOpts>,
    /// Where the table is.
    pub database: String,
    /// Whose row. No two instances may have the same.
    pub instance: u64,
    /// From beat to beat: a quarter of what a reader may be behind.
    pub every: Duration,
}

/// Without the password.
impl std::fmt::Debug for HeartOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeartOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("instance", &self.instance)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// The rows of instances that did not beat for so long are removed.
const FORGET: Duration = Duration::from_hours(24);

/// Writes an instance's row.
#[derive(Debug)]
pub struct Heart {
    options: HeartOptions,
    beats: Beats,
    /// Unix milliseconds at first, so that it is above those of the process before.
    beat: u64,
    failures: Arc<AtomicU64>,
}

impl Heart {
    /// Tells `beats` of each one before it is sent.
    pub fn new(options: HeartOptions, beats: Beats) -> Self {
        Self { options, beats, beat: clock::now_unix_ms(), failures: Arc::default() }
    }

    /// How many could not be written, to be read from elsewhere.
    pub fn failures(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.failures)
    }

    /// Beats until it is dropped. A primary that does not answer is tried again; nobody's caches are current meanwhile.
    pub async fn run(mut self) -> Infallible {
        let mut ticks = interval(self.options.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut conn = None;
        let mut failing = false;
        loop {
            ticks.tick().await;
            let limit = (self.options.every * 4).max(Duration::from_secs(1));
            let went = match timeout(limit, Box::pin(self.beat(conn.take()))).await {
                Ok(Ok(open)) => {
                    conn = Some(open);
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer in {limit:?}")),
            };
            if let Some(error) = went {
                self.failures.fetch_add(1, Relaxed);
                if !failing {
                    let server = format!("{}:{}", self.options.host, self.options.port);
                    tracing::warn!(server, error, "a heartbeat could not be written; trying again");
                }
                failing = true;
            } else {
                failing = false;
            }
        }
    }

    async fn beat(&mut self, conn: Option<Conn>) -> Result<Conn, Error> {
        let mut conn = match conn {
            Some(conn) => conn,
            None => self.dial().await?,
        };
        let HeartOptions { database, instance, .. } = &self.options;
        let database = quoted(database);
        self.beat += 1;
        self.beats.sent(self.beat, Instant::now());
        let sql = format!(
            "INSERT INTO {database}.{TABLE} (instance, beat) VALUES (?, ?) ON DUPLICATE KEY UPDATE beat = ?"
        );
        conn.exec_drop(sql, (instance, self.beat, self.beat)).await?;
        Ok(conn)
    }

    async fn dial(&self) -> Result<Conn, Error> {
        let HeartOptions { host, port, user, password, tls, database, .. } = &self.options;
        let driver = OptsBuilder::default()
            .ip_or_hostname(host.clone())
            .tcp_port(*port)
            .user(Some(user.clone()))
            .pass(Some(password.clone()))
            .ssl_opts(tls.clone())
            .prefer_socket(false);
        let mut conn = Conn::new(driver).await?;
        let old = self.beat.saturating_sub(u64::try_from(FORGET.as_millis()).unwrap_or(u64::MAX));
        let sql = format!("DELETE FROM {}.{TABLE} WHERE beat < ?", quoted(database));
        conn.exec_drop(sql, (old,)).await?;
        Ok(conn)
    }
}
