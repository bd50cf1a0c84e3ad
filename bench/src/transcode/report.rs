//! The report of a run: times, ratios, allocations, and the goals.

use super::contenders::{Fixture, Who, Work};
use super::{Args, Measured};
use crate::median::{extremes, median};
use crate::table::Table;

/// The most that a message may cost each way, in nanoseconds.
const GOAL_NANOS: f64 = 1200.0;
/// How many times faster than prost-reflect.
const GOAL_RATIO: f64 = 4.0;

/// Markdown, which also reads well on a terminal.
pub(super) fn write(args: &Args, facts: &[String], fixture: &Fixture, measured: &[Measured]) -> String {
    let command = format!(
        "Command: `cargo xtask bench transcode -- --rounds {} --millis {}`",
        args.rounds, args.millis
    );
    let size = format!("Message: {} bytes of JSON, {} on the wire", fixture.json.len(), fixture.wire.len());
    let facts: Vec<String> = facts.iter().chain([&size, &command]).map(|fact| format!("- {fact}")).collect();
    let mut parts = vec!["# Transcoding one message".to_owned(), facts.join("\n"), HOW.to_owned()];
    for (work, title) in [(Work::Encode, "JSON to wire bytes"), (Work::Decode, "Wire bytes to JSON")] {
        let rows: Vec<&Measured> = measured.iter().filter(|row| row.work == work).collect();
        parts.push(format!("## {title}"));
        parts.push(compared(&rows).to_string());
        parts.extend(goal(&rows));
    }
    let rest = measured.iter().filter(|row| matches!(row.work, Work::Route | Work::Bind));
    parts.push("## Path and query".to_owned());
    parts.push(alone(rest).to_string());
    parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n") + "\n"
}

const HOW: &str = "CPU time of the thread, the median over the rounds, in which all take turns; the range is that of the \
middle half. A ratio is the median of the ratios within each round. Every contender writes into a buffer that it keeps. \
Allocations are counted once all buffers have grown; the allocator is mimalloc, as in the binary.";

fn compared(rows: &[&Measured]) -> Table {
    let mut table = Table::new(["who", "ns", "middle half", "times ours", "allocations"]);
    let ours = rows.iter().find(|row| row.who == Who::Aqueduct);
    for row in rows {
        let ratio = ours.map_or(f64::NAN, |ours| ratio(row, ours));
        let [name, nanos, range, allocations] = cells(row, row.who.name());
        table.row([name, nanos, range, format!("{ratio:.2}"), allocations]);
    }
    table
}

fn alone<'a>(rows: impl Iterator<Item = &'a Measured>) -> Table {
    let mut table = Table::new(["what", "ns", "middle half", "allocations"]);
    for row in rows {
        let name = match row.work {
            Work::Route => "find a route",
            _ => "bind a path variable and two parameters",
        };
        table.row(cells(row, name));
    }
    table
}

fn cells(row: &Measured, name: &str) -> [String; 4] {
    let (low, high) = middle_half(&row.nanos);
    let nanos = median(row.nanos.iter().copied());
    [
        name.to_owned(),
        format!("{nanos:.0}"),
        format!("{low:.0} to {high:.0}"),
        format!("{:.1}", row.allocations),
    ]
}

fn middle_half(samples: &[f64]) -> (f64, f64) {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    extremes(sorted[quarter..sorted.len() - quarter].iter().copied())
}

/// What happens within one round happens to both, so that it cancels out.
fn ratio(row: &Measured, ours: &Measured) -> f64 {
    median(row.nanos.iter().zip(&ours.nanos).map(|(theirs, ours)| theirs / ours))
}

fn goal(rows: &[&Measured]) -> Option<String> {
    let find = |who| rows.iter().find(|row| row.who == who);
    let (ours, reflect) = (find(Who::Aqueduct)?, find(Who::Reflect)?);
    let word = |met: bool| if met { "met" } else { "MISSED" };
    Some(format!(
        "Goals: at most {GOAL_NANOS:.0} ns: {}; {GOAL_RATIO:.0} times faster than prost-reflect: {}; no allocation: {}.",
        word(median(ours.nanos.iter().copied()) <= GOAL_NANOS),
        word(ratio(reflect, ours) >= GOAL_RATIO),
        word(ours.allocations == 0.0),
    ))
}

#[cfg(test)]
mod tests {
    use super::{Measured, Who, Work, goal, middle_half};

    fn measured(who: Who, nanos: f64, allocations: f64) -> Measured {
        Measured { work: Work::Encode, who, nanos: vec![nanos; 3], allocations }
    }

    #[test]
    fn a_missed_goal_is_said() {
        let check = |nanos, allocations, expect: [&str; 3]| {
            let rows = [measured(Who::Aqueduct, nanos, allocations), measured(Who::Reflect, 6000.0, 90.0)];
            let text = goal(&rows.iter().collect::<Vec<_>>()).unwrap();
            let words: Vec<&str> =
                text.split([';', '.']).filter_map(|part| part.rsplit(": ").next()).collect();
            assert_eq!(words[..3], expect, "{text}");
        };
        check(1000.0, 0.0, ["met", "met", "met"]);
        check(1300.0, 0.5, ["MISSED", "met", "MISSED"]);
        check(1600.0, 0.0, ["MISSED", "MISSED", "met"]);
    }

    #[test]
    fn the_middle_half_leaves_out_both_ends() {
        assert_eq!(middle_half(&[9.0, 1.0, 2.0, 3.0, 100.0]), (2.0, 9.0));
        assert_eq!(middle_half(&[5.0]), (5.0, 5.0));
    }
}
