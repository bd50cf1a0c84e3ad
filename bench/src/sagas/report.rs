//! What is told of a run.

use super::{Args, Level, Measured, Restarted};
use crate::table::Table;

/// Transfers a second that are wanted at least.
const fn goal(level: Level) -> Option<f64> {
    match level {
        Level::Embedded => Some(5_000.0),
        Level::Mysql => Some(2_000.0),
        Level::Http => None,
    }
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::Embedded => "engine, embedded",
        Level::Mysql => "engine, MariaDB",
        Level::Http => "the shop's, over HTTP",
    }
}

pub(super) fn write(args: &Args, facts: &[String], measured: &[Measured], restarted: &[Restarted]) -> String {
    let list =
        |items: Vec<String>| items.iter().map(|item| item.to_lowercase()).collect::<Vec<_>>().join(",");
    let callers = list(args.callers.iter().map(ToString::to_string).collect());
    let levels = list(args.levels.iter().map(|level| format!("{level:?}")).collect());
    let command = format!(
        "Command: `cargo xtask bench sagas -- --callers {callers} --levels {levels} --seconds {} --in-flight {}`",
        args.seconds, args.in_flight
    );
    let facts: Vec<String> = facts.iter().chain([&command]).map(|fact| format!("- {fact}")).collect();
    let mut parts = vec![
        "# Sagas".to_owned(),
        facts.join("\n"),
        "A transfer is a debit that can be undone and a credit that decides. Its time is from the submission to its end, everything in between \
         synced to disk. CPU is this process's (the engine's), MariaDB's, or `aqueduct up`'s; load, measured and servers share the machine."
            .to_owned(),
    ];
    let mut table =
        Table::new(["transfers", "callers", "a second", "p50 ms", "p99 ms", "CPU µs each", "wanted"]);
    for one in measured {
        let rate = one.times.len() as f64 / one.elapsed.as_secs_f64();
        let wanted = goal(one.level).map_or(String::new(), |least| {
            format!("{least:.0}: {}", if rate >= least { "met" } else { "missed" })
        });
        table.row([
            name(one.level).to_owned(),
            one.callers.to_string(),
            format!("{rate:.0}"),
            format!("{:.2}", percentile(&one.times, 500)),
            format!("{:.2}", percentile(&one.times, 990)),
            format!("{:.0}", one.cpu.as_secs_f64() * 1e6 / one.times.len() as f64),
            wanted,
        ]);
    }
    parts.push(table.to_string());
    if !restarted.is_empty() {
        parts.push(
            "## A restart\n\nEach saga had called its first participant, who had not answered, when the coordinator went away. On MariaDB their leases \
             have to end first (1 s here)."
                .to_owned(),
        );
        let mut table = Table::new(["restarted", "in flight", "s until all had ended", "calls a saga"]);
        for one in restarted {
            table.row([
                name(one.level).to_owned(),
                one.in_flight.to_string(),
                format!("{:.2}", one.elapsed.as_secs_f64()),
                format!("{:.2}", one.calls as f64 / f64::from(one.in_flight)),
            ]);
        }
        parts.push(table.to_string());
    }
    parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n") + "\n"
}

/// In milliseconds.
fn percentile(times: &[u32], per_mille: usize) -> f64 {
    let last = times.len().saturating_sub(1);
    times.get(last * per_mille / 1000).map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
}
