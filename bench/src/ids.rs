//! `bench ids`: what an ID costs, beside UUIDs, a segment of a database and two other crates of Snowflakes; in which order they come,
//! whether they can be routed by, and what each does when the clock steps back.

mod clock;
mod contenders;
mod cost;

use anyhow::Result;

use crate::machine;
use crate::table::Table;
use contenders::{Contender, all};

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench ids
  cargo xtask bench ids -- --rounds 3 --print-only       MariaDB must be there: `cargo xtask test` installs it")]
pub(crate) struct Args {
    /// How often each measurement is repeated; the medians are shown
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

const HOW: &str = "ns an ID, the median over the rounds, in which all take turns. **Burst**: 1,000 IDs at the beginning of a millisecond, then \
none until the next one begins; so nobody is kept waiting by its layout. **Sustained**: 200,000 IDs as fast as they come; a generator of 4,096 IDs a \
millisecond cannot be faster than 244 ns here, and spins. Two threads share one generator, and the figure is a thread's time for one of its IDs.";

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut facts = machine::facts();
    facts.push(format!("Command: `cargo xtask bench ids -- --rounds {}`", args.rounds));
    let facts: Vec<String> = facts.iter().map(|fact| format!("- {fact}")).collect();
    let contenders = all()?;
    let costs = cost::measure(&contenders, args.rounds);
    let mut table = Table::new([
        "",
        "burst, 1 thread",
        "burst, 2 threads",
        "sustained, 1 thread",
        "sustained, 2 threads",
    ]);
    for (contender, costs) in contenders.iter().zip(costs) {
        let [a, b, c, d] = costs.map(|ns| format!("{ns:.1}"));
        table.row([contender.name.to_owned(), a, b, c, d]);
    }
    let report = [
        "# IDs".to_owned(),
        facts.join("\n"),
        "## Cost".to_owned(),
        HOW.to_owned(),
        table.to_string(),
        "## Order, routes, and a clock that steps back".to_owned(),
        properties(&contenders),
    ];
    let report = report.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n") + "\n";
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("ids", &report)?.display());
    }
    Ok(())
}

/// The order is counted, and what a clock does is tried where one can be given.
fn properties(contenders: &[Contender]) -> String {
    let mut table =
        Table::new(["", "bits", "ascending, 1 thread", "routable", "the clock steps back by an hour"]);
    for contender in contenders {
        let ascending = format!("{:.1} %", cost::ascending(contender) * 100.0);
        let bits = contender.bits.to_string();
        let back = (contender.clock_back)();
        table.row([contender.name.to_owned(), bits, ascending, contender.routable.to_owned(), back]);
    }
    table.to_string()
}
