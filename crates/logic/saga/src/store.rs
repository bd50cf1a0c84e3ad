//! What the engine needs of a store: sagas as a header and a log, and who may write.
//!
//! A header has a `due_at`: when somebody should look at the saga again. While a coordinator has it, that is the end of its
//! lease; while it waits, the time of its next attempt; a parked or ended one has none. A claim takes what is due, increments
//! the **epoch** and moves `due_at` on by a lease. Every transition names the epoch and the number of the transition before
//! it, and is refused if either has changed: who lost a saga cannot write.

use std::time::Duration;

use crate::error::StoreError;
use crate::id::SagaId;
use crate::view::{Filter, Millis, Status, Summary};

/// What is stored of a saga beside its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What lists show.
    pub summary: Summary,
    /// How often it was claimed.
    pub epoch: u64,
    /// The number of its last transition, and of the last row of its log.
    pub seq: u64,
    /// When somebody should look at it again.
    pub due_at: Option<Millis>,
    /// The submission's.
    pub fingerprint: [u8; 32],
}

/// A header and the rows of its log, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The header.
    pub header: Header,
    /// The rows with their numbers, in order.
    pub log: Vec<(u64, Vec<u8>)>,
}

/// A new saga: a header with `seq` 1 and the first row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// With the epoch of whoever claims it along, or 0.
    pub header: Header,
    /// An encoded row.
    pub row: Vec<u8>,
}

/// What became of a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It is there, durably.
    Created,
    /// One with this id is there already: its fingerprint.
    Exists([u8; 32]),
}

/// A transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of which saga.
    pub id: SagaId,
    /// Who writes: the epoch of its claim.
    pub epoch: u64,
    /// The number of the transition before this one.
    pub seq: u64,
    /// An encoded row, to be stored with the number `seq + 1`.
    pub row: Vec<u8>,
    /// Rows that this one takes the place of: they are removed with it.
    pub drops: Vec<u64>,
    /// The new status.
    pub status: Status,
    /// The new reason.
    pub reason: String,
    /// When somebody should look at it again.
    pub due_at: Option<Millis>,
    /// When it ended, if it has.
    pub finished_at: Option<Millis>,
}

/// What became of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Append {
    /// It is there, durably; also when it had been before, and the answer was lost.
    Applied,
    /// The saga has another epoch or another number, or is gone: the writer has lost it.
    Lost,
}

/// What is stored, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Sagas on their way forward.
    pub running: u64,
    /// Sagas being undone.
    pub compensating: u64,
    /// Sagas that wait for a decision.
    pub parked: u64,
    /// When the oldest of these was submitted.
    pub oldest: Option<Millis>,
}

/// Where sagas are kept. Cheap to clone.
pub trait Store: Clone + Send + Sync + 'static {
    /// The store's clock: the one by which `due_at` and all other times are meant. It never blocks.
    fn now(&self) -> Millis;

    /// Stores a new saga durably, unless one with its id is there.
    fn create(&self, new: New) -> impl Future<Output = Result<Creation, StoreError>> + Send;

    /// Makes one transition durable if `epoch` and `seq` are those of the stored header.
    fn append(&self, change: Change) -> impl Future<Output = Result<Append, StoreError>> + Send;

    /// Claims at most `most` sagas that are due, those that are due for longest first: increments their epoch and moves their
    /// `due_at` on by the lease.
    fn claim(
        &self,
        most: usize,
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Stored>, StoreError>> + Send;

    /// When the next saga is due, as far as this process knows; [`Millis::MAX`] when it knows of none. What others leave in
    /// a shared store is found by claiming now and then. It never blocks.
    fn next_due(&self) -> Millis;

    /// Sets `due_at` of those sagas that still have this epoch.
    fn renew(
        &self,
        held: Vec<(SagaId, u64)>,
        due_at: Millis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// A saga, whole.
    fn load(&self, id: &SagaId) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Headers in the order of their ids.
    fn list(&self, filter: &Filter) -> impl Future<Output = Result<Vec<Summary>, StoreError>> + Send;

    /// Forgets at most `most` sagas that ended before `before`, and says how many.
    fn forget(&self, before: Millis, most: usize) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// What is stored, in figures.
    fn figures(&self) -> impl Future<Output = Result<Figures, StoreError>> + Send;
}
