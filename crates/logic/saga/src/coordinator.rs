//! What callers ask of a coordinator. All it knows is in the store.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::clock::millis;
use crate::error::{OperateError, StoreError, SubmitError};
use crate::id::SagaId;
use crate::log::tail::Tail;
use crate::log::{Event, Row};
use crate::options::{InvalidOptions, Options};
use crate::owned::{Held, Owned};
use crate::plan::Plan;
use crate::shared::{Shared, Snapshot};
use crate::show;
use crate::state::State;
use crate::store::{Append, Change, Creation, Header, New, Store};
use crate::view::{Filter, Millis, Status, Summary, View};

/// The most bytes of what comes along with a submission.
const MOST_CONTEXT: usize = 16 << 10;

/// Runs sagas on a store. Cheap to clone; its clones are the same one.
#[derive(Debug)]
pub struct Coordinator<S: Store> {
    pub(crate) shared: Arc<Shared<S>>,
}

impl<S: Store> Clone for Coordinator<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// A saga to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// The client's key.
    pub id: SagaId,
    /// What to do.
    pub plan: Plan,
    /// After so long it must turn, if it has not gone past its pivot.
    pub deadline: Option<Duration>,
    /// What goes along into every call: trace, colour.
    pub context: Vec<(String, String)>,
}

/// A submission that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// False when the same submission was taken before.
    pub created: bool,
}

impl<S: Store> Coordinator<S> {
    /// A coordinator on this store. It does nothing by itself: see [`run`](Self::run).
    pub fn open(store: S, options: Options) -> Result<Self, InvalidOptions> {
        options.validate()?;
        Ok(Self { shared: Arc::new(Shared::new(store, options)) })
    }

    /// Takes a saga, durably. The same one may be submitted again and again, by its id and the plan's fingerprint.
    pub async fn submit(&self, submit: Submit) -> Result<Submitted, SubmitError> {
        submit.plan.validate().map_err(SubmitError::Invalid)?;
        if submit.context.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MOST_CONTEXT {
            return Err(SubmitError::Invalid(format!("the context has more than {MOST_CONTEXT} bytes")));
        }
        let shared = &self.shared;
        let now = shared.store.now();
        let Submit { id, plan, deadline, context } = submit;
        let deadline_at = deadline.map(|after| now.saturating_add(millis(after)));
        let fingerprint = plan.fingerprint;
        let definition = plan.definition.name().to_owned();
        let created = Event::Created { plan, context, deadline_at };
        let row = Row { at: now, epoch: 0, prev: 0, events: vec![created.clone()] }.encode();
        let state = State::created(created).map_err(|error| SubmitError::Invalid(error.to_string()))?;
        // Whoever can start with it at once has it from its birth.
        let held = Held::at_birth(shared, &id, 1);
        let summary = Summary {
            id: id.clone(),
            status: Status::Running,
            reason: String::new(),
            definition,
            created_at: now,
            deadline_at,
            finished_at: None,
        };
        let (epoch, due_at) = if held.is_some() { (1, shared.lease_end()) } else { (0, now) };
        let header = Header { summary, epoch, seq: 1, due_at: Some(due_at), fingerprint };
        match shared.store.create(New { header, row }).await? {
            Creation::Created => {}
            Creation::Exists(other) => {
                if let Some(held) = held {
                    held.let_go();
                }
                return if other == fingerprint {
                    Ok(Submitted { created: false })
                } else {
                    Err(SubmitError::Conflict)
                };
            }
        }
        shared.counters.submitted.fetch_add(1, Relaxed);
        match held {
            Some(held) => {
                let (held, tail) = (held.list(due_at), Tail::default());
                shared.hand_over(Owned { held, state, seq: 1, tail, arrival: None });
            }
            None => shared.nudge.notify_one(),
        }
        Ok(Submitted { created: true })
    }

    /// A saga, whole; `None` when there is none, or none any more.
    pub async fn get(&self, id: &SagaId) -> Result<Option<View>, StoreError> {
        Ok(self.shared.store.load(id).await?.as_ref().map(show::view))
    }

