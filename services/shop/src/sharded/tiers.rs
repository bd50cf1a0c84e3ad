//! The second level of the orders' cache: a tier for each table, since epochs are a table's.

use std::sync::Arc;

use aqueduct_cache::audit::{Cached, Level};
use aqueduct_cache::l2::{Codec, Epochs, Error, Stats, Store, Tier, TierError, TierOptions, TierStats};
use aqueduct_cache::{Ask, Loaded, Watermarks};
use aqueduct_shards::{Route, SHARDS, TABLES};
use prost::Message as _;

use crate::proto::shop::Order;
use crate::store::ReadError;

/// `shop.v1.Order` as it is sent.
#[derive(Debug)]
struct Protobuf;

impl Codec<Arc<Order>> for Protobuf {
    fn encode(&self, order: &Arc<Order>) -> Vec<u8> {
        order.encode_to_vec()
    }

    fn decode(&self, bytes: Vec<u8>) -> Option<Arc<Order>> {
        Order::decode(&*bytes).ok().map(Arc::new)
    }
}

/// The tiers of all tables of orders.
#[derive(Debug)]
pub(crate) struct Tiers {
    store: Store,
    /// By shard, and in it by table.
    tables: Vec<Tier<Arc<Order>>>,
    /// By shard.
    sources: [usize; SHARDS as usize],
}

impl Tiers {
    /// `databases` and `sources` are those of the shards.
    pub(crate) fn new(
        (store, options): (Store, &TierOptions),
        (databases, sources): (&[String], [usize; SHARDS as usize]),
        watermarks: &Watermarks,
        epochs: &Epochs,
    ) -> Result<Self, Error> {
        let routes =
            (0..SHARDS).flat_map(|shard| (0..TABLES).filter_map(move |table| Route::new(shard, table)));
        let tier = |route: Route| {
            let database = databases.get(usize::from(route.shard())).map_or("", String::as_str);
            let name = name(database, route);
            let table = (name.as_str(), Protobuf, options.clone());
            Tier::following(store.clone(), table, watermarks.clone(), epochs.clone())
        };
        let tables = routes.map(tier).collect::<Result<_, _>>()?;
        Ok(Self { store, tables, sources })
    }

    /// Loads an order through the tier of its table.
    pub(crate) async fn load<R>(
        &self,
        id: i64,
        ask: Ask,
        primary: impl Fn(u64) -> R + Send + Sync,
    ) -> Result<Loaded<Arc<Order>>, ReadError>
    where
        R: Future<Output = Result<Loaded<Arc<Order>>, ReadError>> + Send,
    {
        let source = self.sources[usize::from(Route::of_id(id.cast_unsigned()).shard())];
        self.of(id).load(&id.to_string(), source, ask, primary).await.map_err(|error| match error {
            TierError::Primary(error) => error,
            TierError::Behind { found, least } => ReadError::Behind { found, least },
            TierError::Overloaded(loads) => ReadError::Overloaded(loads),
        })
    }

    fn of(&self, id: i64) -> &Tier<Arc<Order>> {
        let route = Route::of_id(id.cast_unsigned());
        &self.tables[usize::from(route.shard()) * usize::from(TABLES) + usize::from(route.table())]
    }

    /// What the loads of all tables have come to.
    pub(crate) fn stats(&self) -> TierStats {
        let mut all = TierStats::default();
        for stats in self.tables.iter().map(Tier::stats) {
            all.hits += stats.hits;
            all.stale += stats.stale;
            all.leases += stats.leases;
            all.waits += stats.waits;
            all.reads += stats.reads;
            all.behind += stats.behind;
            all.fills += stats.fills;
            all.refused += stats.refused;
            all.not_current += stats.not_current;
            all.down += stats.down;
            all.impatient += stats.impatient;
            all.overloaded += stats.overloaded;
            all.undecodable += stats.undecodable;
        }
        all
    }

    /// What the commands to Redis have come to.
    pub(crate) fn commands(&self) -> Stats {
        self.store.stats()
    }
}

/// The tier of the order's table.
impl Level<i64, Arc<Order>> for Tiers {
    async fn peek(&self, id: &i64) -> Option<Cached<Arc<Order>>> {
        self.of(*id).peek(id).await
    }

    async fn repair(&self, id: &i64, cached: &Cached<Arc<Order>>, newer: Option<u64>) -> bool {
        self.of(*id).repair(id, cached, newer).await
    }
}

/// What a table of orders is called in the second level.
pub(crate) fn name(database: &str, route: Route) -> String {
    format!("{database}.{}", route.name("orders"))
}
