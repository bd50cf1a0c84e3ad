//! `bench pools`: a buffer from three allocators, from a pool a thread has and from one that all share.

mod buffers;
mod cost;

use anyhow::Result;

use crate::machine;
use crate::table::Table;
use cost::{Figures, Pace};

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench pools
  cargo xtask bench pools -- --rounds 3 --print-only")]
pub(crate) struct Args {
    /// How often each measurement is repeated; the medians are shown
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

const HOW: &str = "ns a buffer: taken, filled with 4 KiB, and given back 64 buffers later, so that 64 are live on each thread. The median over the \
rounds, in which all take turns. **At once**: it is made with room for all. **Grown**: it is filled in pieces of 64 bytes and begins with room for one, as \
that of somebody who does not know how much will come; a pool's has the room already. Filling alone is in all of them: the row `no allocation` fills \
one buffer of its own each time. **Paced**: 10,000 grown buffers a second on one thread, each timed by itself, with the clock's own time taken off; what is \
not used for 100 µs is out of the processor's caches.";

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut facts = machine::facts();
    facts.push(format!("Command: `cargo xtask bench pools -- --rounds {}`", args.rounds));
    let facts: Vec<String> = facts.iter().map(|fact| format!("- {fact}")).collect();
    let names = buffers::NAMES;
    let figures = cost::measure(args.rounds);
    let mut table =
        Table::new(["", "at once, 1 thread", "at once, 2 threads", "grown, 1 thread", "grown, 2 threads"]);
    let mut paced = Table::new(["", "p50", "p99"]);
    for (name, Figures { once, grown, paced: Pace { p50, p99 } }) in names.iter().zip(figures) {
        let show = |ns: f64| format!("{ns:.0}");
        table.row([(*name).to_owned(), show(once[0]), show(once[1]), show(grown[0]), show(grown[1])]);
        paced.row([(*name).to_owned(), show(p50), show(p99)]);
    }
    let report = [
        "# Pools of buffers".to_owned(),
        facts.join("\n"),
        HOW.to_owned(),
        table.to_string(),
        "## Paced".to_owned(),
        paced.to_string(),
    ];
    let report = report.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n") + "\n";
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("pools", &report)?.display());
    }
    Ok(())
}
