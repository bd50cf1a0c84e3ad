//! What the owner provides: transactions on a database in which each entity is a row that several processes change.

use std::collections::HashMap;
use std::fmt::Debug;

use crate::event::EventId;
use crate::word::Word;

/// A database that all processes share. Its rows decide; nothing of it is kept here.
pub trait Database: Send + Sync + 'static {
    /// What a creation carries besides the word (an order's row). Opaque here.
    type Body: Send + Sync + 'static;
    /// What a row has besides the word: handed back to whoever moved the entity.
    type Extra: Clone + Send + Sync + 'static;
    /// What a commit answers: how far a reader must be to see it.
    type Receipt: Clone + Send + Sync + 'static;
    /// Why something failed.
    type Error: std::error::Error + Send + Sync + 'static;
    /// A transaction. Dropped, it is undone.
    type Transaction: Transaction<Body = Self::Body, Extra = Self::Extra, Receipt = Self::Receipt, Error = Self::Error>;

    /// Begins a transaction, at READ COMMITTED: what was committed before a lock was had must be seen after it.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, Fault<Self::Error>>> + Send;

    /// A change is committed, and its caller not answered yet: the place to fence a local cache. It must not block.
    fn committed(&self, key: u64, after: Word) {
        let _ = (key, after);
    }

    /// A commit's reply was lost: whether the entity was changed is not known now. It must not block.
    fn in_doubt(&self, key: u64) {
        let _ = key;
    }
}

/// One transaction, in the order of its methods.
pub trait Transaction: Send {
    /// That of the database.
    type Body;
    /// That of the database.
    type Extra;
    /// That of the database.
    type Receipt;
    /// That of the database.
    type Error;

    /// Locks the rows of `keys`, which ascend, so that no two transactions wait for each other; then reads, with what is committed
    /// by then, the events that were applied to them.
    fn lock(
        &mut self,
        keys: &[u64],
        locking: Locking,
    ) -> impl Future<Output = Result<Found<Self::Extra>, Fault<Self::Error>>> + Send;

    /// Writes all that was decided: the rows, the events with their ids, and whatever the owner adds to it.
    fn write(
        &mut self,
        writes: &Writes<'_, Self::Body>,
    ) -> impl Future<Output = Result<(), Fault<Self::Error>>> + Send;

    /// Undoes it, so that its connection can be used again.
    fn rollback(self) -> impl Future<Output = ()> + Send;

    /// Commits.
    fn commit(self) -> impl Future<Output = Result<Self::Receipt, Fault<Self::Error>>> + Send;
}

/// How a locked row is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// Wait for who has it, for a short time; then it is a [`Fault::Conflict`].
    Wait,
    /// Leave it out, and tell so in [`Found::locked`].
    Skip,
}

/// What there is of the entities of a batch.
#[derive(Debug)]
pub struct Found<E> {
    /// The entities that exist and are locked now: state and version as they stand there, and the rest.
    pub rows: HashMap<u64, Row<E>>,
    /// Those that others have locked. Of a key that is in neither there is no entity.
    pub locked: Vec<u64>,
    /// The events that were applied to the entities in `rows`, by their ids.
    pub events: HashMap<(u64, EventId), Known>,
}

impl<E> Default for Found<E> {
    fn default() -> Self {
        Self { rows: HashMap::new(), locked: Vec::new(), events: HashMap::new() }
    }
}

/// An entity's row.
#[derive(Clone, Debug)]
pub struct Row<E> {
    /// The code of its state.
    pub state: u8,
    /// Its version.
    pub version: u64,
    /// The rest of it.
    pub extra: E,
}

/// An event that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its code.
    pub event: u8,
    /// The code of the state that it led to.
    pub state: u8,
    /// The version that it led to.
    pub version: u64,
}

/// All that a transaction writes.
#[derive(Debug)]
pub struct Writes<'a, B> {
    /// New entities, ascending, each as the batch leaves it.
    pub created: Vec<(u64, Word, &'a B)>,
    /// Entities that were there, ascending: from which word to which. Several events may lie in between.
    pub moved: Vec<(u64, Word, Word)>,
    /// Each step, those of one entity in the order of versions. A creation is the step to version 1.
    pub steps: Vec<Step>,
}

impl<B> Writes<'_, B> {
    /// Nothing to write.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// One version of one entity.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The entity.
    pub key: u64,
    /// Its word after the step.
    pub after: Word,
    /// The code of the event, and its id; `None` for a creation.
    pub event: Option<(u8, EventId)>,
}

/// Why a transaction came to nothing, as far as that decides what is done next.
#[derive(Debug)]
pub enum Fault<E> {
    /// Another transaction was in the way: a deadlock, a lock that was not had in time. Nothing was written.
    Conflict(E),
    /// The database cannot be used, or went away before COMMIT. Nothing was written.
    Away(E),
    /// It went away at COMMIT: written or not.
    Unknown(E),
    /// Some row is not what it was found to be, or is there already: it is looked for by halving, and alone it is a conflict. Nothing was
    /// written.
    Moved(E),
    /// What was written is refused, because of some row of it, which is looked for by halving. Nothing was written.
    Refused(E),
}

/// What a caller is answered when the change is committed.
#[derive(Clone, Debug)]
pub struct Done<S, E, R> {
    /// The state.
    pub state: S,
    /// The version.
    pub version: u64,
    /// The rest of the row; `None` after a creation, whose maker has it.
    pub extra: Option<E>,
    /// How far a reader must be to see it.
    pub receipt: R,
    /// The event id had been applied before; this is the present state.
    pub repeated: bool,
}

/// Why a change was not made, or is not known to be. `S` is the machine's state, `E` the database's error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GroupError<S: Debug, E> {
    /// There is no such entity. The caller's fault.
    #[error("no such entity")]
    NotFound,
    /// A creation of an entity that exists. Keys are minted once.
    #[error("the entity exists")]
    Exists,
    /// The event is not legal in the present state. The caller's fault.
    #[error("illegal in state {state:?} (version {version})")]
    Illegal {
        /// The present state.
        state: S,
        /// The present version.
        version: u64,
    },
    /// The event id belongs to another event of this entity. The caller's fault.
    #[error("the event id was used for another event, which led to version {version}")]
    EventReused {
        /// The version that the other event led to.
        version: u64,
    },
    /// The row holds a state or a version that the machine does not know.
    #[error("the row has the unknown state {state}, version {version}")]
    Damaged {
        /// Its state's code.
        state: u8,
        /// Its version.
        version: u64,
    },
    /// Too many changes are waiting. Nothing was done.
    #[error("busy: too many changes are waiting")]
    Busy,
    /// Others had the same entity at each attempt. Nothing was done.
    #[error("others were in the way at each attempt")]
    Aborted,
    /// The database could not be used at any attempt. Nothing was done.
    #[error("the database cannot be used: {0}")]
    Unavailable(E),
    /// The database refuses this very row. Nothing was done.
    #[error("the database refuses it: {0}")]
    Refused(E),
    /// Whether the change was committed could not be learnt.
    #[error("whether it was committed is unknown: {0}")]
    Unknown(E),
    /// The committer was closed. Nothing was done.
    #[error("closed")]
    Closed,
    /// The committer ended in the middle of it: whether the change was committed is unknown.
    #[error("the committer is gone")]
    Gone,
}
