//! `bench orders`: how many orders are created and moved a second, each answered only once it is durable; at the
//! committer, where the store's own speed shows, over HTTP, as a client sees it, and on MariaDB, by the committers and by a
//! transaction each.

mod committer;
mod disk;
mod drive;
pub(crate) mod http;
mod report;
mod shards;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_kit::binary::workspace;
use clap::ValueEnum;

use crate::{machine, progress};
use drive::Phase;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench orders
  cargo xtask bench orders -- --levels committer --callers 512 --seconds 20
  cargo xtask bench orders -- --levels shards --callers 512
  cargo xtask bench orders -- --seconds 1 --print-only")]
pub(crate) struct Args {
    /// How many callers at a time, each with one order in hand
    #[arg(long, value_delimiter = ',', default_value = "1,64,512", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    callers: Vec<u32>,
    /// Where to measure
    #[arg(long, value_delimiter = ',', default_value = "committer,http")]
    levels: Vec<Level>,
    /// How long orders are created for one measurement; moving them then takes as long as it takes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// A folder on the disk to measure, made and removed again [default: bench-orders in the target folder]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

/// Where an order is created and moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    /// `aqueduct-fsm` on its embedded store, in this process
    Committer,
    /// The edge of `aqueduct up`, in a process of its own
    Http,
    /// On MariaDB: a transaction for each change, and then the committers of the shards, on the same server
    Shards,
}

/// What one number of callers reached on one level: creations, then transitions.
#[derive(Debug)]
struct Measured {
    level: Level,
    /// How, where a level has several ways.
    way: &'static str,
    callers: u32,
    phases: [Phase; 2],
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let facts = machine::facts();
    let folder = args.data.clone().unwrap_or_else(|| workspace().join("target/bench-orders"));
    let floor = with_fresh(&folder, disk::sync_times)?;
    let bar = progress::bar((args.levels.len() * args.callers.len()) as u64);
    let mut measured = Vec::new();
    for &level in &args.levels {
        for &callers in &args.callers {
            bar.set_message(format!("{level:?}, {callers} callers"));
            let time = Duration::from_secs(args.seconds);
            let ways = with_fresh(&folder, |folder| match level {
                Level::Committer => Ok(vec![("", committer::measure(folder, callers, time)?)]),
                Level::Http => Ok(vec![("", http::measure(folder, callers, time)?)]),
                Level::Shards => shards::measure(callers, time),
            });
            let ways = ways.with_context(|| format!("measure {level:?} with {callers} callers"))?;
            measured.extend(ways.into_iter().map(|(way, phases)| Measured { level, way, callers, phases }));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let report = report::write(args, &facts, floor, &measured);
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("orders", &report)?.display());
    }
    Ok(())
}

/// Each measurement begins with nothing on disk, or the later ones would pay for the compactions of the earlier.
pub(crate) fn with_fresh<T>(folder: &Path, work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let clear = || match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    clear()
        .and_then(|()| fs::create_dir_all(folder))
        .with_context(|| format!("make {}", folder.display()))?;
    let outcome = work(folder)?;
    clear().with_context(|| format!("remove {}", folder.display()))?;
    Ok(outcome)
}
