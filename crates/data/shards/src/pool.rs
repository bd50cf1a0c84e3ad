//! The connections to one server and database: bounded, opened ahead, and thrown away when in doubt.
//!
//! The driver's own pool was the alternative. It opens nothing ahead, does not tell waiting from working, runs tasks that nobody
//! tracks, and a connection whose statement was given up would be waited for in the background instead of closed. `docs/adr/0010-own-database-pools.md`
//! has the rest.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aqueduct_runtime::task;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error as Driver, Opts, OptsBuilder, Params, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use crate::dialect;
use crate::error::Error;
use crate::options::{Address, Options};
use crate::stats::{Counters, ServerStats, add_us, count};

/// A connection that was idle for longer is asked before it is used: its server may have restarted.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long a goodbye may take.
const CLOSING: Duration = Duration::from_secs(1);
/// Prepared statements kept a connection: each text has a few variants by its limit, see [`crate::dialect::limited`].
/// With 16 connections to each of 4 databases on one server that is half of what it allows by default.
const STATEMENTS: usize = 128;

/// The connections to one server and database.
#[derive(Debug)]
pub(crate) struct Pool {
    /// `host:port/database`.
    pub(crate) name: String,
    pub(crate) counters: Counters,
    opts: Opts,
    user: String,
    limits: Limits,
    permits: Arc<Semaphore>,
    /// A stack: the most recently used on top, so that the surplus ages at the bottom.
    idle: Mutex<Vec<Idle>>,
    /// Grows when a connection broke: idle ones opened before are not trusted then.
    generation: AtomicU64,
    /// It did not answer when it was last asked for its role.
    silent: AtomicBool,
    /// Until then others are preferred.
    down_until: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    min: usize,
    max: usize,
    pool_wait: Duration,
    idle_timeout: Duration,
    connect_timeout: Duration,
}

/// A connection, and what is remembered of it.
#[derive(Debug)]
struct Held {
    conn: Conn,
    generation: u64,
    /// `@@last_gtid` when it was last asked.
    last_gtid: String,
}

#[derive(Debug)]
struct Idle {
    held: Held,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(address: &Address, database: &str, options: &Options) -> Self {
        let opts = OptsBuilder::default()
            .ip_or_hostname(&address.host)
            .tcp_port(address.port)
            .user(Some(&options.user))
            .pass(Some(&options.password))
            .db_name(Some(database))
            .ssl_opts(options.tls.clone())
            // Otherwise a server on this machine is connected to twice.
            .prefer_socket(false)
            .init(vec![dialect::standstill(options.session_timeout)])
            .stmt_cache_size(STATEMENTS);
        Self {
            name: format!("{address}/{database}"),
            counters: Counters::default(),
            opts: opts.into(),
            user: options.user.clone(),
            limits: Limits {
                min: options.min_connections,
                max: options.max_connections,
                pool_wait: options.pool_wait,
                idle_timeout: options.idle_timeout,
                connect_timeout: options.connect_timeout,
            },
            permits: Arc::new(Semaphore::new(options.max_connections)),
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            down_until: Mutex::default(),
        }
    }

    /// A connection of one's own, waited for in order.
    pub(crate) async fn checkout(self: &Arc<Self>, deadline: Instant) -> Result<Checkout, Error> {
        let begun = Instant::now();
        let until = deadline.min(begun + self.limits.pool_wait);
        let Ok(Ok(permit)) = timeout_at(until, Arc::clone(&self.permits).acquire_owned()).await else {
            count(&self.counters.exhausted);
            let (server, max) = (self.name.clone(), self.limits.max);
            return Err(Error::Exhausted { server, max, waited: begun.elapsed() });
        };
        let held = match self.reuse(deadline).await {
            Some(held) => held,
            None => self.open(deadline).await?,
        };
        let waited = begun.elapsed();
        add_us(&self.counters.pool_wait_us, waited);
        let pool = Arc::clone(self);
        Ok(Checkout { held: Some(held), pool, waited, busy: false, in_transaction: false, _permit: permit })
    }

