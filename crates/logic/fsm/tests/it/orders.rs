//! A complete small store on fjall: one database, an order's row, its word and its event id in one batch.

use std::fmt::Debug;
use std::path::Path;

use aqueduct_fsm::fjall::Rows;
use aqueduct_fsm::{Code, Commit, Machine, Store, StoreError};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Created,
    Paid,
    Shipped,
    Completed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
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

#[derive(Debug)]
pub(crate) struct Order;

impl Machine for Order {
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
pub(crate) struct Orders {
    database: Database,
    rows: Rows,
    bodies: Keyspace,
}

impl Orders {
    pub(crate) fn open(folder: &Path) -> fjall::Result<Self> {
        let database = Database::builder(folder).open()?;
        let rows = Rows::open(&database)?;
        let bodies = database.keyspace("orders", KeyspaceCreateOptions::default)?;
        Ok(Self { database, rows, bodies })
    }
}

impl Store for Orders {
    type Body = Vec<u8>;
    type Reader = Rows;

    fn reader(&self) -> Rows {
        self.rows.clone()
    }

    fn apply(&mut self, batch: &[Commit<Vec<u8>>]) -> Result<(), StoreError> {
        let mut writes = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), 3 * batch.len())
            .durability(Some(PersistMode::SyncData));
        for commit in batch {
            self.rows.put(&mut writes, commit);
            if let Some(order) = &commit.body {
                writes.insert(&self.bodies, commit.key.to_be_bytes(), &order[..]);
            }
        }
        Ok(writes.commit()?)
    }
}
