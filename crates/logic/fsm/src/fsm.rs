//! The handle that callers use: decide at the desk, hand to the committer, await its answer.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use tokio::sync::mpsc::{Permit, Sender, error::TrySendError};
use tokio::sync::{SetOnce, oneshot};

use crate::committer::{self, Message, Request};
use crate::desk::{Attempt, Desk, Held, state_of};
use crate::error::{Error, StartError};
use crate::event::EventId;
use crate::health::{Failure, Health};
use crate::machine::{Code, Machine};
use crate::options::Options;
use crate::stats::{Counters, Stats};
use crate::store::{Commit, Store};
use crate::table::Slot;
use crate::word::Word;

/// Moves the entities of one store between the states of `M`. Cheap to clone; of any thread.
pub struct Fsm<M, S: Store> {
    queue: Sender<Message<S::Body>>,
    shared: Arc<Shared<S::Reader>>,
    machine: PhantomData<fn() -> M>,
}

/// What the callers and the committer share.
#[derive(Debug)]
pub(crate) struct Shared<L> {
    pub(crate) name: String,
    pub(crate) desk: Desk<L>,
    pub(crate) health: Health,
    pub(crate) counters: Counters,
    ended: SetOnce<()>,
}

impl<L> Shared<L> {
    /// Fails everything: whoever waits for a word learns it too.
    pub(crate) fn fail(&self, reason: &str) {
        self.health.fail(&self.name, reason);
        self.desk.table.waiters.wake_all();
    }

    /// The committer's last act: its half of the store is gone.
    pub(crate) fn ended(&self) {
        self.ended.set(()).unwrap_or_default();
    }
}

/// What a change, or a repeated event, led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied<S> {
    /// The present state.
    pub state: S,
    /// The present version.
    pub version: u64,
    /// The event id had been applied before; nothing was written now.
    pub repeated: bool,
}

type Outcome<S> = Result<Applied<S>, Error<S>>;

/// A change on its way, or an answer that needs none.
enum Sent<S> {
    Away(oneshot::Receiver<()>, Applied<S>),
    Answered(Applied<S>),
}

impl<M: Machine, S: Store> Fsm<M, S> {
    /// Starts the committer of a store: one named thread, which ends with [`Fsm::close`], on a failure of the store, or when the
    /// last `Fsm` is gone and its queue is committed.
    ///
    /// # Errors
    ///
    /// A broken machine, an option out of bounds, or no thread.
    pub fn start(store: S, options: &Options) -> Result<Self, StartError> {
        crate::machine::validate::<M>()?;
        options.validate()?;
        let shared = Arc::new(Shared {
            desk: Desk { table: options.table(), reader: store.reader() },
            name: options.name.clone(),
            health: Health::default(),
            counters: Counters::default(),
            ended: SetOnce::new(),
        });
        let queue = committer::start(store, options, Arc::clone(&shared))?;
        Ok(Self { queue, shared, machine: PhantomData })
    }

    /// Creates an entity in the machine's initial state, at version 1, with its body. Returns when it is durable.
    ///
    /// Dropping the future does not undo a creation that is on its way.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::Busy`], [`Error::Read`], [`Error::Failed`], [`Error::Closed`].
    pub async fn create(&self, key: u64, body: S::Body) -> Outcome<M::State> {
        let mut body = Some(body);
        self.until_decided(key, || {
            let permit = self.admit()?;
            match self.shared.desk.create::<M>(key)? {
                Attempt::Held(Held { slot, before, after }) => {
                    let commit =
                        Commit { key, before, after, event: None, event_id: None, body: body.take() };
                    Self::send(permit, slot, commit).map(Some)
                }
                Attempt::Repeated(_) | Attempt::Wait => Ok(None),
            }
        })
        .await
    }

    /// Applies an event, and returns when the change is durable. While another change of the entity is on its way, it waits for
    /// that and decides on the outcome.
    ///
    /// With an event id the call is idempotent: once applied, the same id answers the present word, with `repeated`.
    /// Dropping the future does not undo a transition that is on its way.
    ///
    /// # Errors
    ///
    /// All of [`Error`] but [`Error::Exists`].
    pub async fn transition(&self, key: u64, event: M::Event, id: Option<EventId>) -> Outcome<M::State> {
        self.until_decided(key, || {
            let permit = self.admit()?;
            match self.shared.desk.transition::<M>(key, event, id.as_ref())? {
                Attempt::Held(Held { slot, before, after }) => {
                    let commit =
                        Commit { key, before, after, event: Some(event.code()), event_id: id, body: None };
                    Self::send(permit, slot, commit).map(Some)
                }
                Attempt::Repeated(word) => Ok(Some(Sent::Answered(applied::<M>(word, true)?))),
                Attempt::Wait => Ok(None),
            }
        })
        .await
    }

