//! The store on MySQL (8 and later) and MariaDB (10.6 and later), for any number of coordinators.
//!
//! Claims are `SELECT … FOR UPDATE SKIP LOCKED`; all times are the server's, so that a node's own clock matters to nobody.
//! Creations and transitions of this process go through [`Writing`], which puts what queued up into one transaction; what is
//! read of single sagas goes the same way.

mod quick;
mod reader;
mod sql;
mod writer;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Pool};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::clock::millis;
use crate::error::StoreError;
use crate::id::SagaId;
use crate::store::{Append, Change, Creation, Figures, New, Store, Stored};
use crate::view::{Filter, Millis, Status, Summary};
use reader::Wanted;
pub use sql::TABLES;
use sql::{HEADER, NOW, header_of, id_list, status_code};
use writer::Request;
pub use writer::Writing;

/// Requests that wait for the writer, or for the reader; beyond, who asks waits.
const QUEUE: usize = 8192;
/// The most sagas whose leases are renewed by one statement.
const MOST_RENEWED: usize = 500;
/// How long the server may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// Times at which something of this process is due are kept this exactly at best, and else to a part of the time until then:
/// each of them costs a claim.
const BUCKET: Millis = 25;
const PART: Millis = 16;

/// Sagas in a database. Cheap to clone.
#[derive(Clone)]
pub struct Mysql(Arc<Inner>);

struct Inner {
    pool: Pool,
    queue: mpsc::Sender<Request>,
    wanted: mpsc::Sender<Wanted>,
    /// What the server's clock showed, and when that was here.
    clock: Mutex<(Millis, Instant)>,
    /// When something that this process has written is due.
    due: Mutex<BTreeSet<Millis>>,
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mysql")
    }
}

impl Mysql {
    /// Opens the store in the pool's database, creating its tables where they are missing, and the future that writes for
    /// it: the caller spawns that, once.
    pub async fn open(pool: Pool) -> Result<(Self, Writing), StoreError> {
        let mut connection = pool.get_conn().await.map_err(unavailable)?;
        for table in TABLES {
            connection.query_drop(table).await.map_err(unavailable)?;
        }
        let clock = server_clock(&mut connection).await?;
        drop(connection);
        let (queue, requests) = mpsc::channel(QUEUE);
        let (wanted, reads) = mpsc::channel(QUEUE);
        let writing = Writing::new(&pool, requests, reads);
        let clock = Mutex::new((clock, Instant::now()));
        let inner = Inner { pool, queue, wanted, clock, due: Mutex::default() };
        Ok((Self(Arc::new(inner)), writing))
    }

