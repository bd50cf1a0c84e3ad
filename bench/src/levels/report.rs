//! The report of a run.

use super::{Args, Level, Measured};
use crate::table::Table;

const HOW: &str = "Two instances of `aqueduct up` on one MariaDB primary with a replica, a Redis Cluster of 3 + 3 and NATS. Orders are created, \
read once each at the first instance (database), once at the second (Redis), and once more there (memory), at one rate, evenly spaced; \
a time begins when the request was due. Client, edge, service and all servers share the machine. The last column is counted by the \
instance: which part of the reads this level answered.";

/// Markdown, which also reads well on a terminal.
pub(super) fn write(args: &Args, facts: &[String], measured: &[Measured]) -> String {
    let Args { orders, rate, rounds, .. } = args;
    let command =
        format!("Command: `cargo xtask bench levels -- --orders {orders} --rate {rate} --rounds {rounds}`");
    let facts: Vec<String> = facts.iter().chain([&command]).map(|fact| format!("- {fact}")).collect();
    let mut table =
        Table::new(["found in", "reads", "p50 ms", "p99 ms", "p99.9 ms", "failures", "of the reads"]);
    for of in measured {
        let ms = |part| format!("{:.2}", of.outcome.quantile(part));
        let name = match of.level {
            Level::Database => "database (L3)",
            Level::Redis => "Redis (L2)",
            Level::Memory => "memory (L1)",
        };
        table.row([
            name.to_owned(),
            of.outcome.times.len().to_string(),
            ms(0.5),
            ms(0.99),
            ms(0.999),
            of.outcome.failures.to_string(),
            format!("{:.1} %", of.share() * 100.0),
        ]);
    }
    let parts = [
        "# A read of an order, from each level".to_owned(),
        facts.join("\n"),
        HOW.to_owned(),
        table.to_string(),
    ];
    parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n") + "\n"
}