    /// Opens connections until there are as many as must be kept. Tells how many.
    pub(crate) async fn fill(self: &Arc<Self>) -> Result<usize, Error> {
        let mut opened = 0;
        while self.idle().len() + self.taken() < self.limits.min {
            // A connection being opened counts as taken.
            let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else { break };
            let held = self.open(Instant::now() + self.limits.connect_timeout).await?;
            self.idle().insert(0, Idle { held, since: Instant::now() });
            drop(permit);
            opened += 1;
        }
        Ok(opened)
    }

    /// Closes what has been idle for too long and is more than must be kept.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        let mut idle = self.idle();
        let surplus = (idle.len() + self.taken()).saturating_sub(self.limits.min).min(idle.len());
        let old =
            idle[..surplus].iter().take_while(|idle| idle.since + self.limits.idle_timeout <= now).count();
        let expired: Vec<_> = idle.drain(..old).collect();
        drop(idle);
        for idle in expired {
            count(&self.counters.expired);
            close(idle.held.conn);
        }
    }

    /// A connection that belongs to the caller and is not counted among those of the pool.
    pub(crate) async fn open_alone(&self) -> Result<Conn, Error> {
        let held = self.open(Instant::now() + self.limits.connect_timeout).await?;
        Ok(held.conn)
    }

    /// What the last question for its role came to.
    pub(crate) fn answered(&self, answered: bool) {
        self.silent.store(!answered, Relaxed);
    }

    /// Whether it could not be reached a moment ago.
    pub(crate) fn is_down(&self) -> bool {
        if self.silent.load(Relaxed) {
            return true;
        }
        let until = *self.down_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// How many connections are kept open.
    pub(crate) fn min(&self) -> usize {
        self.limits.min
    }

    pub(crate) fn stats(&self) -> ServerStats {
        let idle = self.idle().len() as u64;
        ServerStats {
            server: self.name.clone(),
            idle,
            taken: self.taken() as u64,
            ..self.counters.snapshot()
        }
    }

    fn taken(&self) -> usize {
        self.limits.max.saturating_sub(self.permits.available_permits())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The idle connection that was used last, if it still answers.
    async fn reuse(&self, deadline: Instant) -> Option<Held> {
        loop {
            let idle = self.idle().pop()?;
            let mut held = idle.held;
            if held.generation == self.generation.load(Relaxed) {
                if idle.since.elapsed() < TRUSTED {
                    return Some(held);
                }
                let until = deadline.min(Instant::now() + self.limits.connect_timeout);
                if let Ok(Ok(())) = timeout_at(until, held.conn.ping()).await {
                    return Some(held);
                }
                self.distrust();
            }
            count(&self.counters.discarded);
            close(held.conn);
        }
    }

    async fn open(&self, deadline: Instant) -> Result<Held, Error> {
        let generation = self.generation.load(Relaxed);
        let own = Instant::now() + self.limits.connect_timeout;
        let error = match timeout_at(own.min(deadline), Conn::new(self.opts.clone())).await {
            Ok(Ok(conn)) => {
                count(&self.counters.opened);
                *self.down_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Ok(Held { conn, generation, last_gtid: String::new() });
            }
            Ok(Err(error)) => Error::connect(&self.name, &self.user, error),
            // The caller was in a hurry: that says nothing about the server.
            Err(_) if deadline < own => return Err(Error::Deadline { server: self.name.clone() }),
            Err(_) => {
                let reason = format!("no answer within {:?}", self.limits.connect_timeout);
                Error::Unreachable { server: self.name.clone(), reason }
            }
        };
        count(&self.counters.open_errors);
        *self.down_until.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + self.limits.connect_timeout);
        Err(error)
    }

    fn distrust(&self) {
        self.generation.fetch_add(1, Relaxed);
    }
}

