//! The orders of one shop: what the handlers share, and the handlers, one a file.

use std::fmt;
use std::sync::Arc;

use aqueduct_bus::Log;
use aqueduct_cache::Cache;
use aqueduct_cache::audit::Auditor;
use aqueduct_ids::Generator;

use crate::book::Book;
use crate::proto::shop::Order;
use crate::store::ReadError;
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
    pub(crate) book: Arc<Book>,
    pub(crate) cache: OrderCache,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) monitor: Arc<Monitor>,
    /// On which the committer tells changes; those of the shards come from their servers.
    pub(crate) bus: Option<Log>,
    /// Which orders were read, for the auditor of those on the shards.
    pub(crate) auditor: Auditor<i64>,
}

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orders").field("ids", &self.ids).finish_non_exhaustive()
    }
}
