//! All shards with their servers: who is asked for what.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use aqueduct_runtime::task::{self, Owned};
use futures_util::future::join_all;
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::dialect::{self, Waited};
use crate::error::Error;
use crate::options::{Address, Options};
use crate::pool::{Checkout, Pool};
use crate::roles::{Choice, choose};
use crate::session::{Read, Session, Write, read};
use crate::stats::{ServerStats, add_us, count};
use crate::token::{Demand, Gtid, Token};

/// No server is the primary.
const NONE: usize = usize::MAX;
/// How much later than the wait on a replica its answer may come, before the connection is given up.
const ANSWER: Duration = Duration::from_millis(100);
/// Errors of a primary start a round of questions at once, but rounds are no closer than this.
const APART: Duration = Duration::from_millis(50);

/// How old an answer may be.
#[derive(Clone, Copy, Debug)]
pub enum Freshness<'a> {
    /// As old as the replica that is asked, which may be any age.
    Any,
    /// Not older than the writes that the token stands for.
    After(&'a Token),
    /// The primary's.
    Primary,
}

/// What opening connections ahead came to.
#[derive(Debug, Default)]
pub struct Warm {
    /// Connections opened.
    pub opened: usize,
    /// Connections that were to be opened.
    pub wanted: usize,
    /// Why some were not: a replica that is down does not stop a start.
    pub errors: Vec<Error>,
}

/// The sharded database. Clones share everything; with the last one the upkeep ends.
#[derive(Clone, Debug)]
pub struct Shards(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    core: Arc<Core>,
    _upkeep: Owned,
}

#[derive(Debug)]
pub(crate) struct Core {
    options: Options,
    shards: Vec<State>,
    recheck: Notify,
}

/// One shard.
#[derive(Debug)]
struct State {
    number: u8,
    servers: Vec<Server>,
    /// Which of them is the primary, or [`NONE`].
    primary: AtomicUsize,
    /// Why there is none.
    missing: std::sync::Mutex<String>,
    /// Replicas take turns.
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Server {
    pool: Arc<Pool>,
    /// A connection of its own, so that a full pool hides no failover.
    monitor: Mutex<Option<Conn>>,
}

impl Shards {
    /// Finds each shard's primary, and opens [`Options::min_connections`] to every server.
    ///
    /// # Errors
    /// [`Error`]: wrong options, a refused login or a missing database on any server, or a shard without a primary. A replica that
    /// cannot be reached is no error: see [`Warm::errors`].
    pub async fn connect(options: Options) -> Result<(Self, Warm), Error> {
        options.validate()?;
        let core = Arc::new(Core::new(options));
        let mut unreached = Vec::new();
        for error in core.refresh().await {
            if error.is_misconfigured() {
                return Err(error);
            }
            unreached.push(error);
        }
        core.shards.iter().try_for_each(|state| state.primary().map(drop))?;
        let warm = core.warm().await?;
        tracing::info!(opened = warm.opened, wanted = warm.wanted, "connections opened");
        let upkeep = task::spawn("shards-upkeep", upkeep(Arc::clone(&core))).into();
        Ok((Self(Arc::new(Owner { core, _upkeep: upkeep })), warm))
    }

    /// A session that reads from a replica that is fresh enough, or else from the primary.
    ///
    /// The session ends at `deadline`, at the latest after [`Options::session_timeout`].
    ///
    /// # Errors
    /// [`Error`], when neither can be asked.
    pub async fn read(
        &self,
        shard: u8,
        freshness: Freshness<'_>,
        deadline: Option<Instant>,
    ) -> Result<Read, Error> {
        let core = &self.0.core;
        let state = core.shard(shard)?;
        let deadline = core.deadline(deadline);
        let demand = match freshness {
            Freshness::Any => Demand::Nothing,
            Freshness::After(token) => token.of_shard(shard),
            Freshness::Primary => Demand::Primary,
        };
        if let Some(checkout) = core.replica(state, demand, deadline).await? {
            count(&checkout.pool.counters.replica_reads);
            return Ok(Read { session: core.session(checkout, deadline), from_primary: false });
        }
        let checkout = core.primary(state, deadline).await?;
        count(&checkout.pool.counters.primary_reads);
        Ok(Read { session: core.session(checkout, deadline), from_primary: true })
    }

