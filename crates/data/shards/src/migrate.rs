//! The schema, brought up to what this program needs: on every shard, in order, each step once.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error as Driver, Row, ServerError};

use crate::error::Error;
use crate::pool::Pool;
use crate::session::read;
use crate::shards::Shards;
use plan::{Applied, expand, plan};

/// One step of the schema, embedded in the program and never changed once it was released.
///
/// MariaDB commits every DDL statement by itself, so a step that is interrupted is begun anew from its first statement: write
/// statements that can be repeated (`CREATE TABLE IF NOT EXISTS`, `ADD COLUMN IF NOT EXISTS`, `INSERT IGNORE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its place: from 1 on, ascending.
    pub version: u32,
    /// What it does, in a few words.
    pub name: &'static str,
    /// What is run, a statement each. One with `{table}` in it is run 16 times, with `00` to `15` in that place, as in
    /// `CREATE TABLE IF NOT EXISTS orders_{table} (…)`.
    pub statements: &'static [&'static str],
}

/// A statement has been run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// On which shard.
    pub shard: u8,
    /// Of which migration.
    pub version: u32,
    /// Its name.
    pub name: &'static str,
    /// How many of its statements are done, `{table}` counted 16 times.
    pub done: usize,
    /// Of how many.
    pub of: usize,
}

/// What [`Shards::migrate`] did, over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations run.
    pub applied: usize,
    /// Migrations that had been run before.
    pub present: usize,
}

/// Why the schema cannot be brought up to date. `server` is `host:port/database`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// The embedded migrations do not ascend. A mistake of the program.
    #[error("migration {version} is out of place: versions begin at 1 and ascend")]
    Order {
        /// Which.
        version: u32,
    },
    /// A migration that was run is another now.
    #[error(
        "migration {version} ({name}) was run on {server} with other statements than this program has: restore them, and put the \
         change into a new migration"
    )]
    Changed {
        /// Where.
        server: String,
        /// Which.
        version: u32,
        /// Its name in this program.
        name: &'static str,
    },
    /// The schema is newer than the program.
    #[error("{server} has migration {version} ({name}), which this program does not know: run a newer one")]
    Newer {
        /// Where.
        server: String,
        /// Which.
        version: u32,
        /// Its name in the database.
        name: String,
    },
    /// A migration was put before one that has been run.
    #[error(
        "migration {version} ({name}) was not run on {server}, but {newest} was: give it a version above {newest}"
    )]
    Late {
        /// Where.
        server: String,
        /// Which.
        version: u32,
        /// Its name.
        name: &'static str,
        /// The newest that was run.
        newest: u32,
    },
    /// Another process held the lock for all of the time.
    #[error("another process has been migrating {server} for {waited:?}: wait for it, or end it")]
    Locked {
        /// Where.
        server: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A statement was refused.
    #[error("migration {version} ({name}) fails on {server} at statement {done_plus_one} of {of}: {source}; correct it and start again", done_plus_one = .done + 1)]
    Statement {
        /// Where.
        server: String,
        /// Which.
        version: u32,
        /// Its name.
        name: &'static str,
        /// How many of its statements were run.
        done: usize,
        /// Of how many.
        of: usize,
        /// The server's error.
        source: ServerError,
    },
}

/// How long a second starter waits for the first.
const LOCK_WAIT: Duration = Duration::from_mins(1);
/// Locks are the server's, not the database's. Its names may have 64 characters.
const LOCK: &str = "SELECT GET_LOCK(CONCAT('aqueduct/', LEFT(SHA2(DATABASE(), 256), 40)), ?)";
const UNLOCK: &str = "DO RELEASE_LOCK(CONCAT('aqueduct/', LEFT(SHA2(DATABASE(), 256), 40)))";
const TABLE: &str = "CREATE TABLE IF NOT EXISTS aqueduct_migrations (
    version INT UNSIGNED NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    checksum CHAR(64) CHARACTER SET ascii NOT NULL,
    applied_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE = InnoDB";
