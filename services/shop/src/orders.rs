//! The orders of one shop: what the handlers share, and the handlers, one a file.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_bus::Log;
use aqueduct_cache::Cache;
use aqueduct_fsm::{Error, Fsm};
use aqueduct_ids::Generator;

use crate::order::{Life, State};
use crate::proto::shop::Order;
use crate::refuse::Refusal;
use crate::store::{ReadError, Tables, Writer};
use crate::vitals::Monitor;
use crate::watchers::Watchers;

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod transition;
pub(crate) mod watch;

/// Orders by id, as they were last read.
pub(crate) type OrderCache = Cache<i64, Arc<Order>, ReadError>;

/// What a handler needs.
pub(crate) struct Orders {
    pub(crate) ids: Generator,
    pub(crate) fsm: Fsm<Life, Writer>,
    pub(crate) tables: Tables,
    pub(crate) cache: OrderCache,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) bus: Log,
}

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orders").field("ids", &self.ids).finish_non_exhaustive()
    }
}

/// The key of an order in the fsm. No order has an id below 1.
fn key(id: i64) -> Result<u64, Refusal> {
    u64::try_from(id).ok().filter(|key| *key > 0).ok_or(Refusal::NotFound(id))
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
