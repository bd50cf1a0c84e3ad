//! Who waits for changes of which order. One reader of the bus feeds all of them; each has a short queue of its own.
//!
//! There is one way to recover, and it is also the way to begin: a watcher subscribes, reads the order from the store,
//! and then listens. Whoever has missed something, because the bus had a gap or because its own queue was full, is let
//! go and begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::mpsc;

use aqueduct_fsm::Word;

/// The changes that may wait for one watcher. An order changes three times in its life.
const QUEUE: usize = 4;

/// What is heard of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// What it has become.
    Word(Word),
    /// That it has reached a version: what it is there must be read.
    Version(u64),
}

impl News {
    pub(crate) fn version(self) -> u64 {
        match self {
            Self::Word(word) => word.version(),
            Self::Version(version) => version,
        }
    }
}

/// The watchers of one process.
#[derive(Debug)]
pub(crate) struct Watchers {
    table: Mutex<Table>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Table {
    orders: HashMap<i64, Vec<Watcher>, RandomState>,
    /// The subscriptions alive, also those that were let go and have not noticed yet.
    alive: usize,
    next_token: u64,
}

#[derive(Debug)]
struct Watcher {
    token: u64,
    changes: mpsc::Sender<News>,
}

impl Watchers {
    /// At most `limit` subscriptions at a time.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), limit })
    }

    /// Listens to the changes of `order` from now on; `None` when too many do already.
    pub(crate) fn subscribe(self: &Arc<Self>, order: i64) -> Option<Subscription> {
        let (changes, receiver) = mpsc::channel(QUEUE);
        let mut table = self.table();
        if table.alive >= self.limit {
            return None;
        }
        table.alive += 1;
        table.next_token += 1;
        let token = table.next_token;
        table.orders.entry(order).or_default().push(Watcher { token, changes });
        drop(table);
        Some(Subscription { watchers: Arc::clone(self), order, token, changes: receiver })
    }

    /// Tells the watchers of `order` the news.
    pub(crate) fn changed(&self, order: i64, news: News) {
        let mut table = self.table();
        if let Some(watchers) = table.orders.get_mut(&order) {
            watchers.retain(|watcher| watcher.changes.try_send(news).is_ok());
            if watchers.is_empty() {
                table.orders.remove(&order);
            }
        }
    }

    /// Lets everyone go: changes were missed, and nobody knows whose.
    pub(crate) fn missed(&self) {
        self.table().orders.clear();
    }

    /// The subscriptions alive.
    pub(crate) fn alive(&self) -> usize {
        self.table().alive
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One watcher's place. Dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Subscription {
    watchers: Arc<Watchers>,
    order: i64,
    token: u64,
    changes: mpsc::Receiver<News>,
}

impl Subscription {
    /// The next change; `None` when some may have been missed, so that the order must be read anew.
    pub(crate) async fn next(&mut self) -> Option<News> {
        self.changes.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut table = self.watchers.table();
        table.alive -= 1;
        if let Some(watchers) = table.orders.get_mut(&self.order) {
            watchers.retain(|watcher| watcher.token != self.token);
            if watchers.is_empty() {
                table.orders.remove(&self.order);
            }
        }
    }
}