const APPLIED: &str = "SELECT version, name, checksum FROM aqueduct_migrations ORDER BY version";
const RECORD: &str = "INSERT INTO aqueduct_migrations (version, name, checksum) VALUES (?, ?, ?)";

impl Shards {
    /// Runs on every shard the migrations that were not run there, one shard after the other, and records each in the table
    /// `aqueduct_migrations`. `progress` is told of every statement. A lock makes a second starter wait for the first, for a minute.
    ///
    /// Statements have no time limit: a large table takes as long as it takes.
    ///
    /// # Errors
    /// [`Error::Migrate`], and the errors of connections. What was run stays, and the next call goes on from there.
    pub async fn migrate(
        &self,
        migrations: &[Migration],
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Migrated, Error> {
        plan::check_order(migrations)?;
        let mut migrated = Migrated::default();
        for (shard, pool) in self.primaries()? {
            let mut conn = pool.open_alone().await?;
            let mut run = Run { shard, pool, conn: &mut conn, progress };
            run.lock().await?;
            let applied = run.all(migrations).await;
            // An error of the unlocking tells nothing new: the lock goes with the connection.
            drop(conn.query_drop(UNLOCK).await);
            drop(conn.disconnect().await);
            migrated.applied += applied?;
        }
        migrated.present = migrations.len() * usize::from(crate::route::SHARDS) - migrated.applied;
        Ok(migrated)
    }
}

/// The migration of one shard.
struct Run<'a> {
    shard: u8,
    pool: Arc<Pool>,
    conn: &'a mut Conn,
    progress: &'a mut (dyn FnMut(Progress) + Send),
}

impl Run<'_> {
    async fn lock(&mut self) -> Result<(), Error> {
        let locked: Option<Option<i64>> =
            self.conn.exec_first(LOCK, (LOCK_WAIT.as_secs(),)).await.map_err(|error| self.error(error))?;
        if locked.flatten() == Some(1) {
            return Ok(());
        }
        Err(MigrateError::Locked { server: self.pool.name.clone(), waited: LOCK_WAIT }.into())
    }

    /// Tells how many were run.
    async fn all(&mut self, migrations: &[Migration]) -> Result<usize, Error> {
        self.conn.query_drop(TABLE).await.map_err(|error| self.error(error))?;
        let rows: Vec<Row> = self.conn.query(APPLIED).await.map_err(|error| self.error(error))?;
        let applied = rows.into_iter().map(|row| {
            let (version, name, checksum) = read(&self.pool.name, row)?;
            Ok(Applied { version, name, checksum })
        });
        let applied = applied.collect::<Result<Vec<_>, Error>>()?;
        let missing = plan(&self.pool.name, migrations, &applied)?;
        for migration in missing {
            self.one(migration).await?;
        }
        Ok(missing.len())
    }

    async fn one(&mut self, migration: &Migration) -> Result<(), Error> {
        let Migration { version, name, .. } = *migration;
        let statements = expand(migration.statements);
        let of = statements.len();
        tracing::info!(server = self.pool.name, version, name, statements = of, "migration begins");
        for (done, statement) in statements.iter().enumerate() {
            self.conn.query_drop(statement).await.map_err(|error| match error {
                Driver::Server(source) => {
                    let server = self.pool.name.clone();
                    MigrateError::Statement { server, version, name, done, of, source }.into()
                }
                error => self.error(error),
            })?;
            (self.progress)(Progress { shard: self.shard, version, name, done: done + 1, of });
        }
        let record = (version, name, plan::checksum(migration));
        self.conn.exec_drop(RECORD, record).await.map_err(|error| self.error(error))?;
        tracing::info!(server = self.pool.name, version, name, "migration ends");
        Ok(())
    }

    fn error(&self, error: Driver) -> Error {
        Error::statement(&self.pool.name, error)
    }
}
