//! `bench gateway`: what a request costs the proxy that carries it, in CPU time and in waiting, for each proxy in turn; and
//! what its connections cost.

pub(crate) mod backend;
mod connections;
pub(crate) mod fixture;
mod h2load;
mod handshakes;
mod proxies;
mod report;
mod rows;

use anyhow::{Context as _, Result, ensure};
use aqueduct_kit::{Client, Scratch, procfs};
use clap::ValueEnum;

use crate::{machine, progress, tools};
use backend::Backend;
use fixture::{Fixture, GET_PATH, POST_PATH};
use h2load::{Bodies, CONNECTIONS};
use handshakes::Certificate;
use proxies::{Kind, Proxy, Setting};
use rows::Row;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench gateway --install               installs what is compared and what sends the load first (as root)
  cargo xtask bench gateway -- --rounds 9           more rounds
  cargo xtask bench gateway -- --quick --print-only
  cargo xtask bench gateway -- --proxies envoy,nginx --rows get,connections")]
pub(crate) struct Args {
    /// Requests of one load; of streams, and of TLS connections, a twentieth
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(CONNECTIONS as u64..=10_000_000))]
    requests: u64,
    /// Loads of each kind on each proxy; the proxies take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Idle connections, for the row `connections`
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// The proxies to measure
    #[arg(long, value_delimiter = ',', default_value = "aqueduct,envoy,nginx,haproxy")]
    proxies: Vec<Kind>,
    /// What to measure
    #[arg(long, value_delimiter = ',', default_value = "get,post,grpc,stream,connections,tls")]
    rows: Vec<Section>,
    /// A look in a minute or two: one round, few requests, 1,000 connections
    #[arg(long)]
    quick: bool,
    /// Let proxy, backend and load share all cores, rather than giving the proxy one of its own
    #[arg(long)]
    no_pin: bool,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

/// A part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// GET of an order over HTTP/1.1, transcoded
    Get,
    /// POST of 1 KB over HTTP/1.1, transcoded both ways
    Post,
    /// a unary gRPC call over h2c, passed through
    Grpc,
    /// a gRPC call over h2c that is answered with a stream, passed through
    Stream,
    /// memory of idle connections, and requests on one of many
    Connections,
    /// TLS connections, full and resumed handshakes
    Tls,
}

/// All that a report needs.
#[derive(Debug)]
struct Run<'a> {
    args: &'a Args,
    facts: Vec<String>,
    rows: Vec<rows::Figures>,
    connections: Vec<connections::Figures>,
    handshakes: Vec<handshakes::Figures>,
    /// Resident memory of each proxy at the end, in bytes.
    memory: Vec<(Kind, u64)>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let args = &args.settled();
    let mut needs: Vec<_> =
        ["h2load", "taskset", "openssl"].map(|program| (program, tools::on_path(program))).into();
    needs.extend(args.proxies.iter().map(|kind| (kind.name(), kind.find())));
    tools::require(&needs)?;
    let mut facts = machine::facts();
    for kind in &args.proxies {
        facts.push(format!("{}: {}", kind.name(), kind.version()?));
    }
    facts.push(format!("h2load: {}", machine::first_line("h2load", &["--version"])));
    machine::allow_files(if args.rows.contains(&Section::Connections) {
        args.connections as u64 + 1000
    } else {
        1024
    })?;

    let core = if args.no_pin { None } else { machine::split_cores()? };
    let fixture = Fixture::new()?;
    let backend = Backend::start(&fixture)?;
    let scratch = Scratch::new("bench-gateway");
    let certificate = Certificate::make(&scratch)?;
    let descriptors = scratch.write("shop.pb", &fixture.descriptors);
    let setting =
        Setting { core, backend: &backend, descriptors, certificate: &certificate, scratch: &scratch };
    let start = |kind: &Kind| Proxy::start(*kind, &setting);
    let proxies = args.proxies.iter().map(start).collect::<Result<Vec<_>>>()?;
    for proxy in &proxies {
        check(proxy, &backend, &fixture)
            .with_context(|| format!("check the answers of {}", proxy.kind.name()))?;
    }
    let bar = progress::bar(args.steps());
    let mut run = Run {
        args,
        facts,
        rows: Vec::new(),
        connections: Vec::new(),
        handshakes: Vec::new(),
        memory: Vec::new(),
    };
    // While the proxies are fresh, their memory tells what connections need.
    if args.rows.contains(&Section::Connections) {
        run.connections = connections::take(args, &proxies, &bar)?;
    }
    let bodies = Bodies::write(&fixture, &scratch);
    for row in args.rows.iter().copied().filter_map(Row::of) {
        run.rows.extend(rows::take(row, args, &proxies, (&bodies, &fixture), &bar)?);
    }
    if args.rows.contains(&Section::Tls) {
        run.handshakes = handshakes::take(args, &proxies, &certificate, &bar)?;
    }
    bar.finish_and_clear();
    let memory = proxies.iter().map(|proxy| Ok((proxy.kind, procfs::resident_bytes(proxy.pid())?)));
    run.memory = memory.collect::<Result<_>>()?;
    proxies.into_iter().try_for_each(Proxy::end)?;
    let report = report::write(&run);
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("gateway", &report)?.display());
    }
    Ok(())
}

impl Args {
    /// The same with all that `--quick` means.
    fn settled(&self) -> Self {
        let (requests, rounds, connections) =
            if self.quick { (4000, 1, 1000) } else { (self.requests, self.rounds, self.connections) };
        let (proxies, rows) = (self.proxies.clone(), self.rows.clone());
        Self { requests, rounds, connections, proxies, rows, ..*self }
    }

    /// Seconds of a load that has a fixed rate.
    fn seconds(&self, usual: f64) -> f64 {
        if self.quick { usual / 3.0 } else { usual }
    }

    fn steps(&self) -> u64 {
        let (rounds, proxies) = (u64::from(self.rounds), self.proxies.len() as u64);
        let of = |section: &Section| match section {
            Section::Connections => rounds * proxies,
            _ => 2 * (rounds + 1) * proxies,
        };
        self.rows.iter().map(of).sum()
    }
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