    /// Resolves when the store has failed, with the reason; never otherwise. The owner should then be not-ready at once, and
    /// exit.
    pub async fn failed(&self) -> Failure {
        self.shared.health.failed().await
    }

    /// Fails the committer from outside, as when the owner's own probe finds the store broken. Every later call answers
    /// [`Error::Failed`]; the first reason is kept.
    pub fn fail(&self, reason: &str) {
        self.shared.fail(reason);
    }

    /// Takes nothing more, commits what is queued, and drops the store's write half. May be called by several.
    ///
    /// # Errors
    ///
    /// The reason, as soon as the store has failed. The thread is then not waited for: a failed store may never return.
    pub async fn close(&self) -> Result<(), Failure> {
        let mut ended = pin!(async {
            // An error means that the queue is closed already.
            self.queue.send(Message::Close).await.unwrap_or_default();
            self.shared.ended.wait().await;
        });
        let mut failed = pin!(self.shared.health.failed());
        poll_fn(|context| match failed.as_mut().poll(context) {
            Poll::Ready(failure) => Poll::Ready(Err(failure)),
            Poll::Pending => ended.as_mut().poll(context).map(Ok),
        })
        .await
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        let queued = self.queue.max_capacity() - self.queue.capacity();
        self.shared.counters.snapshot(queued, self.shared.desk.table.waiters.waiting())
    }

    /// Makes attempts until one is decided, waiting in between for whoever holds the word; then awaits the committer.
    async fn until_decided(
        &self,
        key: u64,
        mut attempt: impl FnMut() -> Result<Option<Sent<M::State>>, Error<M::State>>,
    ) -> Outcome<M::State> {
        let sent = loop {
            if let Some(sent) = attempt()? {
                break sent;
            }
            let table = &self.shared.desk.table;
            let waiter = table.waiters.enlist(table.hash(key)).ok_or_else(|| self.busy())?;
            let woken = pin!(waiter.woken());
            // The word may have been let go before the waiter was counted: look once more.
            if let Some(sent) = attempt()? {
                break sent;
            }
            woken.await;
        };
        match sent {
            Sent::Answered(applied) => Ok(applied),
            // The committer answers by a value, and refuses by dropping the sender.
            Sent::Away(answer, applied) => answer.await.map(|()| applied).map_err(|_| Error::Failed),
        }
    }

    /// Reserves a place in the queue. Comes before anything is held, so that whatever is held can be sent.
    fn admit(&self) -> Result<Permit<'_, Message<S::Body>>, Error<M::State>> {
        if !self.shared.health.ok() {
            return Err(Error::Failed);
        }
        self.queue.try_reserve().map_err(|error| match error {
            TrySendError::Full(()) => self.busy(),
            TrySendError::Closed(()) if self.shared.health.ok() => Error::Closed,
            TrySendError::Closed(()) => Error::Failed,
        })
    }

    fn busy(&self) -> Error<M::State> {
        self.shared.counters.busy.fetch_add(1, Relaxed);
        Error::Busy
    }

    fn send(
        permit: Permit<'_, Message<S::Body>>,
        slot: Slot,
        commit: Commit<S::Body>,
    ) -> Result<Sent<M::State>, Error<M::State>> {
        let (reply, answer) = oneshot::channel();
        let after = commit.after;
        permit.send(Message::Request(Request { slot, commit, reply }));
        Ok(Sent::Away(answer, applied::<M>(after, false)?))
    }
}

fn applied<M: Machine>(word: Word, repeated: bool) -> Outcome<M::State> {
    Ok(Applied { state: state_of::<M>(word)?, version: word.version(), repeated })
}

impl<M, S: Store> Clone for Fsm<M, S> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), shared: Arc::clone(&self.shared), machine: PhantomData }
    }
}

impl<M, S: Store> fmt::Debug for Fsm<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fsm")
            .field("name", &self.shared.name)
            .field("health", &self.shared.health)
            .finish_non_exhaustive()
    }
}
