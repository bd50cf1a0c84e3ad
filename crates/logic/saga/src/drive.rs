//! One saga, from the moment it is claimed until it ends or waits: decide, write, then send.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::backoff;
use crate::clock::millis;
use crate::decide::{advance, wake};
use crate::error::StoreError;
use crate::executor::{Call, Executor, Outcome};
use crate::held::Held;
use crate::log::{Event, Row, Spot};
use crate::owned::Owned;
use crate::plan::{Kind, Op};
use crate::shared::Shared;
use crate::state::State;
use crate::store::{Append, Change, Store};
use crate::view::{Millis, Status};
use crate::wire::checksum;

/// How long a store that does not answer is left alone, at first and at most.
const STORE_BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

type Calls<'a> = FuturesUnordered<BoxFuture<'a, (Spot, Outcome)>>;

/// A saga and what it runs on.
pub(crate) struct Drive<'a, S: Store, E> {
    pub(crate) shared: &'a Shared<S>,
    pub(crate) executor: &'a E,
    pub(crate) closing: &'a AtomicBool,
}

impl<S: Store, E> Clone for Drive<'_, S, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Store, E> Copy for Drive<'_, S, E> {}

impl<'a, S: Store, E: Executor> Drive<'a, S, E> {
    /// Drives a saga until it ends, is parked, or nothing is under way and its next attempt is due later: then it is let go,
    /// for whoever claims it at that time. An error is that of a store that has failed for good.
    pub(crate) async fn run(self, mut saga: Owned) -> Result<(), StoreError> {
        let mut calls: Calls<'a> = FuturesUnordered::new();
        let mut events = self.unknown(&mut saga.state);
        loop {
            let closing = self.closing.load(Relaxed);
            let was_past = saga.state.is_past_pivot();
            if !closing {
                let now = self.shared.store.now();
                events.extend(advance(&mut saga.state, now, self.shared.options.most_attempts));
            }
            if events.iter().any(|event| matches!(event, Event::Turned { .. } | Event::Parked { .. })) {
                // Whatever these answer, it changes nothing any more.
                calls.clear();
            }
            let sends = intents(&events);
            let rests = sends.is_empty() && calls.is_empty();
            if !self.write(&mut saga, &events, rests).await? {
                self.shared.counters.lost.fetch_add(1, Relaxed);
                saga.held.let_go();
                return Ok(());
            }
            saga.arrival = None;
            if rests {
                self.leave(saga);
                return Ok(());
            }
            events.clear();
            if let Some(withdrawn) = self.too_late(&saga.state, &sends, was_past) {
                events.extend(saga.state.apply(&withdrawn).is_ok().then_some(withdrawn));
                continue;
            }
            for (spot, attempt) in sends {
                calls.extend(self.call(&saga, spot, attempt));
            }
            // When closing nothing is begun, so there is nothing to wake up for.
            let timer = wake(&saga.state).filter(|_| !closing).map(|at| self.instant(at));
            tokio::select! {
                biased;
                Some((spot, outcome)) = calls.next() => {
                    let event = self.answer(&saga, spot, outcome);
                    events.extend(saga.state.apply(&event).is_ok().then_some(event));
                }
                () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => {}
            }
        }
    }

    /// A saga that nobody here can run is parked, not guessed at.
    fn unknown(&self, state: &mut State) -> Vec<Event> {
        let definition = &state.plan.definition;
        if self.executor.knows(definition) {
            return Vec::new();
        }
        let reason = format!("its definition is unknown here: {}", definition.describe());
        let park = Event::Parked { spot: None, reason };
        state.apply(&park).map(|()| vec![park]).unwrap_or_default()
    }