    /// Begins a transaction on the primary. It ends at `deadline`, at the latest after [`Options::session_timeout`].
    ///
    /// # Errors
    /// [`Error`]. After one that [is retryable](Error::is_retryable) a new primary may be known a moment later.
    pub async fn write(&self, shard: u8, deadline: Option<Instant>) -> Result<Write, Error> {
        let core = &self.0.core;
        let deadline = core.deadline(deadline);
        let checkout = core.primary(core.shard(shard)?, deadline).await?;
        Write::begin(core.session(checkout, deadline), shard, "START TRANSACTION").await
    }

    /// As [`write`](Self::write), at READ COMMITTED: each statement sees what is committed when it begins, so that what is read after a
    /// wait for a lock is what the lock was waited for. (By default a transaction sees what was committed at its first read.)
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_read_committed(&self, shard: u8, deadline: Option<Instant>) -> Result<Write, Error> {
        const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";
        let core = &self.0.core;
        let deadline = core.deadline(deadline);
        let checkout = core.primary(core.shard(shard)?, deadline).await?;
        Write::begin(core.session(checkout, deadline), shard, BEGIN).await
    }

    /// Asks every server for its role now, and returns when the answers count. The upkeep does so by itself, every
    /// [`Options::check_every`] and after an error of a primary.
    ///
    /// # Errors
    /// [`Error::NoPrimary`] for the first shard that has none.
    pub async fn refresh(&self) -> Result<(), Error> {
        self.0.core.refresh().await;
        self.0.core.shards.iter().try_for_each(|state| state.primary().map(drop))
    }

    /// Where a shard's primary is, as far as is known.
    ///
    /// # Errors
    /// [`Error::NoSuchShard`], [`Error::NoPrimary`].
    pub fn primary(&self, shard: u8) -> Result<Address, Error> {
        let core = &self.0.core;
        let state = core.shard(shard)?;
        state.primary()?;
        let servers = &core.options.shards[usize::from(shard)].servers;
        let at = state.primary.load(Relaxed);
        servers
            .get(at)
            .cloned()
            .ok_or_else(|| Error::NoPrimary { shard, reason: "it was lost just now".to_owned() })
    }

    /// A snapshot of every server, shard by shard.
    pub fn stats(&self) -> Vec<ServerStats> {
        let servers = self.0.core.shards.iter().flat_map(|state| {
            let primary = state.primary.load(Relaxed);
            state.servers.iter().enumerate().map(move |(at, server)| ServerStats {
                shard: state.number,
                is_primary: at == primary,
                ..server.pool.stats()
            })
        });
        servers.collect()
    }

    /// The pool of each shard's primary.
    pub(crate) fn primaries(&self) -> Result<Vec<(u8, Arc<Pool>)>, Error> {
        let states = self.0.core.shards.iter();
        states.map(|state| Ok((state.number, Arc::clone(&state.primary()?.pool)))).collect()
    }
}

impl Core {
    fn new(options: Options) -> Self {
        let server = |shard: &crate::options::Shard, address| Server {
            pool: Arc::new(Pool::new(address, &shard.database, &options)),
            monitor: Mutex::default(),
        };
        let shards = (0..).zip(&options.shards).map(|(number, shard)| State {
            number,
            servers: shard.servers.iter().map(|address| server(shard, address)).collect(),
            primary: AtomicUsize::new(NONE),
            missing: std::sync::Mutex::default(),
            turn: AtomicUsize::new(0),
        });
        Self { shards: shards.collect(), recheck: Notify::new(), options }
    }

    fn shard(&self, number: u8) -> Result<&State, Error> {
        self.shards.get(usize::from(number)).ok_or(Error::NoSuchShard(number))
    }

    fn deadline(&self, asked: Option<Instant>) -> Instant {
        let latest = Instant::now() + self.options.session_timeout;
        asked.map_or(latest, |asked| asked.min(latest))
    }

    fn session(self: &Arc<Self>, checkout: Checkout, deadline: Instant) -> Session {
        Session { checkout, deadline, slow: self.options.slow, core: Arc::clone(self) }
    }

