//! `bench gateway`: what a request costs the proxy that carries it, in CPU time, for each proxy in turn.

mod backend;
mod fixture;
mod load;
mod proxies;
mod report;

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use aqueduct_kit::{Client, Scratch, procfs};

use crate::{machine, progress, tools};
use backend::Backend;
use fixture::{Fixture, GET_PATH, POST_PATH};
use load::{Bodies, CONNECTIONS, Outcome, Row};
use proxies::{Kind, Proxy};

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench gateway --install               installs h2load, nginx and Envoy first (as root)
  cargo xtask bench gateway -- --rounds 9           more rounds
  cargo xtask bench gateway -- --requests 2000 --rounds 1 --print-only
  cargo xtask bench gateway -- --proxies envoy,nginx --rows get")]
pub(crate) struct Args {
    /// Requests of one load
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(CONNECTIONS..=10_000_000))]
    requests: u64,
    /// Loads of each kind on each proxy; the proxies take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The proxies to measure
    #[arg(long, value_delimiter = ',', default_value = "aqueduct,envoy,nginx")]
    proxies: Vec<Kind>,
    /// The kinds of request to send
    #[arg(long, value_delimiter = ',', default_value = "get,post,grpc")]
    rows: Vec<Row>,
    /// Let proxy, backend and load share all cores, rather than giving the proxy one of its own
    #[arg(long)]
    no_pin: bool,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

/// One load on one proxy.
#[derive(Clone, Copy, Debug)]
struct Sample {
    row: Row,
    proxy: Kind,
    cpu_us: f64,
    outcome: Outcome,
}

/// All that a report needs.
#[derive(Debug)]
struct Run<'a> {
    args: &'a Args,
    facts: Vec<String>,
    samples: Vec<Sample>,
    /// Resident memory of each proxy at the end, in bytes.
    memory: Vec<(Kind, u64)>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut needs = vec![("h2load", tools::on_path("h2load")), ("taskset", tools::on_path("taskset"))];
    needs.extend(args.proxies.iter().map(|kind| (kind.name(), kind.find())));
    tools::require(&needs)?;
    let mut facts = machine::facts();
    for kind in &args.proxies {
        facts.push(format!("{}: {}", kind.name(), kind.version()?));
    }
    facts.push(format!("h2load: {}", machine::first_line("h2load", &["--version"])));

    let core = proxys_core(args)?;
    let fixture = Fixture::new()?;
    let backend = Backend::start(&fixture)?;
    let scratch = Scratch::new("bench-gateway");
    let start = |kind: &Kind| Proxy::start(*kind, core, &backend, &fixture, &scratch);
    let proxies = args.proxies.iter().map(start).collect::<Result<Vec<_>>>()?;
    for proxy in &proxies {
        check(proxy, &backend, &fixture)
            .with_context(|| format!("check the answers of {}", proxy.kind.name()))?;
    }
    let samples = measure(args, &proxies, &Bodies::write(&fixture, &scratch))?;
    let memory = proxies.iter().map(|proxy| Ok((proxy.kind, procfs::resident_bytes(proxy.pid())?)));
    let run = Run { args, facts, samples, memory: memory.collect::<Result<_>>()? };
    let report = report::write(&run);
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("gateway", &report)?.display());
    }
    Ok(())
}

/// Gives the proxies the last core, and everything else, this process first, the others. `None` where there is only
/// one core, or the user wants none of it.
fn proxys_core(args: &Args) -> Result<Option<usize>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if args.no_pin || cores < 2 {
        return Ok(None);
    }
    // Threads and children that start later inherit it.
    let mut taskset = Command::new("taskset");
    taskset.args(["-a", "-c", "-p", &format!("0-{}", cores - 2), &std::process::id().to_string()]);
    let output = taskset.output().context("start taskset")?;
    ensure!(output.status.success(), "taskset failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(cores - 1))
}

/// A proxy that answers something else, or asks the backend for something else, did other work.
fn check(proxy: &Proxy, backend: &Backend, fixture: &Fixture) -> Result<()> {
    let mut client = Client::new(proxy.http);
    let got = client.get(GET_PATH)?;
    ensure!(got.status() == 200 && got.json() == fixture.order, "GET {}: {}", got.status(), got.text());
    let (posted, sent) = backend.observe(|| client.post(POST_PATH, &fixture.create));
    let posted = posted?;
    ensure!(
        posted.status() == 200 && posted.json() == fixture.order,
        "POST {}: {}",
        posted.status(),
        posted.text()
    );
    ensure!(
        !proxy.kind.transcodes() || fixture.is_create(sent.clone()),
        "POST was transcoded otherwise: {sent:?}"
    );
    Ok(())
}

fn measure(args: &Args, proxies: &[Proxy], bodies: &Bodies) -> Result<Vec<Sample>> {
    let loads = args.rows.len() * proxies.len() * (args.rounds as usize + 1);
    let bar = progress::bar(loads as u64);
    let mut samples = Vec::new();
    for &row in &args.rows {
        // Round 0 warms up, and is not counted.
        for round in 0..=args.rounds {
            for proxy in proxies {
                bar.set_message(format!(
                    "{}, round {round} of {}: {}",
                    row.title(),
                    args.rounds,
                    proxy.kind.name()
                ));
                let requests =
                    if round == 0 { args.requests.div_ceil(10).max(CONNECTIONS) } else { args.requests };
                let sample = sample(row, proxy, bodies, requests)?;
                if round > 0 {
                    samples.push(sample);
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(samples)
}

fn sample(row: Row, proxy: &Proxy, bodies: &Bodies, requests: u64) -> Result<Sample> {
    let before = procfs::cpu_time(proxy.pid())?;
    let outcome = bodies.load(row, proxy, requests)?;
    let used = procfs::cpu_time(proxy.pid())?.saturating_sub(before);
    Ok(Sample { row, proxy: proxy.kind, cpu_us: used.as_secs_f64() * 1e6 / requests as f64, outcome })
}
