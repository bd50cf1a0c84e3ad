//! The orders in the shards: an order is a row, a change of it one transaction on its shard's primary.
//!
//! Not the fsm's committer, which makes many changes durable in one go: its callers read the store without waiting, and here
//! each read is a round trip. The server groups the commits of concurrent connections by itself, and the row's `version` is what
//! decides between nodes either way (`docs/adr/0007-orders-on-the-shards.md`).
//!
//! A connection that breaks at COMMIT leaves it open whether the change was made. Each change leaves its attempt's number
//! behind, so that is read back, with a lock that waits for the server to be done with the transaction; and if even that
//! cannot be learnt, the caller is told so. He repeats the call, under the same event id.

mod attempt;
pub(crate) mod recent;
pub(crate) mod schema;
pub(crate) mod tiers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aqueduct_cache::{Ask, Loaded};
use aqueduct_fsm::{Code as _, EventId, Word};
use aqueduct_shards::{Error, Freshness, Route, Shards, Token};
use prost::Message as _;
use tokio::time::{Instant, sleep};

use crate::book::Written;
use crate::order::{self, Event, State};
use crate::orders::OrderCache;
use crate::proto::shop::Order;
use crate::refuse::Refusal;
use crate::store::ReadError;
use attempt::{Attempts, Change, Made};
use recent::Recent;
use tiers::Tiers;

/// How often a change is tried that was certainly not made: another node was faster, or a primary was lost.
const TRIES: u32 = 4;
/// The pause after the first try; twice as long after each further one.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the outcome of a COMMIT is looked for, also when the caller's deadline has passed.
const LOOK: Duration = Duration::from_secs(2);

/// The orders in the shards.
#[derive(Debug)]
pub(crate) struct Sharded {
    pub(crate) shards: Shards,
    cache: OrderCache,
    /// The second level of the cache, if there is one.
    tiers: Option<Tiers>,
    recent: Recent,
    attempts: Attempts,
    counters: Counters,
}

/// What became of changes.
#[derive(Debug, Default)]
struct Counters {
    created: AtomicU64,
    moved: AtomicU64,
    repeated: AtomicU64,
    retried: AtomicU64,
    resolved: AtomicU64,
    unknown: AtomicU64,
}

/// A snapshot of what became of changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) created: u64,
    pub(crate) moved: u64,
    /// Known event ids.
    pub(crate) repeated: u64,
    /// Tries that were made again.
    pub(crate) retried: u64,
    /// Commits whose outcome had to be read back, and was.
    pub(crate) resolved: u64,
    /// Commits whose outcome could not be read back.
    pub(crate) unknown: u64,
}

impl Sharded {
    pub(crate) fn new(
        shards: Shards,
        (cache, tiers): (OrderCache, Option<Tiers>),
        recent: Recent,
        seed: u64,
    ) -> Self {
        Self { shards, cache, tiers, recent, attempts: Attempts::new(seed), counters: Counters::default() }
    }

    pub(crate) fn stats(&self) -> Stats {
        let Counters { created, moved, repeated, retried, resolved, unknown } = &self.counters;
        Stats {
            created: created.load(Relaxed),
            moved: moved.load(Relaxed),
            repeated: repeated.load(Relaxed),
            retried: retried.load(Relaxed),
            resolved: resolved.load(Relaxed),
            unknown: unknown.load(Relaxed),
        }
    }

    /// Creates an order, which comes without id, status and version.
    pub(crate) async fn create(
        &self,
        id: i64,
        mut order: Order,
        deadline: Option<Instant>,
    ) -> Result<Written, Refusal> {
        let change = Change::Create { user: order.user_id, body: order.encode_to_vec() };
        let made = self.change(id, &change, deadline).await?;
        self.counters.created.fetch_add(1, Relaxed);
        order.id = id;
        order::show(&mut order, State::Created.code(), 1);
        Ok(Written { order, token: made.token })
    }

