//! The store that the owner provides: a read half for the callers, a write half for the committer.

use crate::event::{EventId, EventRow};
use crate::word::Word;

/// Any error of a store.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// The read half. Called on request tasks, so it must not wait: a read of an embedded store (1.5 µs) will do.
///
/// It must see whatever [`Store::apply`] has applied, and nothing that is not durable.
pub trait Load: Send + Sync + 'static {
    /// The word of an entity, `None` when there is no such entity.
    fn word(&self, key: u64) -> Result<Option<Word>, StoreError>;

    /// The event that was stored under this id, `None` when there is none.
    fn event(&self, key: u64, id: &EventId) -> Result<Option<EventRow>, StoreError>;
}

/// The write half. It is moved into the committer's thread and may block.
pub trait Store: Send + 'static {
    /// What a creation carries besides the word (an order's row). Opaque here.
    type Body: Send + 'static;
    /// The read half.
    type Reader: Load;

    /// The read half; called once, before anything else.
    fn reader(&self) -> Self::Reader;

    /// Makes the batch durable, all of it or nothing: when this returns `Ok` it has survived a loss of power.
    ///
    /// Each key is there at most once. An error, or a panic, ends the committer: nothing of the batch is acknowledged, and
    /// whether it is on disk is unknown until a restart reads it.
    fn apply(&mut self, batch: &[Commit<Self::Body>]) -> Result<(), StoreError>;

    /// Called after [`Store::apply`] and before any caller of the batch is answered: the place to fence a local cache and
    /// to publish. It must not block.
    fn committed(&mut self, batch: &[Commit<Self::Body>]) {
        let _ = batch;
    }
}

/// One change to make durable.
#[derive(Debug, Clone)]
pub struct Commit<B> {
    /// The entity.
    pub key: u64,
    /// Its word before; `None` for a creation.
    pub before: Option<Word>,
    /// Its word after: what to store.
    pub after: Word,
    /// The code of the event; `None` for a creation.
    pub event: Option<u8>,
    /// The event's id, when the caller gave one: store the event and `after`'s version under it.
    pub event_id: Option<EventId>,
    /// The body of a creation; `None` for a transition.
    pub body: Option<B>,
}

impl<B> Commit<B> {
    /// The row to store under the event id; `None` when this change has none.
    pub fn event_row(&self) -> Option<(&EventId, EventRow)> {
        let event = self.event?;
        let id = self.event_id.as_ref()?;
        Some((id, EventRow { event, version: self.after.version() }))
    }
}