    /// Looks for the primaries at once, after an error that a failover would explain.
    pub(crate) fn suspect(&self, error: &Error) {
        if matches!(
            error,
            Error::Unreachable { .. } | Error::Broken { .. } | Error::Unknown { .. } | Error::ReadOnly { .. }
        ) {
            self.recheck.notify_one();
        }
    }

    async fn primary(&self, state: &State, deadline: Instant) -> Result<Checkout, Error> {
        let checkout = state.primary()?.pool.checkout(deadline).await;
        checkout.inspect_err(|error| self.suspect(error))
    }

    /// A connection to a replica that meets the demand. `None`: let the primary answer.
    async fn replica(
        &self,
        state: &State,
        demand: Demand<'_>,
        deadline: Instant,
    ) -> Result<Option<Checkout>, Error> {
        if demand == Demand::Primary {
            return Ok(None);
        }
        // Half of the time stays for the primary, should the replica not even accept a connection.
        let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        let primary = state.primary.load(Relaxed);
        let turn = state.turn.fetch_add(1, Relaxed);
        let all = state.servers.len();
        let others = (0..all).map(|n| turn.wrapping_add(n) % all).filter(|at| *at != primary);
        for pool in others.map(|at| &state.servers[at].pool).filter(|pool| !pool.is_down()) {
            let mut checkout = match pool.checkout(half).await {
                Ok(checkout) => checkout,
                // The primary must not get the load that has filled a replica.
                Err(error @ Error::Exhausted { .. }) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "a replica cannot be asked");
                    count(&pool.counters.unable);
                    continue;
                }
            };
            let Demand::Reached(gtids) = demand else { return Ok(Some(checkout)) };
            // One wait: a second replica would hardly be further, and the primary surely is.
            return Ok(match self.caught_up(&mut checkout, gtids, deadline).await {
                Waited::Reached => Some(checkout),
                Waited::Behind => {
                    count(&pool.counters.behind);
                    None
                }
                Waited::Unable => {
                    count(&pool.counters.unable);
                    None
                }
            });
        }
        Ok(None)
    }

    /// Waits a moment for a replica to apply what the caller must see.
    async fn caught_up(&self, checkout: &mut Checkout, gtids: &[Gtid], deadline: Instant) -> Waited {
        let now = Instant::now();
        // Half of the time left stays for the answer.
        let limit = self.options.replica_wait.min(deadline.saturating_duration_since(now) / 2);
        let until = deadline.min(now + limit + ANSWER);
        let server = checkout.pool.name.clone();
        let answer = checkout.query(until, &dialect::wait_for(gtids, limit)).await;
        add_us(&checkout.pool.counters.replica_wait_us, now.elapsed());
        let answer = answer.and_then(|rows| {
            rows.into_iter().next().map(|row| read::<Option<i64>>(&server, row)).transpose()
        });
        match answer {
            Ok(answer) => dialect::waited(answer.flatten()),
            Err(error) => {
                tracing::debug!(%error, "a replica does not tell how far it is");
                Waited::Unable
            }
        }
    }

    /// Asks every server for its role. Returns what kept servers from answering.
    async fn refresh(&self) -> Vec<Error> {
        let errors =
            join_all(self.shards.iter().map(|state| state.refresh(self.options.connect_timeout))).await;
        errors.into_iter().flatten().collect()
    }

    /// Opens what is to be kept open.
    async fn warm(&self) -> Result<Warm, Error> {
        let pools: Vec<_> =
            self.shards.iter().flat_map(|state| &state.servers).map(|server| &server.pool).collect();
        let mut warm = Warm { wanted: pools.iter().map(|pool| pool.min()).sum(), ..Warm::default() };
        for (pool, filled) in pools.iter().zip(join_all(pools.iter().map(|pool| pool.fill())).await) {
            match filled {
                Ok(_) => {}
                Err(error) if error.is_misconfigured() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "connections were not opened ahead");
                    warm.errors.push(error);
                }
            }
            warm.opened += usize::try_from(pool.stats().idle).unwrap_or_default();
        }
        Ok(warm)
    }

    /// Closes connections that nobody needs, and opens those that are missing.
    async fn tidy(&self) {
        for pool in self.shards.iter().flat_map(|state| &state.servers).map(|server| &server.pool) {
            pool.expire();
            if !pool.is_down()
                && let Err(error) = pool.fill().await
            {
                tracing::debug!(%error, "connections were not opened ahead");
            }
        }
    }
}

