//! `bench cdc`: how long after its commit a change has reached the first level of every instance, and how fast a backlog is
//! caught up with.

mod backlog;
mod delay;
mod site;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{machine, table::Table};
use backlog::Caught;
use delay::Delays;
use site::Site;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench cdc
  cargo xtask bench cdc -- --seconds 2 --rows 20000 --print-only
  cargo xtask bench cdc -- --writers 1,4,16 --rows 0")]
pub(crate) struct Args {
    /// How many clients commit at a time, one row a transaction
    #[arg(long, value_delimiter = ',', default_value = "1,4", value_parser = clap::value_parser!(u32).range(1..=256))]
    writers: Vec<u32>,
    /// How many instances have a first level
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    instances: u32,
    /// How long is written for one measurement
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rows of the backlog; 0 leaves it out
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    rows: u64,
    /// Rows in one of its transactions
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    per_transaction: u64,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let facts = machine::facts();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let report = runtime.block_on(async {
        let site = Site::start()?;
        let mut delays = Vec::new();
        for &writers in &args.writers {
            let time = Duration::from_secs(args.seconds);
            let measured = Box::pin(delay::measure(&site, writers, args.instances, time)).await;
            delays.push((writers, measured.with_context(|| format!("measure {writers} writers"))?));
        }
        let backlog = match args.rows {
            0 => None,
            rows => Some(backlog::measure(&site, rows, args.per_transaction).context("measure the backlog")?),
        };
        anyhow::Ok(report(args, &facts, &delays, backlog.as_ref()))
    })?;
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("cdc", &report)?.display());
    }
    Ok(())
}

fn report(args: &Args, facts: &[String], delays: &[(u32, Delays)], backlog: Option<&Caught>) -> String {
    let mut out = String::from("# From a commit to every first level\n\n");
    for fact in facts {
        line(&mut out, &format!("- {fact}"));
    }
    let writers = args.writers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    line(
        &mut out,
        &format!(
            "- Command: `cargo xtask bench cdc -- --writers {writers} --instances {} --seconds {} --rows {} --per-transaction {}`\n",
            args.instances, args.seconds, args.rows, args.per_transaction
        ),
    );
    line(
        &mut out,
        "Writers, MariaDB (sync_binlog=1), NATS (each message synced), six Redis nodes, the capture and the instances share the machine. A \
         delay ends when the last instance has fenced the row. It begins when the commit was answered (a change that was \
         faster counts as 0), or when the statement was sent. Stolen is the processors' time that the machine below this one kept for itself: all stand \
         still meanwhile.\n",
    );
    let mut table = Table::new([
        "writers",
        "commits/s",
        "answered p50 ms",
        "p99 ms",
        "max ms",
        "sent p50 ms",
        "p99 ms",
        "stolen",
    ]);
    for (writers, delays) in delays {
        let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1000.0);
        table.row([
            writers.to_string(),
            format!("{:.0}", delays.per_second),
            ms(delays.answered(0.5)),
            ms(delays.answered(0.99)),
            ms(delays.answered(1.0)),
            ms(delays.sent(0.5)),
            ms(delays.sent(0.99)),
            format!("{:.1} %", delays.stolen * 100.0),
        ]);
    }
    line(&mut out, &table.to_string());
    if let Some((_, four)) = delays.iter().find(|(writers, _)| *writers == 4) {
        let met = if four.answered(0.99) <= Duration::from_millis(15) { "met" } else { "missed" };
        line(&mut out, &format!("Goal at 4 writers: p99 at most 15 ms: {met}.\n"));
    }
    if let Some(Caught { rows, on_bus, in_level2, let_go }) = backlog {
        line(&mut out, "## A backlog\n");
        let mut table = Table::new([
            "rows",
            "on the bus, rows/s",
            "with their floors in Redis, rows/s",
            "of these let go",
        ]);
        let rate = |time: &Duration| format!("{:.0}", *rows as f64 / time.as_secs_f64());
        table.row([rows.to_string(), rate(on_bus), rate(in_level2), let_go.to_string()]);
        line(&mut out, &table.to_string());
        line(
            &mut out,
            "Floors are let go when too many wait for Redis; an epoch of their table stands for them then.\n",
        );
    }
    out
}

fn line(out: &mut String, text: &str) {
    let written = writeln!(out, "{text}");
    debug_assert!(written.is_ok(), "a String takes everything");
}
