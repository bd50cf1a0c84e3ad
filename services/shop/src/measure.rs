//! The shards' committers by themselves, without gRPC, bus and followers around them, for `bench orders` (feature `measure`).

use std::sync::Arc;
use std::time::Duration;

use aqueduct_runtime::task::Owned;
use aqueduct_shards::Shards;

use crate::cluster::prepare;
use crate::error::OpenError;
use crate::options::Options;
use crate::order::Event;
use crate::proto::shop::{Item, Order};
use crate::sharded::Sharded;
use crate::sharded::recent::Recent;
use crate::shop;

/// The committers of all shards.
#[derive(Clone, Debug)]
pub struct Committers {
    orders: Arc<Sharded>,
    _running: Arc<Vec<Owned>>,
}

/// What they have done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Transactions.
    pub commits: u64,
    /// Changes in them.
    pub changes: u64,
    /// The time that they took.
    pub micros: u64,
}

/// An order of the usual size, for a user.
pub fn order(user: i64) -> Order {
    let item = |sku: &str, quantity, price_cents| Item { sku: sku.to_owned(), quantity, price_cents };
    let items = vec![item("stone-block-0001", 2, 1999), item("lead-pipe-0002", 1, 450)];
    Order {
        user_id: user,
        items,
        note: "leave at the gate".to_owned(),
        total_cents: 4448,
        ..Order::default()
    }
}

impl Committers {
    /// Connects, makes the tables, and starts a committer a shard.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn start(options: aqueduct_shards::Options, seed: u64) -> Result<Self, OpenError> {
        let shards = prepare(options, &mut |_| ()).await?;
        let options = Options::default();
        let cache = shop::cache(&options, |builder| builder)?;
        let recent = Recent::new(Duration::from_secs(1));
        let (orders, running) = Sharded::new(shards, (&cache, None), recent, (options.queue, seed))?;
        Ok(Self { orders: Arc::new(orders), _running: Arc::new(running) })
    }

    /// The databases.
    pub fn shards(&self) -> &Shards {
        &self.orders.shards
    }

    /// Creates an order under this id.
    ///
    /// # Errors
    /// What the caller would be told.
    pub async fn create(&self, id: u64, user: i64) -> Result<(), tonic::Status> {
        self.orders.create(id.cast_signed(), order(user)).await?;
        Ok(())
    }

    /// Moves an order on: 0 pays, 1 ships, 2 completes it.
    ///
    /// # Errors
    /// What the caller would be told.
    pub async fn step(&self, id: u64, step: usize) -> Result<(), tonic::Status> {
        let event = [Event::Pay, Event::Ship, Event::Complete][step.min(2)];
        self.orders.transition(id.cast_signed(), event, None).await?;
        Ok(())
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        let all = self.orders.stats();
        Done {
            commits: all.iter().map(|stats| stats.batch_size.count()).sum(),
            changes: all.iter().map(|stats| stats.batch_size.sum).sum(),
            micros: all.iter().map(|stats| stats.commit_micros.sum).sum(),
        }
    }
}
