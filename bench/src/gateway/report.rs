//! The report of a run: a table for each kind of request, the ratios that the goals are about, and the losses.

use clap::ValueEnum;

use super::load::{CONNECTIONS, Row};
use super::proxies::Kind;
use super::{Run, Sample};
use crate::median::{extremes, median};
use crate::table::Table;

/// The most that a transcoded request may cost, as a part of what it costs Envoy: first, and in the end.
const GOALS: [f64; 2] = [1.0 / 4.0, 1.0 / 7.0];

/// Markdown, which also reads well on a terminal.
pub(super) fn write(run: &Run<'_>) -> String {
    let mut parts = vec!["# CPU time per request, gateway and others".to_owned()];
    let command = format!("Command: `cargo xtask bench gateway -- {}`", options(run));
    parts.push(list(run.facts.iter().cloned().chain([command])));
    parts.push(how(run));
    for &row in &run.args.rows {
        parts.push(format!("## {}", row.title()));
        parts.push(table(run, row).to_string());
        parts.push(list(ratios(run, row)));
    }
    parts.push("## Memory at the end".to_owned());
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let memory = run.memory.iter();
    parts.push(list(
        memory.map(|(kind, bytes)| format!("{}: {:.1} MiB resident", kind.name(), mebibytes(*bytes))),
    ));
    parts.retain(|part| !part.is_empty());
    parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n") + "\n"
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n")
}

fn options(run: &Run<'_>) -> String {
    let names = |names: Vec<String>| names.join(",");
    let proxies = names(run.args.proxies.iter().map(|kind| kind.name().to_owned()).collect());
    let rows = run.args.rows.iter().filter_map(ValueEnum::to_possible_value);
    let rows = names(rows.map(|row| row.get_name().to_owned()).collect());
    let pin = if run.args.no_pin { " --no-pin" } else { "" };
    let (requests, rounds) = (run.args.requests, run.args.rounds);
    format!("--requests {requests} --rounds {rounds} --proxies {proxies} --rows {rows}{pin}")
}

fn how(run: &Run<'_>) -> String {
    let place = if run.args.no_pin {
        "Proxy, backend and load share all cores."
    } else {
        "The proxies run on the last core, the backend and h2load on the others."
    };
    format!(
        "h2load with 1 thread and {CONNECTIONS} keep-alive connections, {} requests a load, {} rounds in which the \
         proxies take turns, after one to warm up. CPU is utime + stime of the proxy's processes over a load, divided \
         by its requests: the median, and the range over the rounds. {place} nginx passes bytes before a backend that \
         answers the same JSON over HTTP/1.1; the others transcode before a gRPC backend.",
        run.args.requests, run.args.rounds
    )
}

fn table(run: &Run<'_>, row: Row) -> Table {
    let mut table = Table::new(["proxy", "CPU µs/req", "range", "req/s", "p50 ms", "p99 ms", "failures"]);
    for &kind in &run.args.proxies {
        let samples: Vec<&Sample> = of(run, row, kind).collect();
        let middle = |value: fn(&Sample) -> f64| median(samples.iter().map(|sample| value(sample)));
        let (low, high) = extremes(samples.iter().map(|sample| sample.cpu_us));
        let failures: u64 = samples.iter().map(|sample| sample.outcome.failures).sum();
        table.row([
            kind.name().to_owned(),
            format!("{:.2}", middle(|sample| sample.cpu_us)),
            format!("{low:.2} to {high:.2}"),
            format!("{:.0}", middle(|sample| sample.outcome.rate)),
            format!("{:.2}", middle(|sample| sample.outcome.p50_ms)),
            format!("{:.2}", middle(|sample| sample.outcome.p99_ms)),
            failures.to_string(),
        ]);
    }
    table
}

/// The gateway's cost as a part of the others', with the goals named as met or missed.
fn ratios(run: &Run<'_>, row: Row) -> Vec<String> {
    let cost = |kind| median(of(run, row, kind).map(|sample| sample.cpu_us));
    let others = run.args.proxies.iter().copied().filter(|kind| *kind != Kind::Aqueduct);
    let Some(_) = of(run, row, Kind::Aqueduct).next() else { return Vec::new() };
    others.map(|other| ratio(row, other, cost(Kind::Aqueduct) / cost(other))).collect()
}

fn ratio(row: Row, other: Kind, part: f64) -> String {
    let text = format!("aqueduct / {} = {part:.3} (1/{:.1})", other.name(), 1.0 / part);
    let word = |met: bool| if met { "met" } else { "MISSED" };
    match other {
        Kind::Envoy if row != Row::Grpc => {
            format!(
                "{text}; at most 1/4: {}, at most 1/7: {}",
                word(part <= GOALS[0]),
                word(part <= GOALS[1])
            )
        }
        Kind::Nginx => format!("{text}; below nginx: {}", word(part < 1.0)),
        _ => text,
    }
}

fn of<'a>(run: &'a Run<'_>, row: Row, kind: Kind) -> impl Iterator<Item = &'a Sample> {
    run.samples.iter().filter(move |sample| sample.row == row && sample.proxy == kind)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Row, ratio};

    #[test]
    fn a_missed_goal_is_said() {
        assert!(ratio(Row::Get, Kind::Envoy, 0.2).ends_with("at most 1/4: met, at most 1/7: MISSED"));
        assert!(ratio(Row::Get, Kind::Nginx, 1.1).ends_with("below nginx: MISSED"));
        assert_eq!(ratio(Row::Grpc, Kind::Envoy, 0.5), "aqueduct / envoy = 0.500 (1/2.0)");
    }
}