    async fn connection(&self) -> Result<Conn, StoreError> {
        self.0.pool.get_conn().await.map_err(unavailable)
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.0.queue.send(request(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    fn due(&self) -> MutexGuard<'_, BTreeSet<Millis>> {
        self.0.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_due(&self, at: Option<Millis>) {
        if let Some(at) = at {
            let bucket = (at.saturating_sub(self.now()) / PART).max(BUCKET);
            self.due().insert(at.div_ceil(bucket) * bucket);
        }
    }
}

fn ended() -> StoreError {
    StoreError::Failed("its writer has ended".to_owned())
}

/// A server that stands still is as good as one that is gone.
async fn within<T>(what: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| StoreError::Unavailable(format!("no answer within {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, what).await.map_err(late)?
}

/// The server's clock.
async fn server_clock(connection: &mut Conn) -> Result<Millis, StoreError> {
    let now: Option<Millis> = connection.query_first(format!("SELECT {NOW}")).await.map_err(unavailable)?;
    now.ok_or_else(|| StoreError::Unavailable("the server has no clock".to_owned()))
}

#[expect(clippy::needless_pass_by_value, reason = "that is how errors are mapped")]
fn unavailable(error: mysql_async::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl Store for Mysql {
    fn now(&self) -> Millis {
        let (shown, at) = *self.0.clock.lock().unwrap_or_else(PoisonError::into_inner);
        shown.saturating_add(millis(at.elapsed()))
    }

    async fn create(&self, new: New) -> Result<Creation, StoreError> {
        let due_at = new.header.due_at;
        let created = self.ask(|reply| Request::Create(new, reply)).await?;
        self.note_due(due_at);
        Ok(created)
    }

    async fn append(&self, change: Change) -> Result<Append, StoreError> {
        let due_at = change.due_at;
        let applied = self.ask(|reply| Request::Append(change, reply)).await?;
        self.note_due(due_at);
        Ok(applied)
    }

    async fn claim(&self, most: usize, lease: Duration) -> Result<Vec<Stored>, StoreError> {
        within(async {
            let mut connection = self.connection().await?;
            let now = server_clock(&mut connection).await?;
            *self.0.clock.lock().unwrap_or_else(PoisonError::into_inner) = (now, Instant::now());
            self.due().retain(|at| *at > now);
            let until = now.saturating_add(millis(lease));
            claim(&mut connection, now, until, most).await.map_err(unavailable)
        })
        .await
    }

    fn next_due(&self) -> Millis {
        self.due().first().copied().unwrap_or(Millis::MAX)
    }

    async fn renew(&self, held: Vec<(SagaId, u64)>, due_at: Millis) -> Result<(), StoreError> {
        within(async {
            let mut connection = self.connection().await?;
            for held in held.chunks(MOST_RENEWED) {
                let sql = sql::renew(held, due_at);
                connection.query_drop(sql).await.map_err(unavailable)?;
            }
            self.note_due(Some(due_at));
            Ok(())
        })
        .await
    }

    async fn load(&self, id: &SagaId) -> Result<Option<Stored>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.0.wanted.send(Wanted { id: id.clone(), reply }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Summary>, StoreError> {
        within(async {
            let after = filter.after.as_ref().map_or("", SagaId::as_str);
            let status = filter
                .wanted()
                .map_or_else(String::new, |status| format!(" AND status = {}", status_code(status)));
            let sql = format!(
                "SELECT {HEADER} FROM saga WHERE id > {}{status} ORDER BY id LIMIT {}",
                sql::hex(after.as_bytes()),
                filter.limit
            );
            let rows: Vec<mysql_async::Row> =
                self.connection().await?.query(sql).await.map_err(unavailable)?;
            Ok(rows.into_iter().filter_map(header_of).map(|header| header.summary).collect())
        })
        .await
    }

    async fn forget(&self, before: Millis, most: usize) -> Result<usize, StoreError> {
        within(async {
            let mut connection = self.connection().await?;
            let sql = format!("SELECT id FROM saga WHERE finished_at < {before} LIMIT {most}");
            let ids: Vec<Vec<u8>> = connection.query(sql).await.map_err(unavailable)?;
            if !ids.is_empty() {
                let ids = id_list(ids.iter().map(Vec::as_slice));
                // Headers last: what is left over is found again.
                for table in ["saga_log", "saga"] {
                    let sql = format!("DELETE FROM {table} WHERE id IN ({ids})");
                    connection.query_drop(sql).await.map_err(unavailable)?;
                }
            }
            Ok(ids.len())
        })
        .await
    }

    async fn figures(&self) -> Result<Figures, StoreError> {
        within(async {
            let open = [Status::Running, Status::Compensating, Status::Parked].map(status_code);
            let sql = format!(
                "SELECT status, COUNT(*), MIN(created_at) FROM saga WHERE status IN ({}, {}, {}) GROUP BY status",
                open[0], open[1], open[2]
            );
            let rows: Vec<(usize, u64, Millis)> =
                self.connection().await?.query(sql).await.map_err(unavailable)?;
            let count = |status| rows.iter().find(|row| row.0 == status_code(status)).map_or(0, |row| row.1);
            Ok(Figures {
                running: count(Status::Running),
                compensating: count(Status::Compensating),
                parked: count(Status::Parked),
                oldest: rows.iter().map(|row| row.2).min(),
            })
        })
        .await
    }
}

/// Takes what is due: what others are taking at this moment is passed over.
async fn claim(
    connection: &mut Conn,
    now: Millis,
    until: Millis,
    most: usize,
) -> Result<Vec<Stored>, mysql_async::Error> {
    let mut options = mysql_async::TxOpts::default();
    options.with_isolation_level(mysql_async::IsolationLevel::ReadCommitted);
    let mut work = connection.start_transaction(options).await?;
    let sql = format!(
        "SELECT id FROM saga WHERE due_at <= {now} ORDER BY due_at LIMIT {most} FOR UPDATE SKIP LOCKED"
    );
    let ids: Vec<Vec<u8>> = work.query(sql).await?;
    let mut claimed = reader::Found::new();
    if !ids.is_empty() {
        let list = id_list(ids.iter().map(Vec::as_slice));
        work.query_drop(format!("UPDATE saga SET epoch = epoch + 1, due_at = {until} WHERE id IN ({list})"))
            .await?;
        claimed = reader::whole(&mut work, ids.iter().map(Vec::as_slice)).await?;
    }
    work.commit().await?;
    Ok(ids.iter().filter_map(|id| claimed.remove(id)?).collect())
}
