//! `bench levels`: how long a client waits for an order that lies in memory, in Redis, or only in the database; through the
//! edge, with real servers below.
//!
//! Two instances of `aqueduct up` share the servers. Orders that were just created are in no cache: the first reader of each loads it
//! from the database, and fills Redis. The other instance's first read of it finds it there, and its second in its own memory. The
//! counters of the instances tell whether it was so.

mod report;
mod system;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aqueduct_kit::Client;
use serde_json::{Value, json};

use crate::clients::http1::Http1;
use crate::clients::{Clients, Outcome, Plan};
use crate::{machine, progress};
use system::{Instance, Loads, Servers};

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench levels
  cargo xtask bench levels -- --orders 500 --rounds 1 --print-only

MariaDB, Redis and NATS are needed; `cargo xtask test` installs them.")]
pub(crate) struct Args {
    /// Orders of one round, each read once from every level
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    orders: u64,
    /// Reads a second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Rounds; each has orders of its own
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

/// The most reads at a time; each has a connection.
const CONNECTIONS: usize = 32;
/// Orders are read again before this has passed: an entry is fresh for ten seconds.
const FRESH: Duration = Duration::from_secs(8);

/// Where an order was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Database,
    Redis,
    Memory,
}

/// The reads of one level, of all rounds.
#[derive(Debug)]
struct Measured {
    level: Level,
    outcome: Outcome,
    /// What the instance counted meanwhile.
    loads: Loads,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let seconds = Duration::from_secs_f64(args.orders as f64 / f64::from(args.rate));
    ensure!(
        seconds < FRESH,
        "{} orders at {} reads a second take {seconds:.1?}, and an order is fresh in memory for less than \
        {FRESH:?}: lower --orders or raise --rate",
        args.orders,
        args.rate
    );
    let facts = machine::facts();
    let bar = progress::bar(2 + args.rounds * 4);
    bar.set_message("start MariaDB, Redis and NATS");
    let servers = Servers::start().context("start the servers")?;
    bar.inc(1);
    bar.set_message("start aqueduct up twice");
    let (first, second) = (servers.instance(true)?, servers.instance(false)?);
    bar.inc(1);
    let mut measured = [Level::Database, Level::Redis, Level::Memory].map(Measured::none);
    for round in 0..args.rounds {
        bar.set_message(format!("round {}: create orders", round + 1));
        let paths = create(&first, args.orders)?;
        bar.inc(1);
        for (of, instance) in measured.iter_mut().zip([&first, &second, &second]) {
            bar.set_message(format!("round {}: {:?}", round + 1, of.level));
            of.read(instance, &paths, f64::from(args.rate))?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let report = report::write(args, &facts, &measured);
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("levels", &report)?.display());
    }
    Ok(())
}

/// The paths of new orders.
fn create(instance: &Instance, orders: u64) -> Result<Vec<String>> {
    let items = json!([{"sku": "stone-block-0001", "quantity": 2, "priceCents": "1999"}]);
    let place = |user: u64| {
        let order = json!({"userId": user.to_string(), "items": items, "note": "leave at the gate"});
        let answer = Client::new(instance.edge).post("/v1/orders", &order)?;
        ensure!(answer.status() == 200, "an order was answered {}: {}", answer.status(), answer.text());
        let order: Value = serde_json::from_str(&answer.text())?;
        Ok(format!("/v1/orders/{}", order["id"].as_str().context("find the id of an order")?))
    };
    (1..=orders).map(place).collect()
}

impl Measured {
    fn none(level: Level) -> Self {
        Self { level, outcome: Outcome::default(), loads: Loads::default() }
    }

    fn read(&mut self, instance: &Instance, paths: &[String], rate: f64) -> Result<()> {
        let before = instance.loads()?;
        let mut clients = Clients::connect(instance.edge, Http1::gets(paths), CONNECTIONS)?;
        let plan = Plan { requests: paths.len() as u64, in_flight: CONNECTIONS, rate: Some(rate) };
        let outcome = clients.run(plan)?;
        self.loads.add(instance.loads()?, before);
        self.outcome.failures += outcome.failures;
        self.outcome.times.extend(outcome.times);
        self.outcome.times.sort_unstable();
        Ok(())
    }

    /// The part of the reads that the level in question answered.
    fn share(&self) -> f64 {
        let answered = match self.level {
            Level::Database => self.loads.database,
            Level::Redis => self.loads.redis,
            Level::Memory => self.loads.memory,
        };
        answered / (self.outcome.times.len() as u64 + self.outcome.failures) as f64
    }
}
