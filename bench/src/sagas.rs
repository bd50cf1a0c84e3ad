//! `bench sagas`: transfers a second, each a saga of a debit that can be undone and a credit that decides, answered once it has ended
//! durably. The engine alone, on its embedded store and on MariaDB, with participants that answer at once; and the shop's transfers over
//! HTTP, with both participants' accounts behind their barriers. And how long a restart with many sagas in flight takes to end them all.

mod engine;
mod report;
mod transfers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_kit::binary::workspace;
use clap::ValueEnum;

use crate::orders::with_fresh;
use crate::{machine, progress};

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench sagas
  cargo xtask bench sagas -- --levels embedded --callers 1024 --seconds 20
  cargo xtask bench sagas -- --seconds 1 --in-flight 1000 --print-only")]
pub(crate) struct Args {
    /// How many callers at a time, each with one transfer in hand
    #[arg(long, value_delimiter = ',', default_value = "64,1024", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    callers: Vec<u32>,
    /// Where to measure
    #[arg(long, value_delimiter = ',', default_value = "embedded,mysql,http")]
    levels: Vec<Level>,
    /// How long transfers are begun for one measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Sagas that are in flight when all is restarted; 0 leaves it out
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    in_flight: u32,
    /// A folder on the disk to measure, made and removed again [default: bench-sagas in the target folder]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

/// What runs a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    /// `aqueduct-saga` on its embedded store, in this process
    Embedded,
    /// The same on MariaDB
    Mysql,
    /// `POST /v1/transfers` of `aqueduct up`, in a process of its own
    Http,
}

/// What one number of callers reached on one level.
#[derive(Debug)]
struct Measured {
    level: Level,
    callers: u32,
    elapsed: Duration,
    /// Microseconds from the submission to the end, sorted.
    times: Vec<u32>,
    /// CPU time of what was measured, servers included.
    cpu: Duration,
}

/// A restart with sagas in flight.
#[derive(Debug)]
struct Restarted {
    level: Level,
    in_flight: u32,
    /// From the store's opening until all had ended.
    elapsed: Duration,
    /// Calls to participants meanwhile.
    calls: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let facts = machine::facts();
    let folder = args.data.clone().unwrap_or_else(|| workspace().join("target/bench-sagas"));
    let bar = progress::bar((args.levels.len() * args.callers.len()) as u64);
    let time = Duration::from_secs(args.seconds);
    let (mut measured, mut restarted) = (Vec::new(), Vec::new());
    for &level in &args.levels {
        for &callers in &args.callers {
            bar.set_message(format!("{level:?}, {callers} callers"));
            let one = with_fresh(&folder, |folder| match level {
                Level::Embedded => engine::embedded(folder, callers, time),
                Level::Mysql => engine::mysql(callers, time),
                Level::Http => transfers::measure(folder, callers, time),
            });
            measured.push(one.with_context(|| format!("measure {level:?} with {callers} callers"))?);
            bar.inc(1);
        }
        if args.in_flight > 0 && level != Level::Http {
            bar.set_message(format!("{level:?}, a restart"));
            let one = with_fresh(&folder, |folder| match level {
                Level::Mysql => engine::mysql_restarted(args.in_flight),
                _ => engine::embedded_restarted(folder, args.in_flight),
            });
            restarted.push(one.with_context(|| format!("restart {level:?}"))?);
        }
    }
    bar.finish_and_clear();
    let report = report::write(args, &facts, &measured, &restarted);
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("sagas", &report)?.display());
    }
    Ok(())
}