    /// Applies an event, once for each event id.
    pub(crate) async fn transition(
        &self,
        id: i64,
        event: Event,
        event_id: Option<EventId>,
        deadline: Option<Instant>,
    ) -> Result<Written, Refusal> {
        let made = self.change(id, &Change::Event { event, event_id }, deadline).await?;
        let counter = if made.repeated { &self.counters.repeated } else { &self.counters.moved };
        counter.fetch_add(1, Relaxed);
        let mut order = decode(id, &made.body)?;
        order::show(&mut order, made.word.state(), made.word.version());
        Ok(Written { order, token: made.token })
    }

    /// Makes a change, however often it has to be begun.
    async fn change(&self, id: i64, change: &Change, deadline: Option<Instant>) -> Result<Made, Refusal> {
        if id < 1 {
            return Err(Refusal::NotFound(id));
        }
        let number = self.attempts.next();
        let mut pause = PAUSE;
        for tried in 1.. {
            let failed = match attempt::make(&self.shards, (id, number), change, deadline).await {
                Ok(made) => return Ok(self.acknowledge(id, made)),
                Err(failed) => failed,
            };
            let error = match failed {
                attempt::Failed::Refused(refusal) => return Err(refusal),
                attempt::Failed::Open(begun, error) => {
                    // What is cached of it may be old by now, or not; nobody knows the version.
                    self.cache.fence(&id, 0);
                    let looked =
                        attempt::look(&self.shards, (id, number), *begun, Instant::now() + LOOK).await;
                    match looked {
                        Ok(Some(made)) => {
                            self.counters.resolved.fetch_add(1, Relaxed);
                            return Ok(self.acknowledge(id, made));
                        }
                        Ok(None) => {
                            self.counters.resolved.fetch_add(1, Relaxed);
                            error
                        }
                        Err(why) => {
                            self.counters.unknown.fetch_add(1, Relaxed);
                            tracing::warn!(%error, %why, "whether a change was committed is unknown");
                            return Err(Refusal::unknown());
                        }
                    }
                }
                attempt::Failed::Unmade(error) => error,
            };
            let late = deadline.is_some_and(|deadline| deadline <= Instant::now() + pause);
            if tried >= TRIES
                || late
                || !(error.is_retryable() || matches!(error, Error::Unknown { .. } | Error::Duplicate { .. }))
            {
                return Err((&error).into());
            }
            tracing::debug!(%error, tried, "a change is tried again");
            self.counters.retried.fetch_add(1, Relaxed);
            sleep(pause).await;
            pause *= 2;
        }
        Err(Refusal::unknown())
    }

    /// Before the caller hears of it, this node's cache has forgotten what was before. The others hear of it from the binlog.
    fn acknowledge(&self, id: i64, made: Made) -> Made {
        self.cache.fence(&id, made.word.version());
        made
    }

    /// The order through the second level, and from the primary where that does not have it.
    pub(crate) async fn load(&self, id: i64, ask: Ask) -> Result<Loaded<Arc<Order>>, ReadError> {
        let primary = async |_least| {
            let order = self.order(id, Freshness::Primary, None).await?;
            let version = order.as_ref().map_or(0, |order| order.version.unsigned_abs());
            Ok(Loaded::new(version, order.map(Arc::new)))
        };
        match &self.tiers {
            Some(tiers) => tiers.load(id, ask, primary).await,
            // A change may be announced before it is visible.
            None => primary(ask.least).await,
        }
    }

    pub(crate) fn tiers(&self) -> Option<&Tiers> {
        self.tiers.as_ref()
    }