impl State {
    fn primary(&self) -> Result<&Server, Error> {
        self.servers.get(self.primary.load(Relaxed)).ok_or_else(|| Error::NoPrimary {
            shard: self.number,
            reason: self.missing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone(),
        })
    }

    /// Asks all servers at once and draws the conclusion.
    async fn refresh(&self, limit: Duration) -> Vec<Error> {
        let answers = join_all(self.servers.iter().map(|server| server.is_writable(limit))).await;
        let writable: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok().copied()).collect();
        for (server, answer) in self.servers.iter().zip(&answers) {
            server.pool.answered(answer.is_ok());
        }
        let errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        let current = self.primary.load(Relaxed);
        let known = (current != NONE).then_some(current);
        let chosen = match choose(known, &writable) {
            Choice::Primary { at, others } => {
                if !others.is_empty() {
                    tracing::error!(
                        shard = self.number,
                        primary = self.name(at),
                        others = self.names(&others),
                        "several servers can be written to: set read_only=1 on all but the primary"
                    );
                }
                at
            }
            Choice::Nobody => {
                let mut reason =
                    "no server that answers can be written to: set read_only=0 on the primary".to_owned();
                for error in &errors {
                    reason.extend(["; ", &error.to_string()]);
                }
                self.lose(reason)
            }
            Choice::Contested(able) => self.lose(format!(
                "{} can all be written to: set read_only=1 on all but the primary",
                self.names(&able)
            )),
        };
        if chosen != current {
            self.primary.store(chosen, Relaxed);
            if let Some(server) = self.servers.get(chosen) {
                count(&server.pool.counters.promotions);
                tracing::info!(shard = self.number, primary = server.pool.name, "primary found");
            } else {
                tracing::error!(shard = self.number, was = self.name(current), "primary lost");
            }
        }
        errors
    }

    /// Remembers why there is no primary.
    fn lose(&self, reason: String) -> usize {
        *self.missing.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = reason;
        NONE
    }

    fn name(&self, at: usize) -> &str {
        self.servers.get(at).map_or("none", |server| &server.pool.name)
    }

    fn names(&self, at: &[usize]) -> String {
        at.iter().map(|at| self.name(*at)).collect::<Vec<_>>().join(" and ")
    }
}

impl Server {
    /// Whether it accepts writes, by its own word.
    async fn is_writable(&self, limit: Duration) -> Result<bool, Error> {
        let mut monitor = self.monitor.lock().await;
        // A connection that fails is dropped with what it was in the middle of; a fresh one is tried once, as the server may
        // merely have restarted.
        if let Some(mut conn) = monitor.take()
            && let Ok(writable) = self.ask(&mut conn, limit).await
        {
            *monitor = Some(conn);
            return Ok(writable);
        }
        let mut conn = self.pool.open_alone().await?;
        let writable = self.ask(&mut conn, limit).await?;
        *monitor = Some(conn);
        Ok(writable)
    }

    async fn ask(&self, conn: &mut Conn, limit: Duration) -> Result<bool, Error> {
        let server = &self.pool.name;
        let unreachable = |reason: String| Error::Unreachable { server: server.clone(), reason };
        let row =
            match timeout_at(Instant::now() + limit, conn.query_first::<mysql_async::Row, _>(dialect::ROLE))
                .await
            {
                Ok(answer) => answer.map_err(|error| Error::statement(server, error))?,
                Err(_) => return Err(unreachable(format!("no answer within {limit:?}"))),
            };
        let row = row.ok_or_else(|| unreachable("it does not tell its role".to_owned()))?;
        let (version, read_only, _log_bin): (String, bool, bool) = read(server, row)?;
        if !dialect::speaks(&version) {
            return Err(Error::Dialect { server: server.clone(), version });
        }
        Ok(!read_only)
    }
}

/// What happens in the background: roles, closing and opening of connections.
async fn upkeep(core: Arc<Core>) {
    loop {
        drop(timeout(core.options.check_every, core.recheck.notified()).await);
        core.refresh().await;
        core.tidy().await;
        sleep(APART).await;
    }
}
