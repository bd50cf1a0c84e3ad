//! A saga as JSON.

use aqueduct_saga::{Entry, Kind, Phase, Progress, StepView, View};
use serde::Serialize;
use serde_json::value::RawValue;

/// `GET /v1/sagas/{id}`. Times are milliseconds of Unix time on the store's clock.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Saga<'a> {
    #[serde(rename = "sagaId")]
    id: &'a str,
    status: &'static str,
    reason: &'a str,
    created_at: u64,
    deadline_at: Option<u64>,
    finished_at: Option<u64>,
    steps: Vec<Step<'a>>,
    timeline: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Step<'a> {
    name: &'a str,
    kind: &'static str,
    url: &'a str,
    execute: Operation,
    compensate: Operation,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Output<'a>>,
}

#[derive(Serialize)]
struct Operation {
    attempts: u32,
    phase: &'static str,
}

/// What a participant answered: its JSON as it was written, and else as text.
#[derive(Serialize)]
#[serde(untagged)]
enum Output<'a> {
    Json(&'a RawValue),
    Text(std::borrow::Cow<'a, str>),
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    at: u64,
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

/// A saga, whole.
pub(crate) fn saga(view: &View) -> String {
    let saga = Saga {
        id: view.id.as_str(),
        status: view.status.as_str(),
        reason: &view.reason,
        created_at: view.created_at,
        deadline_at: view.deadline_at,
        finished_at: view.finished_at,
        steps: view.steps.iter().map(step).collect(),
        timeline: view.timeline.iter().map(line).collect(),
    };
    // Neither a map with other keys than text nor a type of ours that could fail is in it.
    serde_json::to_string(&saga).unwrap_or_default()
}

fn step(step: &StepView) -> Step<'_> {
    let operation =
        |progress: Progress| Operation { attempts: progress.attempts, phase: phase(progress.phase) };
    Step {
        name: &step.name,
        kind: kind(step.kind),
        url: &step.target,
        execute: operation(step.execute),
        compensate: operation(step.compensate),
        output: step.output.as_ref().filter(|output| !output.is_empty()).map(|output| output_of(output)),
    }
}

fn output_of(bytes: &[u8]) -> Output<'_> {
    let json = std::str::from_utf8(bytes).ok().and_then(|text| serde_json::from_str(text).ok());
    json.map_or_else(|| Output::Text(String::from_utf8_lossy(bytes)), Output::Json)
}

fn line(entry: &Entry) -> Line<'_> {
    Line {
        seq: entry.seq,
        at: entry.at,
        what: entry.what.as_str(),
        step: entry.step.as_deref(),
        op: entry.op.map(aqueduct_saga::Op::as_str),
        attempt: (entry.attempt > 0).then_some(entry.attempt),
        detail: &entry.detail,
    }
}

pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Compensable => "COMPENSABLE",
        Kind::Pivot => "PIVOT",
        Kind::Retriable => "RETRIABLE",
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "IDLE",
        Phase::Sent => "SENT",
        Phase::Waiting(_) => "WAITING",
        Phase::Done => "DONE",
        Phase::Rejected => "REJECTED",
    }
}

#[cfg(test)]
mod tests {
    use super::output_of;

    #[test]
    fn outputs_keep_their_form() {
        let check = |bytes: &[u8], expect: &str| {
            assert_eq!(serde_json::to_string(&output_of(bytes)).unwrap(), expect);
        };
        check(
            br#"{ "id": 12345678901234567890, "x": 1.10 }"#,
            r#"{ "id": 12345678901234567890, "x": 1.10 }"#,
        );
        check(b"done", r#""done""#);
        check(b"\xff", "\"\u{fffd}\"");
    }
}