    /// The order as it is there where `fresh` allows to look.
    pub(crate) async fn order(
        &self,
        id: i64,
        fresh: Freshness<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<Order>, ReadError> {
        let route = Route::of_id(id.cast_unsigned());
        let mut read = self.shards.read(route.shard(), fresh, deadline).await?;
        let sql = format!("SELECT state, version, body FROM {} WHERE id = ?", route.name("orders"));
        let Some((state, version, body)) = read.first::<(u8, u64, Vec<u8>)>(&sql, (id,)).await? else {
            return Ok(None);
        };
        let mut order = decode(id, &body)?;
        order::show(&mut order, state, version);
        Ok(Some(order))
    }

    /// The order as a bearer of the token must see it, at most Δ old.
    pub(crate) async fn order_after(
        &self,
        id: i64,
        token: &Token,
        deadline: Option<Instant>,
    ) -> Result<Option<Order>, ReadError> {
        let all = self.recent.after(Route::of_id(id.cast_unsigned()).shard(), token);
        self.order(id, all.as_ref().map_or(Freshness::Primary, Freshness::After), deadline).await
    }

    /// A user's orders, newest first, at most Δ old: all are in one table of one shard, since their ids carry the user's route.
    pub(crate) async fn orders_of(
        &self,
        user: i64,
        (after, limit): (Option<i64>, usize),
        token: &Token,
        deadline: Option<Instant>,
    ) -> Result<Vec<Order>, ReadError> {
        let route = aqueduct_ids::Route::of_hash(user.cast_unsigned());
        // Without a token only the primary surely has what this caller wrote a moment ago.
        let all = Some(route.shard()).filter(|shard| token.demands(*shard));
        let all = all.and_then(|shard| self.recent.after(shard, token));
        let fresh = all.as_ref().map_or(Freshness::Primary, Freshness::After);
        let mut read = self.shards.read(route.shard(), fresh, deadline).await?;
        let name = Route::new(route.shard(), route.table()).map(|route| route.name("orders").to_string());
        let sql = format!(
            "SELECT id, state, version, body FROM {} WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
            name.unwrap_or_default()
        );
        let rows = read
            .rows::<(i64, u8, u64, Vec<u8>)>(&sql, (user, after.unwrap_or(i64::MAX), limit as u64))
            .await?;
        let order = |(id, state, version, body): (i64, u8, u64, Vec<u8>)| {
            let mut order = decode(id, &body)?;
            order::show(&mut order, state, version);
            Ok(order)
        };
        rows.into_iter().map(order).collect()
    }

    /// What an order became after it had `version`, oldest first.
    pub(crate) async fn words_after(&self, id: i64, version: u64) -> Result<Vec<Word>, ReadError> {
        let route = Route::of_id(id.cast_unsigned());
        let mut read = self.shards.read(route.shard(), Freshness::Primary, None).await?;
        let sql = format!(
            "SELECT state, version FROM {} WHERE id = ? AND version > ? ORDER BY version",
            route.name("order_events")
        );
        let rows = read.rows::<(u8, u64)>(&sql, (id, version)).await?;
        rows.into_iter()
            .map(|(state, version)| Word::new(state, version).ok_or(ReadError::Damaged(id)))
            .collect()
    }
}

fn decode(id: i64, body: &[u8]) -> Result<Order, ReadError> {
    let body = Order::decode(body).map_err(|_| ReadError::Damaged(id))?;
    Ok(Order { id, ..body })
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let unavailable =
            |why: &str| Self::Unavailable { why: why.into(), retry_after: Duration::from_secs(1) };
        // Addresses are for the log, not for clients.
        match error {
            Error::Exhausted { .. } => Self::Busy("all connections to the database are taken"),
            Error::Deadline { .. } => unavailable("the database did not answer in time"),
            Error::Conflict { .. } | Error::Duplicate { .. } => {
                unavailable("others are changing the same order")
            }
            Error::Unknown { .. } => unavailable("the database broke off; the change was not made"),
            Error::Unreachable { .. }
            | Error::NoPrimary { .. }
            | Error::ReadOnly { .. }
            | Error::Broken { .. } => unavailable("the database cannot be reached"),
            _ => Self::Broken(error.to_string()),
        }
    }
}
