//! Where the orders are: in this node's own store, or in the shards; moved on by the fsm in both.
//!
//! An enum and not a trait: there are two, and each handler should show what it asks of either.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_cache::{Ask, Loaded};
use aqueduct_fsm::{Code as _, Error, EventId, Failure, Fsm, Word};
use aqueduct_shards::{Freshness, Route, Token};
use tokio::time::Instant;

use crate::order::{self, Event, Life, State};
use crate::proto::shop::Order;
use crate::refuse::Refusal;
use crate::sharded::Sharded;
use crate::store::{NewOrder, ReadError, Tables, Writer};
use crate::validate;

/// Where the orders are.
pub(crate) enum Book {
    Embedded(Embedded),
    Sharded(Sharded),
}

/// The embedded store.
#[derive(Clone)]
pub(crate) struct Embedded {
    pub(crate) fsm: Fsm<Life, Writer>,
    pub(crate) tables: Tables,
}

/// An order as a change has left it, and what a later reader must have seen to see it; the embedded store needs no such thing.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) order: Order,
    pub(crate) token: Token,
}

impl Book {
    /// Commits what is queued.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        match self {
            Self::Embedded(store) => store.fsm.close().await,
            Self::Sharded(shards) => {
                shards.close().await;
                Ok(())
            }
        }
    }

    /// Creates the order under `id`; it comes without id, status and version.
    pub(crate) async fn create(&self, id: i64, order: Order) -> Result<Written, Refusal> {
        match self {
            Self::Embedded(store) => store.create(id, order).await,
            Self::Sharded(shards) => shards.create(id, order).await,
        }
    }

    /// Applies an event, once for each event id.
    pub(crate) async fn transition(
        &self,
        id: i64,
        event: Event,
        event_id: Option<EventId>,
    ) -> Result<Written, Refusal> {
        match self {
            Self::Embedded(store) => store.transition(id, event, event_id).await,
            Self::Sharded(shards) => shards.transition(id, event, event_id).await,
        }
    }

    /// The order as it is now.
    pub(crate) async fn order(&self, id: i64) -> Result<Option<Order>, ReadError> {
        match self {
            Self::Embedded(store) => store.tables.order(id),
            Self::Sharded(shards) => shards.order(id, Freshness::Primary, None).await,
        }
    }

    /// The order for the cache.
    pub(crate) async fn load(&self, id: i64, ask: Ask) -> Result<Loaded<Arc<Order>>, ReadError> {
        match self {
            // A few microseconds, mostly from memory: handing it to a blocking thread would cost more than it takes.
            Self::Embedded(store) => {
                let order = store.tables.order(id)?;
                let version = order.as_ref().map_or(0, |order| order.version.unsigned_abs());
                Ok(Loaded::new(version, order.map(Arc::new)))
            }
            Self::Sharded(shards) => shards.load(id, ask).await,
        }
    }

    /// The order as a caller must see it who brings a token; `None` where that demands nothing of it.
    pub(crate) async fn order_after(
        &self,
        id: i64,
        token: &Token,
        deadline: Option<Instant>,
    ) -> Option<Result<Option<Order>, ReadError>> {
        match self {
            Self::Sharded(shards) if token.demands(Route::of_id(id.cast_unsigned()).shard()) => {
                Some(shards.order_after(id, token, deadline).await)
            }
            Self::Embedded(_) | Self::Sharded(_) => None,
        }
    }

    /// A user's orders, newest first, from the one behind `after`; at most `limit`.
    pub(crate) async fn orders_of(
        &self,
        user: i64,
        (after, limit): (Option<i64>, usize),
        token: &Token,
        deadline: Option<Instant>,
    ) -> Result<Vec<Order>, ReadError> {
        match self {
            Self::Embedded(store) => store.orders_of(user, after, limit).await,
            Self::Sharded(shards) => shards.orders_of(user, (after, limit), token, deadline).await,
        }
    }

    /// What an order became after it had `version`, oldest first.
    pub(crate) async fn words_after(&self, id: i64, version: u64) -> Result<Vec<Word>, ReadError> {
        match self {
            Self::Embedded(store) => Ok(store.tables.word(id)?.into_iter().collect()),
            Self::Sharded(shards) => shards.words_after(id, version).await,
        }
    }
}

impl Embedded {
    async fn create(&self, id: i64, mut order: Order) -> Result<Written, Refusal> {
        let new = NewOrder::new(&order);
        let created = self.fsm.create(key(id)?, new).await.map_err(|error| unwritten(&error))?;
        order.id = id;
        order::show(&mut order, created.state.code(), created.version);
        Ok(Written { order, token: Token::default() })
    }

    async fn transition(&self, id: i64, event: Event, event_id: Option<EventId>) -> Result<Written, Refusal> {
        let refused = |error| refusal(error, id, event);
        let applied = self.fsm.transition(key(id)?, event, event_id).await.map_err(refused)?;
        // The body never changes, so it may be read after the commit; the state is the one that was committed, not the one
        // that is there by now.
        let mut order = self.tables.body(id)?;
        order::show(&mut order, applied.state.code(), applied.version);
        Ok(Written { order, token: Token::default() })
    }

    async fn orders_of(&self, user: i64, after: Option<i64>, limit: usize) -> Result<Vec<Order>, ReadError> {
        let tables = self.tables.clone();
        // Up to 500 orders of two reads each, milliseconds when they come from the disk: not on a thread that has other
        // requests to serve.
        let read = tokio::task::spawn_blocking(move || {
            let mut orders = Vec::new();
            for id in tables.orders_of(user, after).take(limit) {
                orders.extend(tables.order(id?)?);
            }
            Ok(orders)
        });
        read.await.unwrap_or_else(|error| Err(ReadError::Store(error.into())))
    }
}

/// The key of an order in the fsm. No order has an id below 1.
fn key(id: i64) -> Result<u64, Refusal> {
    u64::try_from(id).ok().filter(|key| *key > 0).ok_or(Refusal::NotFound(id))
}

fn refusal(error: Error<State>, id: i64, event: Event) -> Refusal {
    match error {
        Error::NotFound => Refusal::NotFound(id),
        Error::Illegal { state, version } => Refusal::Illegal { id, state, version, event },
        Error::EventReused { .. } => event_reused(),
        other => unwritten(&other),
    }
}

/// The event id belongs to another event of the order.
pub(crate) fn event_reused() -> Refusal {
    validate::invalid("eventId", "was used for another event of this order")
}

/// A change that was not made, or of which nobody knows whether it was.
fn unwritten(error: &Error<State>) -> Refusal {
    match error {
        Error::Busy => Refusal::Busy("too many changes are waiting for the store"),
        Error::Failed => Refusal::Unavailable {
            why: "the store has failed; whether the change was made is known after a restart".into(),
            retry_after: Duration::from_secs(1),
        },
        Error::Closed => Refusal::stopping(),
        other => Refusal::Broken(other.to_string()),
    }
}
