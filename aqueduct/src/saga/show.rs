//! Sagas as text for a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use aqueduct_runtime::clock;
use aqueduct_saga_server::proto::{Entry, Progress, Saga, Status};

const HEADING: Style = Style::new().bold();

/// A line a saga.
pub(super) fn list(sagas: &[Saga]) -> String {
    let mut rows = vec![["SAGA", "STATUS", "CREATED", "REASON"].map(str::to_owned)];
    rows.extend(sagas.iter().map(|saga| {
        [
            plain(&saga.saga_id),
            saga.status().as_str_name().to_owned(),
            time(saga.created_at_ms),
            plain(&saga.reason),
        ]
    }));
    table(&rows, |column, text| (column == 1).then(|| colour(text)))
}

/// A saga, its steps and its timeline.
pub(super) fn whole(saga: &Saga) -> String {
    let mut out = String::new();
    let status = saga.status().as_str_name();
    let style = colour(status);
    let rows = [
        ("saga", plain(&saga.saga_id)),
        ("status", format!("{style}{status}{style:#}")),
        ("reason", plain(&saga.reason)),
        ("created", time(saga.created_at_ms)),
        ("deadline", time(saga.deadline_at_ms)),
        ("finished", time(saga.finished_at_ms)),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        line(&mut out, format_args!("{name:<8}  {value}"));
    }
    let mut steps = vec![["STEP", "KIND", "EXECUTE", "COMPENSATE", "URL"].map(str::to_owned)];
    steps.extend(saga.steps.iter().map(|step| {
        let kind = step.kind().as_str_name().to_owned();
        [plain(&step.name), kind, progress(step.execute), progress(step.compensate), plain(&step.url)]
    }));
    out.push('\n');
    out.push_str(&table(&steps, |_, _| None));
    let mut timeline = vec![["TIME", "WHAT", "CALL", "DETAIL"].map(str::to_owned)];
    timeline.extend(
        saga.timeline
            .iter()
            .map(|entry| [time(entry.at_ms), entry.what.clone(), call(entry), plain(&entry.detail)]),
    );
    out.push('\n');
    out.push_str(&table(&timeline, |_, _| None));
    out
}

/// `execute of debit, attempt 3`.
fn call(entry: &Entry) -> String {
    if entry.step.is_empty() {
        return String::new();
    }
    format!("{} of {}, attempt {}", entry.op, plain(&entry.step), entry.attempt)
}

fn progress(of: Option<Progress>) -> String {
    let of = of.unwrap_or_default();
    match of.attempts {
        0 => "-".to_owned(),
        1 => of.phase().as_str_name().to_owned(),
        attempts => format!("{} after {attempts}", of.phase().as_str_name()),
    }
}

fn time(ms: i64) -> String {
    let Ok(ms @ 1..) = u64::try_from(ms) else { return String::new() };
    String::from_utf8_lossy(&clock::rfc3339(ms)).into_owned()
}

/// What others wrote, without what would command a terminal.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|char| if char.is_control() { char.escape_default().collect() } else { vec![char] })
        .collect()
}

fn colour(status: &str) -> Style {
    let colour = match Status::from_str_name(status) {
        Some(Status::Completed) => AnsiColor::Green,
        Some(Status::Parked | Status::Abandoned) => AnsiColor::Red,
        Some(Status::Compensating | Status::Compensated) => AnsiColor::Yellow,
        _ => AnsiColor::Cyan,
    };
    colour.on_default()
}

/// Columns as wide as they must be, the first row being their headings.
fn table<const N: usize>(rows: &[[String; N]], style: impl Fn(usize, &str) -> Option<Style>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let mut text = String::new();
        for (column, cell) in row.iter().enumerate() {
            let style = if at == 0 { Some(HEADING) } else { style(column, cell) }.unwrap_or_default();
            let pad = if column + 1 == N { 0 } else { widths[column] + 2 - cell.chars().count() };
            write!(text, "{style}{cell}{style:#}{:pad$}", "").unwrap_or_default();
        }
        line(&mut out, format_args!("{}", text.trim_end()));
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(out, "{text}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::{list, whole};
    use aqueduct_saga_server::proto::{
        Entry, Progress, Saga, Status, StepState, progress::Phase, step::Kind,
    };

    fn saga() -> Saga {
        let progress = |attempts, phase: Phase| Some(Progress { attempts, phase: phase.into() });
        let step = StepState {
            name: "debit".into(),
            kind: Kind::Compensable.into(),
            url: "http://bank/a".into(),
            execute: progress(1, Phase::Done),
            compensate: progress(30, Phase::Waiting),
            output: None,
        };
        let entry = Entry {
            seq: 2,
            at_ms: 1_700_000_000_000,
            what: "UNKNOWN".into(),
            step: "debit".into(),
            op: "compensate".into(),
            attempt: 30,
            detail: "503: \u{1b}[31mno".into(),
        };
        Saga {
            saga_id: "t-1".into(),
            status: Status::Parked.into(),
            reason: "it failed".into(),
            created_at_ms: 1_700_000_000_000,
            steps: vec![step],
            timeline: vec![entry],
            ..Saga::default()
        }
    }

    fn text(styled: &str) -> String {
        anstream::adapter::strip_str(styled).to_string()
    }

    #[test]
    fn a_list_is_a_table() {
        let expect = "SAGA  STATUS  CREATED                   REASON\n\
                      t-1   PARKED  2023-11-14T22:13:20.000Z  it failed\n";
        assert_eq!(text(&list(&[saga()])), expect);
        assert_eq!(text(&list(&[])), "SAGA  STATUS  CREATED  REASON\n");
    }

    #[test]
    fn a_saga_is_told_whole_and_commands_no_terminal() {
        let expect = "saga      t-1\nstatus    PARKED\nreason    it failed\ncreated   2023-11-14T22:13:20.000Z\n\n\
                      STEP   KIND         EXECUTE  COMPENSATE        URL\n\
                      debit  COMPENSABLE  DONE     WAITING after 30  http://bank/a\n\n\
                      TIME                      WHAT     CALL                             DETAIL\n\
                      2023-11-14T22:13:20.000Z  UNKNOWN  compensate of debit, attempt 30  503: \\u{1b}[31mno\n";
        assert_eq!(text(&whole(&saga())), expect);
    }
}
