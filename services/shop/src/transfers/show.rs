//! From a saga to what clients are shown of the transfer.

use aqueduct_saga::{Entry, Millis, Op, Status, View};
use prost_types::Timestamp;

use super::definition::Transfer as Input;
use crate::proto::shop::transfer::Status as Shown;
use crate::proto::shop::{Transfer, TransferEvent};

pub(crate) fn transfer(view: &View) -> Transfer {
    // One whose log is damaged is parked, and what it was is not known.
    let input = serde_json::from_slice(&view.input).unwrap_or(Input { from: 0, to: 0, cents: 0 });
    Transfer {
        transfer_id: view.id.to_string(),
        from: input.from,
        to: input.to,
        amount_cents: input.cents,
        status: status(view.status).into(),
        reason: view.reason.clone(),
        created_at: Some(timestamp(view.created_at)),
        finished_at: view.finished_at.map(timestamp),
        timeline: view.timeline.iter().map(event).collect(),
    }
}

fn status(status: Status) -> Shown {
    match status {
        Status::Running | Status::Compensating => Shown::Pending,
        Status::Completed => Shown::Completed,
        Status::Compensated => Shown::Compensated,
        Status::Parked => Shown::Parked,
        Status::Abandoned => Shown::Abandoned,
    }
}

fn event(entry: &Entry) -> TransferEvent {
    TransferEvent {
        at: Some(timestamp(entry.at)),
        what: entry.what.to_string(),
        step: entry.step.clone().unwrap_or_default(),
        undo: entry.op == Some(Op::Compensate),
        attempt: entry.attempt,
        detail: entry.detail.clone(),
    }
}

fn timestamp(at: Millis) -> Timestamp {
    let nanos = i32::try_from(at % 1_000 * 1_000_000).unwrap_or_default();
    Timestamp { seconds: i64::try_from(at / 1_000).unwrap_or(i64::MAX), nanos }
}