    /// Sagas in the order of their ids.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Summary>, StoreError> {
        self.shared.store.list(&filter).await
    }

    /// A parked saga goes on with the call it is stuck at, which may fail as often again.
    pub async fn retry(&self, id: &SagaId, actor: &str) -> Result<(), OperateError> {
        self.operate(id, Event::Retried { actor: actor.to_owned() }).await
    }

    /// A parked saga goes on as if the call it is stuck at were done.
    pub async fn skip(&self, id: &SagaId, actor: &str) -> Result<(), OperateError> {
        self.operate(id, Event::Skipped { actor: actor.to_owned() }).await
    }

    /// A parked saga ends as it is.
    pub async fn abandon(&self, id: &SagaId, actor: &str) -> Result<(), OperateError> {
        self.operate(id, Event::Abandoned { actor: actor.to_owned() }).await
    }

    async fn operate(&self, id: &SagaId, event: Event) -> Result<(), OperateError> {
        let shared = &self.shared;
        loop {
            let stored = shared.store.load(id).await?.ok_or(OperateError::NotFound)?;
            let Header { summary, epoch, seq, .. } = stored.header.clone();
            if summary.status != Status::Parked {
                return Err(OperateError::NotParked { wanted: wanted(&event), status: summary.status });
            }
            let state = show::fold(&stored).map(|(state, _)| state);
            let (status, reason) =
                decided(state, &event, &summary.reason).ok_or(OperateError::NothingToSkip)?;
            let now = shared.store.now();
            let change = Change {
                id: id.clone(),
                epoch,
                seq,
                row: Row { at: now, epoch, prev: seq, events: vec![event.clone()] }.encode(),
                drops: Vec::new(),
                status,
                reason,
                due_at: (!status.is_terminal()).then_some(now),
                finished_at: status.is_terminal().then_some(now),
            };
            // Lost: somebody else decided meanwhile.
            if shared.store.append(change).await? == Append::Applied {
                tracing::info!(saga = %id, ?event, "decided on a parked saga");
                shared.waiters.tell(id);
                shared.nudge.notify_one();
                return Ok(());
            }
        }
    }

    /// Waits for the saga's end, and answers it as it is then, or when `limit` is over.
    pub async fn wait(&self, id: &SagaId, limit: Duration) -> Result<Option<View>, StoreError> {
        let shared = &self.shared;
        let end = Instant::now() + limit;
        let waiter = shared.waiters.wait(id);
        // What this process works on has not ended: it tells when it has. Only if it has lost it, unnoticed, does it not.
        let mut trust = Instant::now() + shared.options.lease;
        loop {
            let told = waiter.notify.notified();
            tokio::pin!(told);
            // From here on nothing is missed.
            told.as_mut().enable();
            let now = Instant::now();
            if now >= end.min(trust) || !shared.held.has(id) {
                let view = self.get(id).await?;
                if view.as_ref().is_none_or(|view| view.status.is_terminal()) || now >= end {
                    return Ok(view);
                }
                trust = now + shared.options.lease;
            }
            // Another process may end it, and tells nobody here.
            let look = Instant::now() + shared.options.poll;
            tokio::select! {
                biased;
                () = told => {}
                () = sleep_until(look.min(end)) => {}
            }
        }
    }

    /// What was left by an earlier process has been looked at.
    pub fn ready(&self) -> bool {
        self.shared.ready.load(Relaxed)
    }

    /// Figures, a second old at most while [`run`](Self::run) runs.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The store's clock.
    pub fn now(&self) -> Millis {
        self.shared.store.now()
    }
}

/// What somebody wants to be done with a saga.
const fn wanted(event: &Event) -> &'static str {
    match event {
        Event::Retried { .. } => "retried",
        Event::Skipped { .. } => "skipped",
        _ => "abandoned",
    }
}

/// Status and reason after somebody's decision; `None` when there is nothing to skip. A saga whose log makes no sense can still be
/// looked at again, or given up.
fn decided(state: Option<State>, event: &Event, reason: &str) -> Option<(Status, String)> {
    if let Some(mut state) = state {
        state.apply(event).ok()?;
        return Some((state.status, state.reason));
    }
    match event {
        Event::Retried { .. } => Some((Status::Running, String::new())),
        Event::Abandoned { actor } => Some((Status::Abandoned, format!("abandoned by {actor}: {reason}"))),
        _ => None,
    }
}
