//! Group commit on a database that several processes share: what queued up becomes one transaction.
//!
//! [`Fsm`](crate::Fsm) holds the words of an embedded store in memory; here the row is the word, and who has it locked decides. A
//! [`Group`] is the committer of one database in one process: it takes all changes that wait, locks their rows in ascending order,
//! decides each against its row with the machine's table, and writes and commits all of them together ([`Transaction`]). So
//!
//! - one answer is one change, whatever the others in the batch come to: each is answered its own outcome;
//! - a row that the database refuses is found by halving the batch, and refused alone;
//! - a commit whose reply is lost leaves no guess: each event has an id (one is minted where the caller gave none), which is written
//!   with it, so the batch is made again, and its ids tell under the locks what the first attempt came to;
//! - where other processes are in the way, a change is tried again [`GroupOptions::retries`] times, with pauses that double and
//!   vary, without waiting for locks and without holding up others; then it is [`GroupError::Aborted`];
//! - what waits is bounded, and beyond it the answer is [`GroupError::Busy`].

mod committer;
mod database;
mod decide;
mod options;
mod stats;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::{Semaphore, SetOnce, TryAcquireError, mpsc, oneshot};

use crate::error::StartError;
use crate::event::EventId;
use crate::machine::{Code as _, Machine};
use committer::{Committer, Message, Request};
pub use database::{
    Database, Done, Fault, Found, GroupError, Known, Locking, Row, Step, Transaction, Writes,
};
use decide::{Asked, What};
pub use options::GroupOptions;
pub use stats::GroupStats;
use stats::{Counters, count};

/// Begins the ids that are minted. No text in UTF-8 has this byte, so no caller can have given such an id by chance.
const MINTED: u8 = 0xff;

/// What a call answers.
pub type GroupOutcome<M, D> = Result<
    Done<<M as Machine>::State, <D as Database>::Extra, <D as Database>::Receipt>,
    GroupError<<M as Machine>::State, Arc<<D as Database>::Error>>,
>;

/// Moves the entities of one database between the states of `M`. Cheap to clone; of any task.
pub struct Group<M: Machine, D: Database> {
    queue: mpsc::Sender<Message<M, D>>,
    shared: Arc<Shared>,
    machine: PhantomData<fn() -> M>,
}

/// What the callers and the committer share.
#[derive(Debug)]
struct Shared {
    name: String,
    counters: Counters,
    room: Arc<Semaphore>,
    limit: usize,
    seed: u64,
    minted: AtomicU64,
    ended: SetOnce<()>,
}

impl<M: Machine, D: Database> Group<M, D> {
    /// The handle, and the committer: a future that the owner spawns. It ends after [`Group::close`], or when the last handle is gone.
    ///
    /// # Errors
    /// A broken machine, or an option out of bounds.
    pub fn new(
        database: D,
        options: &GroupOptions,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<M, D>), StartError> {
        crate::machine::validate::<M>()?;
        options.validate()?;
        let shared = Arc::new(Shared {
            name: options.name.clone(),
            counters: Counters::default(),
            room: Arc::new(Semaphore::new(options.queue)),
            limit: options.queue,
            seed: options.seed,
            minted: AtomicU64::new(0),
            ended: SetOnce::new(),
        });
        // One more than there is room for, so that the end can always be said.
        let (queue, messages) = mpsc::channel(options.queue + 1);
        let committer = Committer::new(database, messages, options.clone(), Arc::clone(&shared));
        Ok((Self { queue, shared, machine: PhantomData }, committer.run()))
    }

    /// Creates an entity in the machine's initial state, at version 1, with its body. Returns when it is committed.
    ///
    /// A caller that goes away before its change is taken up gives it up; after that it is made or not, as if he had stayed.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn create(&self, key: u64, body: D::Body) -> GroupOutcome<M, D> {
        self.ask(key, What::Create(body)).await
    }

    /// Applies an event, and returns when that is committed. With an event id the call is idempotent: once applied, the same id
    /// answers what is there now, with `repeated`.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn transition(&self, key: u64, event: M::Event, id: Option<EventId>) -> GroupOutcome<M, D> {
        let id = id.or_else(|| self.mint()).ok_or(GroupError::Closed)?;
        self.ask(key, What::Event(event.code(), id)).await
    }

    /// Takes nothing more, commits what waits, and returns when that is done. May be called by several.
    pub async fn close(&self) {
        self.shared.room.close();
        // An error means that it has ended.
        self.queue.send(Message::Close).await.unwrap_or_default();
        self.shared.ended.wait().await;
    }

    /// Returns when the committer has ended though nobody closed it: it panicked, or its future was dropped. Nothing is committed any more;
    /// a restart is needed.
    pub async fn failed(&self) {
        self.shared.ended.wait().await;
        if self.shared.room.is_closed() {
            std::future::pending::<()>().await;
        }
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> GroupStats {
        self.shared.counters.snapshot(self.shared.limit - self.shared.room.available_permits())
    }

    async fn ask(&self, key: u64, what: What<D::Body>) -> GroupOutcome<M, D> {
        let room = Arc::clone(&self.shared.room).try_acquire_owned().map_err(|error| match error {
            TryAcquireError::Closed => GroupError::Closed,
            TryAcquireError::NoPermits => {
                count(&self.shared.counters.busy);
                GroupError::Busy
            }
        })?;
        let (reply, answer) = oneshot::channel();
        let request = Request::new(Asked { key, what, in_doubt: false }, reply, room);
        self.queue.try_send(Message::Request(request)).map_err(|_| GroupError::Closed)?;
        answer.await.map_err(|_| GroupError::Gone)?
    }

    fn mint(&self) -> Option<EventId> {
        let mut bytes = [MINTED; 17];
        bytes[1..9].copy_from_slice(&self.shared.seed.to_be_bytes());
        bytes[9..].copy_from_slice(&self.shared.minted.fetch_add(1, Relaxed).to_be_bytes());
        EventId::new(bytes)
    }
}

impl<M: Machine, D: Database> Clone for Group<M, D> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), shared: Arc::clone(&self.shared), machine: PhantomData }
    }
}

impl<M: Machine, D: Database> fmt::Debug for Group<M, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
