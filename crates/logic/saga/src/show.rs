//! From what is stored to what is shown.

use bytes::Bytes;

#[cfg(feature = "fjall")]
use crate::id::SagaId;
use crate::log::tail::{Place, Tail};
use crate::log::{Event, Row, Spot};
use crate::plan::{Definition, Op, Plan};
use crate::state::{OpState, State};
#[cfg(feature = "fjall")]
use crate::store::Header;
use crate::store::Stored;
use crate::view::{Entry, Progress, StepView, View, What};
#[cfg(feature = "fjall")]
use crate::view::{Status, Summary};

/// What a log says, if it makes sense: the state, and how the log ends.
pub(crate) fn fold(stored: &Stored) -> Option<(State, Tail)> {
    let rows = rows(&stored.log)?;
    let mut tail = Tail::default();
    for (seq, row) in &rows {
        tail.push(*seq, &row.events, &Place { prev: row.prev, drops: Vec::new() });
    }
    let last = rows.last().map_or(0, |(seq, _)| *seq);
    let state = State::fold(rows.into_iter().flat_map(|(_, row)| row.events)).ok()?;
    (last == stored.header.seq).then_some((state, tail))
}

/// The rows of a log, if all can be read and none is missing.
fn rows(log: &[(u64, Vec<u8>)]) -> Option<Vec<(u64, Row)>> {
    let mut before = 0;
    let mut rows = Vec::with_capacity(log.len());
    for (seq, row) in log {
        let row = Row::decode(row).ok().filter(|row| row.prev == before)?;
        before = *seq;
        rows.push((*seq, row));
    }
    Some(rows)
}

/// The header that belongs to a log; that of a parked saga if the log makes no sense.
#[cfg(feature = "fjall")]
pub(crate) fn header(id: &SagaId, log: &[(u64, Vec<u8>)]) -> Header {
    let readable: Vec<_> = log.iter().filter_map(|(_, row)| Row::decode(row).ok()).collect();
    let (first, last) = (readable.first().cloned(), readable.last().cloned());
    let seq = log.last().map_or(0, |(seq, _)| *seq);
    let whole = rows(log).unwrap_or_default();
    let state = State::fold(whole.into_iter().flat_map(|(_, row)| row.events)).ok();
    let (status, reason) = state.as_ref().map_or_else(
        || (Status::Parked, "its header and its log are damaged".to_owned()),
        |state| (state.status, state.reason.clone()),
    );
    let ended = last.as_ref().filter(|_| status.is_terminal());
    let summary = Summary {
        id: id.clone(),
        status,
        reason,
        definition: state.as_ref().map_or_else(String::new, |state| state.plan.definition.name().to_owned()),
        created_at: first.map_or(0, |row| row.at),
        deadline_at: state.as_ref().and_then(|state| state.deadline_at),
        finished_at: ended.map(|row| row.at),
    };
    let fingerprint = state.map_or([0; 32], |state| state.plan.fingerprint);
    Header { summary, epoch: last.map_or(0, |row| row.epoch), seq, due_at: None, fingerprint }
}

/// A saga, whole.
pub(crate) fn view(stored: &Stored) -> View {
    let state = fold(stored).map(|(state, _)| state);
    let summary = stored.header.summary.clone();
    let (context, steps, input) = state.map_or_else(Default::default, |state| {
        let input = match &state.plan.definition {
            Definition::Typed { input, .. } => input.clone(),
            Definition::Dynamic => Bytes::new(),
        };
        (state.context.clone(), steps(&state), input)
    });
    View {
        id: summary.id,
        status: summary.status,
        reason: summary.reason,
        definition: summary.definition,
        input,
        created_at: summary.created_at,
        deadline_at: summary.deadline_at,
        finished_at: summary.finished_at,
        context,
        steps,
        timeline: timeline(&stored.log),
    }
}

fn steps(state: &State) -> Vec<StepView> {
    let progress = |op: OpState| Progress { attempts: op.attempt, phase: op.phase };
    let steps = state.plan.steps.iter().zip(&state.steps).map(|(plan, step)| StepView {
        name: plan.name.clone(),
        kind: plan.kind,
        target: plan.target.clone(),
        execute: progress(step.execute),
        compensate: progress(step.compensate),
        output: step.output.clone(),
    });
    steps.collect()
}

fn timeline(log: &[(u64, Vec<u8>)]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut plan: Option<Plan> = None;
    let mut at = 0;
    // The attempt that was sent last, to each spot: answers are to that.
    let mut sent: Vec<(Spot, u32)> = Vec::new();
    for (seq, bytes) in log {
        let Ok(row) = Row::decode(bytes) else {
            let detail = "this row of the log cannot be read".to_owned();
            let what = What::Damaged;
            entries.push(Entry { seq: *seq, at, what, step: None, op: None, attempt: 0, detail });
            continue;
        };
        at = row.at;
        for event in row.events {
            if let Event::Sent { spot, attempt } | Event::Unknown { spot, attempt, .. } = &event {
                sent.retain(|(before, _)| before != spot);
                sent.push((*spot, *attempt));
            }
            let (what, spot, detail) = line(&event);
            let name =
                spot.and_then(|spot| plan.as_ref()?.steps.get(spot.step).map(|step| step.name.clone()));
            let attempt =
                spot.and_then(|spot| sent.iter().find(|sent| sent.0 == spot)).map_or(0, |sent| sent.1);
            let op: Option<Op> = spot.map(|spot| spot.op);
            entries.push(Entry { seq: *seq, at, what, step: name, op, attempt, detail });
            if let Event::Created { plan: created, .. } = event {
                plan = Some(created);
            }
        }
    }
    entries
}

fn line(event: &Event) -> (What, Option<Spot>, String) {
    match event {
        Event::Created { .. } => (What::Created, None, String::new()),
        Event::Sent { spot, .. } => (What::Sent, Some(*spot), String::new()),
        Event::Done { spot, .. } => (What::Done, Some(*spot), String::new()),
        Event::Rejected { spot, reason } => (What::Rejected, Some(*spot), reason.clone()),
        Event::Unknown { spot, reason, .. } => (What::Unknown, Some(*spot), reason.clone()),
        Event::Withdrawn { spot } => (What::Withdrawn, Some(*spot), String::new()),
        Event::Turned { reason } => (What::Turned, None, reason.clone()),
        Event::Completed => (What::Completed, None, String::new()),
        Event::Compensated => (What::Compensated, None, String::new()),
        Event::Parked { spot, reason } => (What::Parked, *spot, reason.clone()),
        Event::Retried { actor } => (What::Retried, None, actor.clone()),
        Event::Skipped { actor } => (What::Skipped, None, actor.clone()),
        Event::Abandoned { actor } => (What::Abandoned, None, actor.clone()),
    }
}
