//! The orders in the shards: an order is a row, and what queues up for a shard becomes one transaction on its primary.
//!
//! There is a group committer a shard ([`aqueduct_fsm::Group`]); what it decides becomes SQL in `rows.rs`. Any process may change any
//! order: between them the rows' locks decide (`docs/adr/0014-orders-by-group-commit.md`).

pub(crate) mod recent;
pub(crate) mod rows;
pub(crate) mod schema;
pub(crate) mod tiers;

use std::sync::Arc;
use std::time::Duration;

use aqueduct_cache::{Ask, Loaded};
use aqueduct_fsm::{Code as _, Done, EventId, Group, GroupError, GroupOptions, GroupStats, StartError, Word};
use aqueduct_runtime::task::{self, Owned};
use aqueduct_shards::{Error, Freshness, Route, SHARDS, Shards, Token};
use bytes::Bytes;
use futures_util::future::select_all;
use prost::Message as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::book::{Written, event_reused};
use crate::order::{self, Event, Life, State};
use crate::orders::OrderCache;
use crate::proto::shop::Order;
use crate::refuse::Refusal;
use crate::store::ReadError;
use recent::Recent;
use rows::{NewRow, Rows};
use tiers::Tiers;

/// The committer of a shard.
type Committer = Group<Life, Rows>;
/// What it answers.
type Moved = Done<State, Bytes, Token>;
/// Why it does not.
type Unmoved = GroupError<State, Arc<Error>>;

/// The orders in the shards.
#[derive(Debug)]
pub(crate) struct Sharded {
    pub(crate) shards: Shards,
    /// The second level of the cache, if there is one.
    tiers: Option<Tiers>,
    recent: Recent,
    /// By shard.
    committers: Vec<Committer>,
    outboxes: Vec<Arc<Notify>>,
}

impl Sharded {
    /// With its committers, which end after [`close`](Self::close). `queue` bounds the changes that wait at each; `seed` is another one
    /// for each process and start.
    pub(crate) fn new(
        shards: Shards,
        (cache, tiers): (&OrderCache, Option<Tiers>),
        recent: Recent,
        (queue, seed): (usize, u64),
    ) -> Result<(Self, Vec<Owned>), StartError> {
        let mut committers = Vec::new();
        let mut running = Vec::new();
        let outboxes: Vec<Arc<Notify>> = (0..SHARDS).map(|_| Arc::default()).collect();
        for (shard, outbox) in (0..SHARDS).zip(&outboxes) {
            let rows =
                Rows { shards: shards.clone(), shard, cache: cache.clone(), outbox: Arc::clone(outbox) };
            let name = format!("orders-{shard}");
            let options = GroupOptions { name, queue, seed, ..GroupOptions::default() };
            let (committer, run) = Group::new(rows, &options)?;
            committers.push(committer);
            running.push(task::spawn("shop-committer", run).into());
        }
        Ok((Self { shards, tiers, recent, committers, outboxes }, running))
    }

    /// Commits what waits, and takes nothing more.
    pub(crate) async fn close(&self) {
        for committer in &self.committers {
            committer.close().await;
        }
    }

    /// Returns when the committer of some shard, that one, has ended by itself.
    pub(crate) async fn failed(&self) -> usize {
        let failures = self.committers.iter().enumerate().map(|(shard, committer)| {
            Box::pin(async move {
                committer.failed().await;
                shard
            })
        });
        select_all(failures).await.0
    }

    /// The figures of each shard's committer.
    pub(crate) fn stats(&self) -> Vec<GroupStats> {
        self.committers.iter().map(Group::stats).collect()
    }

    /// By shard: told when this process has committed something to its outbox.
    pub(crate) fn outboxes(&self) -> Vec<Arc<Notify>> {
        self.outboxes.clone()
    }

    /// Creates an order, which comes without id, status and version.
    pub(crate) async fn create(&self, id: i64, mut order: Order) -> Result<Written, Refusal> {
        let new = NewRow { user: order.user_id, body: order.encode_to_vec() };
        let created = self.committer(id)?.create(id.cast_unsigned(), new).await;
        let Moved { state, version, receipt, .. } = created.map_err(|error| refusal(error, id, None))?;
        order.id = id;
        order::show(&mut order, state.code(), version);
        Ok(Written { order, token: receipt })
    }

    /// Applies an event, once for each event id.
    pub(crate) async fn transition(
        &self,
        id: i64,
        event: Event,
        event_id: Option<EventId>,
    ) -> Result<Written, Refusal> {
        let moved = self.committer(id)?.transition(id.cast_unsigned(), event, event_id).await;
        let Moved { state, version, extra, receipt, .. } =
            moved.map_err(|error| refusal(error, id, Some(event)))?;
        let mut order = decode(id, &extra.unwrap_or_default())?;
        order::show(&mut order, state.code(), version);
        Ok(Written { order, token: receipt })
    }

    /// That of the order's shard. No order has an id below 1.
    fn committer(&self, id: i64) -> Result<&Committer, Refusal> {
        let shard = Route::of_id(id.cast_unsigned()).shard();
        self.committers.get(usize::from(shard)).filter(|_| id > 0).ok_or(Refusal::NotFound(id))
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

fn refusal(error: Unmoved, id: i64, event: Option<Event>) -> Refusal {
    match error {
        GroupError::NotFound => Refusal::NotFound(id),
        GroupError::Illegal { state, version } => match event {
            Some(event) => Refusal::Illegal { id, state, version, event },
            None => Refusal::Broken(format!("order {id} was created in {state}")),
        },
        GroupError::EventReused { .. } => event_reused(),
        GroupError::Exists => Refusal::Broken(format!(
            "there is an order {id}, which was minted just now: give each data folder a worker number of its own"
        )),
        GroupError::Damaged { state, version } => Refusal::Broken(format!(
            "order {id} has the state {state} and the version {version}, which no order has"
        )),
        GroupError::Busy => Refusal::Busy("too many changes are waiting for the database"),
        GroupError::Aborted => Refusal::Aborted,
        GroupError::Unavailable(error) | GroupError::Refused(error) => error.as_ref().into(),
        GroupError::Unknown(_) | GroupError::Gone => Refusal::unknown(),
        GroupError::Closed => Refusal::stopping(),
    }
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