/// One connection in use. Dropped, it goes back to its pool, unless it is in the middle of something.
#[derive(Debug)]
pub(crate) struct Checkout {
    held: Option<Held>,
    pub(crate) pool: Arc<Pool>,
    /// How long it was waited for.
    pub(crate) waited: Duration,
    /// A statement has been sent whose answer was not read to its end.
    busy: bool,
    /// A transaction is open. Closing the connection is what undoes it, when nobody else did.
    pub(crate) in_transaction: bool,
    _permit: OwnedSemaphorePermit,
}

impl Checkout {
    /// Runs a statement with parameters. Tells its rows, and how many it changed.
    pub(crate) async fn exec(
        &mut self,
        until: Instant,
        sql: &str,
        params: Params,
    ) -> Result<(Vec<Row>, u64), Error> {
        let conn = self.begin()?;
        let answer = timeout_at(until, conn.exec::<Row, _, _>(sql, params)).await;
        let rows = self.settle(answer)?;
        Ok((rows, self.held.as_ref().map_or(0, |held| held.conn.affected_rows())))
    }

    /// Runs a statement without parameters, which is not prepared.
    pub(crate) async fn query(&mut self, until: Instant, sql: &str) -> Result<Vec<Row>, Error> {
        let conn = self.begin()?;
        let answer = timeout_at(until, conn.query::<Row, _>(sql)).await;
        self.settle(answer)
    }

    /// Runs several statements without parameters, in one message to the server. Tells of each what [`exec`](Self::exec) does. The
    /// first that fails is the last.
    pub(crate) async fn query_all(
        &mut self,
        until: Instant,
        statements: &[String],
    ) -> Result<Vec<(Vec<Row>, u64)>, Error> {
        let conn = self.begin()?;
        let answers = async {
            let mut answers = Vec::with_capacity(statements.len());
            let mut result = conn.query_iter(statements.join(";")).await?;
            for _ in statements {
                // Before its rows are read: with the last of them it becomes the next statement's answer.
                let changed = result.affected_rows();
                answers.push((result.collect().await?, changed));
            }
            result.drop_result().await?;
            Ok(answers)
        };
        let answer = timeout_at(until, answers).await;
        self.settle(answer)
    }

    /// Remembers the session's position. Tells whether it is another than before.
    pub(crate) fn moved_to(&mut self, last_gtid: &str) -> bool {
        let Some(held) = &mut self.held else { return false };
        let moved = held.last_gtid != last_gtid;
        last_gtid.clone_into(&mut held.last_gtid);
        moved
    }

    fn begin(&mut self) -> Result<&mut Conn, Error> {
        self.busy = true;
        let gone = || Error::Broken { server: self.pool.name.clone(), reason: "it is closed".to_owned() };
        self.held.as_mut().map(|held| &mut held.conn).ok_or_else(gone)
    }

    fn settle<T>(&mut self, answer: Result<Result<T, Driver>, Elapsed>) -> Result<T, Error> {
        let error = match answer {
            Ok(Ok(value)) => {
                self.busy = false;
                return Ok(value);
            }
            Ok(Err(error)) => {
                self.busy = error.is_fatal();
                Error::statement(&self.pool.name, error)
            }
            Err(_) => Error::Deadline { server: self.pool.name.clone() },
        };
        match error {
            Error::Broken { .. } => {
                self.busy = true;
                self.pool.distrust();
            }
            Error::Deadline { .. } => count(&self.pool.counters.deadlines),
            _ => {}
        }
        Err(error)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        if self.busy || self.in_transaction || held.generation != self.pool.generation.load(Relaxed) {
            count(&self.pool.counters.discarded);
            close(held.conn);
        } else {
            // Before the permit is free, so that who waits for it finds this one.
            self.pool.idle().push(Idle { held, since: Instant::now() });
        }
    }
}

/// Says goodbye in the background. A connection that is in the middle of something is just closed: the server stops at its
/// statement's limit and undoes the transaction.
fn close(conn: Conn) {
    if tokio::runtime::Handle::try_current().is_ok() {
        drop(task::spawn("shards-close", async move { drop(timeout(CLOSING, conn.disconnect()).await) }));
    }
}
