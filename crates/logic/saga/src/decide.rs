//! What happens next. Pure: from a state and the time to the events that follow from them; an intent among these is a call
//! to make once it is durable.

#[cfg(test)]
mod tests;

use crate::log::{Event, Spot};
use crate::plan::{Kind, Op};
use crate::state::{OpState, State};
use crate::view::{Millis, Phase, Status};

/// All that follows now from the state, which moves on with it.
pub(crate) fn advance(state: &mut State, now: Millis, most_attempts: u32) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let events = next(state, now, most_attempts);
        if events.is_empty() {
            return all;
        }
        for event in events {
            // What `next` says fits the state it was asked about.
            if state.apply(&event).is_err() {
                return all;
            }
            all.push(event);
        }
    }
}

/// When there is something to do though nobody answers: the next attempt, or the deadline.
pub(crate) fn wake(state: &State) -> Option<Millis> {
    let waiting = calls(state).into_iter().filter_map(|spot| match state.op(spot)?.phase {
        Phase::Waiting(until) => Some(until),
        _ => None,
    });
    let deadline = state.deadline_at.filter(|_| can_turn_by_deadline(state));
    waiting.chain(deadline).min()
}

fn next(state: &State, now: Millis, most_attempts: u32) -> Vec<Event> {
    if state.status.is_terminal() || state.status == Status::Parked {
        return Vec::new();
    }
    if let Some(turn) = turn(state, now) {
        return vec![turn];
    }
    let calls = calls(state);
    if calls.is_empty() {
        return vec![if state.turned { Event::Compensated } else { Event::Completed }];
    }
    if let Some(park) = calls.iter().find_map(|spot| park(state, *spot, most_attempts)) {
        return vec![park];
    }
    let due = |op: &OpState| match op.phase {
        Phase::Idle => true,
        Phase::Waiting(until) => until <= now,
        _ => false,
    };
    let due = calls.into_iter().filter_map(|spot| {
        let op = state.op(spot).filter(|op| due(op))?;
        Some(Event::Sent { spot, attempt: op.attempt.saturating_add(1) })
    });
    due.collect()
}

/// The calls to be made now or under way now: one stage of the plan.
fn calls(state: &State) -> Vec<Spot> {
    let spot = |step| Spot { step, op: if state.turned { Op::Compensate } else { Op::Execute } };
    let open = |step: &usize| if state.turned { is_to_undo(state, *step) } else { is_to_do(state, *step) };
    let steps = 0..state.steps.len();
    let at = if state.turned { steps.rev().find(open) } else { steps.into_iter().find(open) };
    at.map(|at| state.plan.stage_of(at).filter(open).map(spot).collect()).unwrap_or_default()
}

fn is_to_do(state: &State, step: usize) -> bool {
    state.steps.get(step).is_some_and(|step| step.execute.phase != Phase::Done)
}

/// Whatever may have arrived is undone, whether it was answered or not; what was refused for good never happened.
fn is_to_undo(state: &State, step: usize) -> bool {
    let compensable = state.plan.steps.get(step).is_some_and(|step| step.kind == Kind::Compensable);
    compensable
        && state.steps.get(step).is_some_and(|step| {
            step.execute.sent && step.execute.phase != Phase::Rejected && step.compensate.phase != Phase::Done
        })
}

fn can_turn_by_deadline(state: &State) -> bool {
    state.status == Status::Running && !state.is_past_pivot()
}

/// Why a saga on its way forward must turn now, if it must.
fn turn(state: &State, now: Millis) -> Option<Event> {
    if state.turned {
        return None;
    }
    let mut steps = state.plan.steps.iter().zip(&state.steps);
    let rejected =
        steps.find(|(plan, step)| plan.kind != Kind::Retriable && step.execute.phase == Phase::Rejected);
    if let Some((plan, step)) = rejected {
        return Some(Event::Turned { reason: format!("{} was rejected: {}", plan.name, step.failure) });
    }
    let over = can_turn_by_deadline(state)
        && state.deadline_at.is_some_and(|deadline| deadline <= now)
        && !calls(state).is_empty();
    over.then(|| Event::Turned { reason: "the deadline is over".to_owned() })
}

/// Whether a call that must succeed cannot.
fn park(state: &State, spot: Spot, most_attempts: u32) -> Option<Event> {
    let plan = state.plan.steps.get(spot.step)?;
    let must_succeed = spot.op == Op::Compensate || plan.kind == Kind::Retriable;
    let op = state.op(spot).filter(|_| must_succeed)?;
    let reason = match op.phase {
        Phase::Rejected => "was rejected".to_owned(),
        Phase::Waiting(_) if op.failures >= most_attempts => format!("failed {} times", op.failures),
        _ => return None,
    };
    let failure = state.steps.get(spot.step).map_or("", |step| &step.failure);
    let reason = format!("{} of {} {reason}: {failure}", spot.op, plan.name);
    Some(Event::Parked { spot: Some(spot), reason })
}
