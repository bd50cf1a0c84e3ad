//! The least store that is like the shop's: an order's row, its place in its user's list and its word commit together.

use std::path::Path;

use aqueduct_fsm::fjall::Rows;
use aqueduct_fsm::{Code, Commit, Machine, Store, StoreError};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Created,
    Paid,
    Shipped,
    Completed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    Pay,
    Ship,
    Complete,
}

impl Code for State {
    const ALL: &'static [Self] = &[Self::Created, Self::Paid, Self::Shipped, Self::Completed];

    fn code(self) -> u8 {
        self as u8
    }
}

impl Code for Event {
    const ALL: &'static [Self] = &[Self::Pay, Self::Ship, Self::Complete];

    fn code(self) -> u8 {
        self as u8
    }
}

/// The life of an order.
#[derive(Debug)]
pub(super) struct Life;

impl Machine for Life {
    type State = State;
    type Event = Event;

    const INITIAL: State = State::Created;
    const TRANSITIONS: &'static [(State, Event, State)] = &[
        (State::Created, Event::Pay, State::Paid),
        (State::Paid, Event::Ship, State::Shipped),
        (State::Shipped, Event::Complete, State::Completed),
    ];
}

/// The write half.
pub(super) struct Embedded {
    database: Database,
    rows: Rows,
    orders: Keyspace,
    by_user: Keyspace,
}

impl Embedded {
    /// With the bounds that the shop sets.
    pub(super) fn open(folder: &Path) -> fjall::Result<Self> {
        let builder = Database::builder(folder).worker_threads(2).max_journaling_size(256 << 20);
        let database = builder.open()?;
        let rows = Rows::open(&database)?;
        let orders =
            database.keyspace("orders", || KeyspaceCreateOptions::default().expect_point_read_hits(true))?;
        let by_user = database.keyspace("by_user", KeyspaceCreateOptions::default)?;
        Ok(Self { database, rows, orders, by_user })
    }
}

impl Store for Embedded {
    type Body = Vec<u8>;
    type Reader = Rows;

    fn reader(&self) -> Rows {
        self.rows.clone()
    }

    fn apply(&mut self, batch: &[Commit<Vec<u8>>]) -> Result<(), StoreError> {
        let writes = OwnedWriteBatch::with_capacity(self.database.clone(), 3 * batch.len());
        let mut writes = writes.durability(Some(PersistMode::SyncData));
        for commit in batch {
            let key = commit.key.to_be_bytes();
            if let Some(row) = &commit.body {
                writes.insert(&self.orders, key, &row[..]);
                // A thousand users, so that the places are spread as they are in the shop.
                let user = (commit.key >> 8) % 1000;
                writes.insert(&self.by_user, [user.to_be_bytes(), (!commit.key).to_be_bytes()].concat(), []);
            }
            self.rows.put(&mut writes, commit);
        }
        Ok(writes.commit()?)
    }
}