    /// Makes events durable. False when somebody else has the saga.
    async fn write(&self, saga: &mut Owned, events: &[Event], rests: bool) -> Result<bool, StoreError> {
        if events.is_empty() {
            return if rests { self.release(saga).await } else { Ok(true) };
        }
        let at = self.shared.store.now();
        let Held { id, epoch, .. } = &saga.held;
        let place = saga.tail.place(saga.seq, events);
        let row = Row { at, epoch: *epoch, prev: place.prev, events: events.to_vec() }.encode();
        let status = saga.state.status;
        let mut change = Change {
            id: id.clone(),
            epoch: *epoch,
            seq: saga.seq,
            row,
            drops: place.drops.clone(),
            status,
            reason: saga.state.reason.clone(),
            due_at: None,
            finished_at: status.is_terminal().then_some(at),
        };
        let mut pause = STORE_BACKOFF.0;
        loop {
            change.due_at = self.due_at(saga, rests);
            match self.shared.store.append(change.clone()).await {
                Ok(Append::Applied) => break,
                Ok(Append::Lost) => return Ok(false),
                Err(StoreError::Unavailable(why)) => {
                    if self.closing.load(Relaxed) {
                        // It is as if this process had ended here.
                        return Ok(false);
                    }
                    tracing::debug!(saga = %change.id, why, "the store does not answer; trying again");
                    sleep(pause).await;
                    pause = (pause * 2).min(STORE_BACKOFF.1);
                }
                Err(StoreError::Damaged(why)) => {
                    tracing::error!(saga = %change.id, why, "damaged rows: the saga is left alone");
                    return Ok(false);
                }
                Err(error @ StoreError::Failed(_)) => return Err(error),
            }
        }
        saga.seq += 1;
        saga.tail.push(saga.seq, events, &place);
        self.count(&saga.held, &saga.state, events);
        Ok(true)
    }

    /// When somebody should look at the saga again.
    fn due_at(&self, Owned { held, state, .. }: &Owned, rests: bool) -> Option<Millis> {
        if state.status.is_terminal() || state.status == Status::Parked {
            return None;
        }
        if !rests {
            return Some(held.lease_end(self.shared.store.now(), millis(self.shared.options.lease)));
        }
        // Without a timer it was interrupted: others may go on at once.
        Some(
            if self.closing.load(Relaxed) { None } else { wake(state) }
                .unwrap_or_else(|| self.shared.store.now()),
        )
    }

    /// Gives back a saga of which there is nothing to write.
    async fn release(&self, saga: &Owned) -> Result<bool, StoreError> {
        let Some(due_at) = self.due_at(saga, true) else { return Ok(true) };
        let held = vec![(saga.held.id.clone(), saga.held.epoch)];
        match self.shared.store.renew(held, due_at).await {
            Err(error @ StoreError::Failed(_)) => Err(error),
            // Else it is due when its lease ends.
            _ => Ok(true),
        }
    }

    fn leave(&self, saga: Owned) {
        let Owned { held, state, .. } = saga;
        let id = held.id.clone();
        // First: who is told looks whether it is still held.
        held.let_go();
        if state.status.is_terminal() {
            self.shared.waiters.tell(&id);
        } else if state.status != Status::Parked {
            self.shared.nudge.notify_one();
        }
    }

    fn count(&self, held: &Held, state: &State, events: &[Event]) {
        let counters = &self.shared.counters;
        for event in events {
            match event {
                Event::Sent { attempt, .. } => {
                    counters.sends.fetch_add(1, Relaxed);
                    counters.retries.fetch_add(u64::from(*attempt > 1), Relaxed);
                }
                Event::Completed => _ = counters.completed.fetch_add(1, Relaxed),
                Event::Compensated => _ = counters.compensated.fetch_add(1, Relaxed),
                Event::Parked { reason, .. } => {
                    counters.parked.fetch_add(1, Relaxed);
                    tracing::warn!(saga = %held.id, reason, "parked: retry, skip or abandon it");
                }
                Event::Turned { reason } => {
                    tracing::debug!(saga = %held.id, reason, steps = state.steps.len(), "turned");
                }
                _ => {}
            }
        }
    }

