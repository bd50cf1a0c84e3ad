//! The report of a run: a table for each part, the ratios that the goals are about, and the losses.

use clap::ValueEnum;

use super::h2load::CONNECTIONS;
use super::proxies::Kind;
use super::rows::{Figures, Row, SHARE};
use super::{Run, Section, connections, handshakes};
use crate::median::{extremes, median};
use crate::table::Table;

/// The most that a transcoded request may cost, as a part of what it costs Envoy: the least that is wanted, and the goal.
const TRANSCODED: [(f64, &str); 2] = [(1.0 / 5.5, "1/5.5"), (1.0 / 7.0, "1/7")];
/// The same for one that is passed through.
const PASSED: [(f64, &str); 1] = [(1.0 / 4.0, "1/4")];
/// The most that an idle connection may hold, in KiB.
const IDLE_KIB: f64 = 12.0;
/// How much dearer a request may be on one of many connections.
const MANY: f64 = 1.2;

/// Markdown, which also reads well on a terminal.
pub(super) fn write(run: &Run<'_>) -> String {
    let mut parts = vec!["# What requests and connections cost, gateway and others".to_owned()];
    let command = format!("Command: `cargo xtask bench gateway -- {}`", options(run));
    parts.push(list(run.facts.iter().cloned().chain([command])));
    parts.push(how(run));
    for section in &run.args.rows {
        match (Row::of(*section), section) {
            (Some(row), _) => {
                parts.push(format!("## {}", row.title()));
                let figures: Vec<_> = run.rows.iter().filter(|figures| figures.row == row).collect();
                parts.push(requests(&figures).to_string());
                parts.push(list(request_goals(row, &figures)));
            }
            (None, Section::Connections) => {
                parts.push(format!("## {} idle connections", run.args.connections));
                parts.push(held(run.args.connections, &run.connections).to_string());
                parts.push(list(held_goals(&run.connections)));
            }
            (None, _) => {
                parts.push("## TLS connections".to_owned());
                parts.push(tls(&run.handshakes).to_string());
                parts.push(list(tls_ratios(&run.handshakes)));
            }
        }
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
    if run.args.quick {
        return format!("--quick --proxies {proxies} --rows {rows}{pin}");
    }
    let (requests, rounds, connections) = (run.args.requests, run.args.rounds, run.args.connections);
    format!(
        "--requests {requests} --rounds {rounds} --connections {connections} --proxies {proxies} --rows {rows}{pin}"
    )
}

fn how(run: &Run<'_>) -> String {
    let place = if run.args.no_pin {
        "Proxy, backend and load share all cores."
    } else {
        "The proxies run on the last core, the backend and the load on the others."
    };
    format!(
        "{} requests a load, {} rounds in which the proxies take turns, after one to warm up; medians over the rounds, and the \
         range. CPU is utime + stime of the proxy's processes over a load, divided by its requests, at the peak: h2load with 1 \
         thread and {CONNECTIONS} keep-alive connections; a proxy that is not busy for all of that time waits for the load \
         or the backend, and gathers less work in a turn. Times are taken at one rate for all, {:.0} % of Envoy's peak, \
         evenly spaced on {CONNECTIONS} connections, each from when the request was due, whether or not it could be sent by \
         then. {place} nginx and HAProxy pass requests before a backend that answers the same JSON over HTTP/1.1; the others \
         transcode before a gRPC backend.",
        run.args.requests,
        run.args.rounds,
        SHARE * 100.0
    )
}

fn requests(all: &[&Figures]) -> Table {
    let rate = all.first().map_or(f64::NAN, |figures| figures.rate);
    let p50 = format!("p50 ms at {rate:.0}/s");
    let mut table = Table::new([
        "proxy",
        "CPU µs/req",
        "range",
        "peak req/s",
        "busy",
        &p50,
        "p99 ms",
        "p99.9 ms",
        "failures",
    ]);
    for figures in all {
        table.row([
            figures.proxy.name().to_owned(),
            format!("{:.2}", median(figures.cpu_us.iter().copied())),
            range(&figures.cpu_us),
            format!("{:.0}", median(figures.peak.iter().copied())),
            format!("{:.0} %", figures.busy() * 100.0),
            format!("{:.2}", figures.quantile(0.5)),
            format!("{:.2}", figures.quantile(0.99)),
            format!("{:.2}", figures.quantile(0.999)),
            figures.failures.to_string(),
        ]);
    }
    table
}

fn range(samples: &[f64]) -> String {
    let (low, high) = extremes(samples.iter().copied());
    format!("{low:.2} to {high:.2}")
}

/// The gateway's cost as a part of the others', and its slowest answers, with the goals named as met or missed.
fn request_goals(row: Row, all: &[&Figures]) -> Vec<String> {
    let cost = |figures: &Figures| median(figures.cpu_us.iter().copied());
    let Some(own) = all.iter().find(|figures| figures.proxy == Kind::Aqueduct) else { return Vec::new() };
    let others = all.iter().filter(|figures| figures.proxy != Kind::Aqueduct);
    let mut lines: Vec<String> =
        others.clone().map(|other| ratio(row, other.proxy, cost(own) / cost(other))).collect();
    if let Some(envoy) = others.clone().find(|figures| figures.proxy == Kind::Envoy) {
        let (own, theirs) = (own.quantile(0.999), envoy.quantile(0.999));
        lines.push(format!(
            "p99.9: {own:.2} ms, Envoy's {theirs:.2} ms; below Envoy's: {}",
            word(own < theirs)
        ));
    }
    lines
}

fn ratio(row: Row, other: Kind, part: f64) -> String {
    let transcoded = matches!(row, Row::Get | Row::Post);
    let goals = if transcoded { &TRANSCODED[..] } else { &PASSED[..] };
    let mut parts = vec![part_of(other, part)];
    match other {
        Kind::Envoy => {
            let goal = |(most, name): &(f64, &str)| format!("at most {name}: {}", word(part <= *most));
            parts.extend(goals.iter().map(goal));
        }
        Kind::Nginx if transcoded => parts.push(format!("below nginx: {}", word(part < 1.0))),
        _ => {}
    }
    parts.join("; ")
}

fn part_of(other: Kind, part: f64) -> String {
    format!("CPU of aqueduct / {} = {part:.3} (1/{:.1})", other.name(), 1.0 / part)
}

fn word(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn held(count: usize, all: &[connections::Figures]) -> Table {
    let [few, many] = [CONNECTIONS, count].map(|count| format!("µs/req on {count}"));
    let mut table = Table::new(["proxy", "KiB each", &few, "range", &many, "range", "dearer by", "failures"]);
    for figures in all {
        table.row([
            figures.proxy.name().to_owned(),
            format!("{:.1}", figures.idle_bytes / 1024.0),
            format!("{:.2}", median(figures.few_us.iter().copied())),
            range(&figures.few_us),
            format!("{:.2}", median(figures.many_us.iter().copied())),
            range(&figures.many_us),
            format!("{:.2}", dearer(figures)),
            figures.failures.to_string(),
        ]);
    }
    table
}

/// How much dearer a request is on one of many connections: the median of the rounds' ratios.
fn dearer(figures: &connections::Figures) -> f64 {
    median(figures.many_us.iter().zip(&figures.few_us).map(|(many, few)| many / few))
}

fn held_goals(all: &[connections::Figures]) -> Vec<String> {
    let Some(own) = all.iter().find(|figures| figures.proxy == Kind::Aqueduct) else { return Vec::new() };
    let (idle, dearer) = (own.idle_bytes / 1024.0, dearer(own));
    vec![
        format!(
            "GET with {CONNECTIONS} requests in flight, our own load; with many connections each is used in turn."
        ),
        format!("idle connection {idle:.1} KiB; at most {IDLE_KIB:.0} KiB: {}", word(idle <= IDLE_KIB)),
        format!("{dearer:.2} times as dear on many; at most {MANY}: {}", word(dearer <= MANY)),
    ]
}

fn tls(all: &[handshakes::Figures]) -> Table {
    let mut table =
        Table::new(["proxy", "handshake", "CPU µs/connection", "range", "peak conn/s", "failures"]);
    for figures in all {
        let kind = if figures.resumed { "resumed" } else { "full" };
        if figures.cpu_us.is_empty() {
            let none = || "-".to_owned();
            table.row([
                figures.proxy.name().to_owned(),
                format!("{kind}: no TLS"),
                none(),
                none(),
                none(),
                none(),
            ]);
            continue;
        }
        table.row([
            figures.proxy.name().to_owned(),
            kind.to_owned(),
            format!("{:.1}", median(figures.cpu_us.iter().copied())),
            range(&figures.cpu_us),
            format!("{:.0}", median(figures.rate.iter().copied())),
            figures.failures.to_string(),
        ]);
    }
    table
}

fn tls_ratios(all: &[handshakes::Figures]) -> Vec<String> {
    let mut lines = vec![
        "Each connection: TLS 1.3, a P-256 certificate, one GET, the end; 8 at a time. A failure is also one that was not \
         resumed when it should have been."
            .to_owned(),
    ];
    for resumed in [false, true] {
        let cost = |kind: Kind| {
            let figures = all.iter().find(|figures| figures.proxy == kind && figures.resumed == resumed)?;
            (!figures.cpu_us.is_empty()).then(|| median(figures.cpu_us.iter().copied()))
        };
        let name = if resumed { "resumed" } else { "full" };
        for other in [Kind::Envoy, Kind::Nginx, Kind::Haproxy] {
            if let (Some(own), Some(theirs)) = (cost(Kind::Aqueduct), cost(other)) {
                lines.push(format!("{name}: {}", part_of(other, own / theirs)));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Kind, Row, ratio};

    #[test]
    fn a_missed_goal_is_said() {
        assert!(ratio(Row::Get, Kind::Envoy, 0.17).ends_with("at most 1/5.5: met; at most 1/7: MISSED"));
        assert!(ratio(Row::Get, Kind::Nginx, 1.1).ends_with("below nginx: MISSED"));
        assert!(ratio(Row::Grpc, Kind::Envoy, 0.5).ends_with("= 0.500 (1/2.0); at most 1/4: MISSED"));
    }
}
