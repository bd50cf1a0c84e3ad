//! What is read, and how much is held.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::SslOpts;

use crate::change::TableName;

/// A table whose changes are wanted.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its names, in the case in which the server writes them.
    pub name: Arc<TableName>,
    /// A column of an integer type that grows with every change of a row. Without it the table's versions are
    /// [`Version::Bounded`](crate::Version::Bounded).
    pub version: Option<String>,
}

impl Watched {
    /// A table with a version column.
    pub fn exact(database: &str, table: &str, version: &str) -> Self {
        Self { version: Some(version.to_owned()), ..Self::bounded(database, table) }
    }

    /// A table without one.
    pub fn bounded(database: &str, table: &str) -> Self {
        let name = Arc::new(TableName { database: database.to_owned(), table: table.to_owned() });
        Self { name, version: None }
    }
}

/// How to follow one server. All but the first five have defaults in [`Options::new`].
#[derive(Clone)]
pub struct Options {
    /// Where the server is.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who logs in; needs REPLICATION SLAVE, and SELECT on the watched tables to see them.
    pub user: String,
    /// With what.
    pub password: String,
    /// How its certificate is verified; `None`: the connections are not encrypted.
    pub tls: Option<SslOpts>,
    /// The tables.
    pub tables: Vec<Watched>,
    /// The number under which the reader is known to the server; no replica and no other reader may have it.
    pub server_id: u32,
    /// A transaction with more changes becomes an epoch bump for each of its tables. Also bounds memory.
    pub max_keys: usize,
    /// So many prepared distributed transactions are held; the commit of one that is not bumps all epochs.
    pub max_prepared: usize,
    /// How often a checkpoint is written at most. What comes after the last is read again after a crash.
    pub checkpoint_every: Duration,
    /// A server that sends nothing for twice this long is connected to anew.
    pub heartbeat: Duration,
    /// How long to wait before the server is tried again.
    pub retry: Duration,
}

impl Options {
    /// Follows the server at `host:port`.
    pub fn new(host: &str, port: u16, user: &str, password: &str, tables: Vec<Watched>) -> Self {
        Self {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            password: password.to_owned(),
            tls: None,
            tables,
            server_id: 4_200_001,
            max_keys: 10_000,
            max_prepared: 1024,
            checkpoint_every: Duration::from_millis(200),
            heartbeat: Duration::from_secs(5),
            retry: Duration::from_millis(200),
        }
    }
}

/// Without the password.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("tables", &self.tables)
            .field("server_id", &self.server_id)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
