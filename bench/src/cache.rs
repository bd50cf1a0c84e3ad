//! `bench cache`: a hit beside moka and quick_cache, hit rates on several traces, many keys at once through Redis beside one by one, and
//! a miss storm.

mod hits;
mod rates;
mod redis;
mod traces;

use anyhow::Result;
use clap::ValueEnum;

use crate::machine;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench cache
  cargo xtask bench cache -- --parts hits,rates
  cargo xtask bench cache -- --parts redis --print-only    a Redis Cluster is started: `cargo xtask test` installs it")]
pub(crate) struct Args {
    /// What to measure
    #[arg(long, value_delimiter = ',', default_value = "hits,rates,redis")]
    parts: Vec<Part>,
    /// How often each measurement is repeated; the best round of hits counts, and the median of the others
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

/// One table of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What a hit in memory costs
    Hits,
    /// How often a read hits, trace by trace
    Rates,
    /// Many keys through Redis, and a miss storm
    Redis,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut facts = machine::facts();
    let parts: Vec<String> = args.parts.iter().map(|part| format!("{part:?}").to_lowercase()).collect();
    facts.push(format!(
        "Command: `cargo xtask bench cache -- --parts {} --rounds {}`",
        parts.join(","),
        args.rounds
    ));
    let facts: Vec<String> = facts.iter().map(|fact| format!("- {fact}")).collect();
    let mut report = vec!["# The cache".to_owned(), facts.join("\n")];
    for part in &args.parts {
        report.push(match part {
            Part::Hits => hits::measure(args.rounds)?,
            Part::Rates => rates::measure()?,
            Part::Redis => redis::measure(args.rounds)?,
        });
    }
    let report = report.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n") + "\n";
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("cache", &report)?.display());
    }
    Ok(())
}
