//! The report of a run: rates and times, where the time goes, and the goals.

use super::disk::SyncTimes;
use super::drive::Phase;
use super::{Args, Level, Measured, shards};
use crate::table::Table;

/// Transitions a second at the committer, and their 99th percentile in milliseconds, with so many callers.
const GOAL: (u32, f64, f64) = (512, 100_000.0, 15.0);

/// Transitions a second by the shards' committers, as many times those of one transaction each.
const TIMES: f64 = 10.0;

/// Markdown, which also reads well on a terminal.
pub(super) fn write(args: &Args, facts: &[String], floor: SyncTimes, measured: &[Measured]) -> String {
    let command = format!("Command: `cargo xtask bench orders -- {}`", options(args));
    let floor = format!(
        "Disk: an append of 4 KiB with fdatasync takes {:.2} ms (p50), {:.2} ms (p99)",
        floor.p50.as_secs_f64() * 1e3,
        floor.p99.as_secs_f64() * 1e3
    );
    let facts: Vec<String> = facts.iter().chain([&floor, &command]).map(|fact| format!("- {fact}")).collect();
    let mut parts = vec!["# Durable orders a second".to_owned(), facts.join("\n"), HOW.to_owned()];
    for &level in &args.levels {
        let rows: Vec<&Measured> = measured.iter().filter(|row| row.level == level).collect();
        parts.push(format!("## {}", title(level)));
        parts.push(speed(&rows).to_string());
        parts.push("Where the time goes:".to_owned());
        parts.push(shares(&rows).to_string());
        parts.extend(rows.iter().filter_map(|row| goal(row)));
        parts.extend(ratios(&rows));
    }
    parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n") + "\n"
}

const HOW: &str = "Each caller creates orders one after the other, and then pays, ships and completes its own. An answer \
means that the change is on disk. Each line begins with an empty data folder. Callers, server and disk share the machine.";

fn title(level: Level) -> &'static str {
    match level {
        Level::Committer => "At the committer (in this process; no HTTP, gRPC, cache or bus)",
        Level::Http => "Over HTTP (`aqueduct up`, one HTTP/1.1 connection a caller)",
        Level::Shards => {
            "On MariaDB, four databases of one server (each answer after COMMIT; sync_binlog=1; this process beside the server)"
        }
    }
}

fn options(args: &Args) -> String {
    let callers: Vec<String> = args.callers.iter().map(ToString::to_string).collect();
    let level = |level: &Level| match level {
        Level::Committer => "committer",
        Level::Http => "http",
        Level::Shards => "shards",
    };
    let levels: Vec<&str> = args.levels.iter().map(level).collect();
    format!("--callers {} --levels {} --seconds {}", callers.join(","), levels.join(","), args.seconds)
}

/// Each measurement's two phases, with their names.
fn phases<'a>(rows: &[&'a Measured]) -> impl Iterator<Item = (String, u32, &'a Phase)> {
    let named = |row: &&'a Measured| {
        let [created, moved] = &row.phases;
        let name =
            |work: &str| if row.way.is_empty() { work.to_owned() } else { format!("{work}, {}", row.way) };
        [(name("create"), row.callers, created), (name("transition"), row.callers, moved)]
    };
    rows.iter().flat_map(named).collect::<Vec<_>>().into_iter()
}

fn speed(rows: &[&Measured]) -> Table {
    let mut table = Table::new(["work", "callers", "per second", "p50 ms", "p99 ms", "p99.9 ms", "max ms"]);
    for (name, callers, phase) in phases(rows) {
        let ms = |per_mille| format!("{:.2}", phase.percentile_ms(per_mille));
        let rate = format!("{:.0}", phase.rate());
        table.row([name, callers.to_string(), rate, ms(500), ms(990), ms(999), ms(1000)]);
    }
    table
}

fn shares(rows: &[&Measured]) -> Table {
    let titles =
        ["work", "callers", "commits/s", "changes a commit", "ms a commit", "of the time", "CPU µs a change"];
    let mut table = Table::new(titles);
    for (name, callers, phase) in phases(rows) {
        let (used, seconds) = (&phase.used, phase.elapsed.as_secs_f64());
        table.row([
            name,
            callers.to_string(),
            format!("{:.0}", used.commits / seconds),
            format!("{:.1}", used.changes / used.commits),
            format!("{:.2}", used.sync_seconds * 1e3 / used.commits),
            format!("{:.0} %", used.sync_seconds * 100.0 / seconds),
            format!("{:.1}", used.cpu_seconds * 1e6 / used.changes),
        ]);
    }
    table
}

/// How many times as fast the committers are as a transaction for each change was just before.
fn ratios(rows: &[&Measured]) -> Vec<String> {
    let rate = |way: &str, callers: u32| {
        let row = rows.iter().find(|row| row.way == way && row.callers == callers)?;
        Some(row.phases[1].rate())
    };
    let ratio = |row: &&Measured| {
        let times = rate(shards::GROUPED, row.callers)? / rate(shards::SINGLE, row.callers)?;
        let word = if times >= TIMES { "met" } else { "MISSED" };
        let callers = row.callers;
        Some(format!(
            "Transitions by the committers, {callers} callers: {times:.1} times one transaction each. Goal of {TIMES:.0} times: {word}."
        ))
    };
    rows.iter().filter(|row| row.way == shards::GROUPED).filter_map(ratio).collect()
}

fn goal(row: &Measured) -> Option<String> {
    let (callers, rate, p99_ms) = GOAL;
    let phase = &row.phases[1];
    let word = |met: bool| if met { "met" } else { "MISSED" };
    (row.level == Level::Committer && row.callers == callers).then(|| {
        let enough = word(phase.rate() >= rate);
        let quick = word(phase.percentile_ms(990) <= p99_ms);
        format!("Goals at {callers} callers: {rate:.0} transitions a second: {enough}; p99 at most {p99_ms} ms: {quick}.")
    })
}

#[cfg(test)]
mod tests {
    use super::{Level, Measured, Phase, goal};
    use crate::orders::drive::Counters;
    use std::time::Duration;

    fn measured(level: Level, times: Vec<u32>) -> Measured {
        let phase = |times| Phase { elapsed: Duration::from_millis(1), times, used: Counters::default() };
        Measured { level, way: "", callers: 512, phases: [phase(Vec::new()), phase(times)] }
    }

    #[test]
    fn a_missed_goal_is_said() {
        let good = goal(&measured(Level::Committer, vec![10; 150])).unwrap();
        assert!(good.ends_with("a second: met; p99 at most 15 ms: met."), "{good}");
        let bad = goal(&measured(Level::Committer, vec![16_000; 50])).unwrap();
        assert!(bad.ends_with("a second: MISSED; p99 at most 15 ms: MISSED."), "{bad}");
        assert!(goal(&measured(Level::Http, vec![10; 150])).is_none());
    }

    #[test]
    fn the_ways_are_compared_at_the_same_number_of_callers() {
        let way = |way, count| Measured { way, ..measured(Level::Shards, vec![10; count]) };
        let [single, grouped] = [way(super::shards::SINGLE, 10), way(super::shards::GROUPED, 120)];
        let said = super::ratios(&[&single, &grouped]);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("12.0 times") && said[0].ends_with("met."), "{said:?}");
        let fewer = Measured { callers: 64, ..way(super::shards::SINGLE, 10) };
        assert!(super::ratios(&[&fewer, &grouped]).is_empty());
    }
}