    /// The intent of the pivot became durable so late that the deadline is over: it was not sent, and is not to be.
    fn too_late(&self, state: &State, sends: &[(Spot, u32)], was_past: bool) -> Option<Event> {
        let deadline = state.deadline_at?;
        let decides = |spot: &Spot| {
            spot.op == Op::Execute
                && state.plan.steps.get(spot.step).is_some_and(|step| step.kind != Kind::Compensable)
        };
        let spot = sends.iter().map(|(spot, _)| *spot).find(decides)?;
        let late = !was_past && sends.len() == 1 && deadline <= self.shared.store.now();
        late.then_some(Event::Withdrawn { spot })
    }

    /// One attempt, bounded in time. A panic is an answer too.
    fn call(&self, saga: &Owned, spot: Spot, attempt: u32) -> Option<BoxFuture<'a, (Spot, Outcome)>> {
        let state = &saga.state;
        let step = state.plan.steps.get(spot.step)?;
        let mut limit = self.shared.options.attempt_timeout;
        if let Some(deadline) = state.deadline_at.filter(|_| spot.op == Op::Execute && !state.is_past_pivot())
        {
            let left = deadline.saturating_sub(self.shared.store.now());
            limit = limit.min(Duration::from_millis(left));
        }
        let outputs = state.steps.iter().take(spot.step + usize::from(spot.op == Op::Compensate)).enumerate();
        let call = Call {
            saga: saga.held.id.clone(),
            definition: state.plan.definition.clone(),
            step: step.name.clone(),
            number: spot.step,
            op: spot.op,
            attempt,
            target: step.target.clone(),
            payload: step.payload.clone(),
            context: state.context.clone(),
            outputs: outputs.filter_map(|(at, step)| Some((at, step.output.clone()?))).collect(),
            timeout: limit,
        };
        let executor = self.executor;
        let attempt = async move {
            let sent = AssertUnwindSafe(async move { executor.send(call).await }).catch_unwind();
            let outcome = match timeout(limit, sent).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(panic)) => Outcome::Broken(format!("it panicked: {}", message_of(panic.as_ref()))),
                Err(_) => Outcome::Unknown(format!("no answer within {limit:?}")),
            };
            (spot, outcome)
        };
        Some(attempt.boxed())
    }

    /// What an answer means for the log.
    fn answer(&self, saga: &Owned, spot: Spot, outcome: Outcome) -> Event {
        let state = &saga.state;
        match outcome {
            Outcome::Done(output) => Event::Done { spot, output },
            Outcome::Rejected(reason) => Event::Rejected { spot, reason: short(reason) },
            Outcome::Unknown(reason) => {
                let op = state.op(spot).copied().unwrap_or_default();
                let seed = checksum(saga.held.id.as_str().as_bytes()) ^ u64::from(op.attempt);
                let pause = backoff::pause(&self.shared.options, op.failures, seed);
                let retry_at = self.shared.store.now().saturating_add(millis(pause));
                let failures = op.failures.saturating_add(1);
                Event::Unknown { spot, attempt: op.attempt, failures, reason: short(reason), retry_at }
            }
            Outcome::Broken(reason) => {
                let name = state.plan.steps.get(spot.step).map_or("", |step| &step.name);
                Event::Parked { spot: Some(spot), reason: short(format!("{} of {name}: {reason}", spot.op)) }
            }
        }
    }

    fn instant(&self, at: Millis) -> Instant {
        Instant::now() + Duration::from_millis(at.saturating_sub(self.shared.store.now()))
    }
}

/// The calls that events announce.
fn intents(events: &[Event]) -> Vec<(Spot, u32)> {
    let sent = events.iter().filter_map(|event| match event {
        Event::Sent { spot, attempt } => Some((*spot, *attempt)),
        _ => None,
    });
    sent.collect()
}

/// What participants say is kept, but not a book of it.
fn short(mut text: String) -> String {
    const MOST: usize = 500;
    if text.len() > MOST {
        let cut = (0..=MOST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
