//! `bench netstack`: what it costs to carry a message in and out, on our loop, on bare epoll, and on io_uring.

mod counters;
mod epoll;
mod files;
mod message;
mod ours;
mod report;
mod session;
mod uring;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use anyhow::{Context as _, Result, ensure};
use aqueduct_runtime::worker::Workers;
use clap::ValueEnum;
use indicatif::ProgressBar;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::clients::{Clients, Plan};
use crate::median::median;
use crate::{machine, progress};
use counters::{Count, Counters, Snapshot};
use message::Echo;

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench netstack
  cargo xtask bench netstack -- --messages 5000 --rounds 1 --print-only
  cargo xtask bench netstack -- --stacks epoll,uring --sizes 100 --connections 64")]
pub(crate) struct Args {
    /// Messages of one load; of large ones a fiftieth
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    messages: u64,
    /// Loads of each kind on each stack; the stacks take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The stacks to measure
    #[arg(long, value_delimiter = ',', default_value = "ours,epoll,uring,uring-zc")]
    stacks: Vec<Stack>,
    /// Bytes of a message
    #[arg(long, value_delimiter = ',', default_value = "100,65536", value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    sizes: Vec<u32>,
    /// Open connections, of which 64 have a message in flight
    #[arg(long, value_delimiter = ',', default_value = "64,10000")]
    connections: Vec<usize>,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

/// A way to wait for sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stack {
    /// tokio on a worker of aqueduct-runtime, as the gateway has it
    Ours,
    /// a bare loop on epoll
    Epoll,
    /// io_uring: multishot receive, provided buffers, send
    Uring,
    /// the same with SEND_ZC from registered buffers
    UringZc,
}

impl Stack {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Epoll => "epoll",
            Self::Uring => "uring",
            Self::UringZc => "uring-zc",
        }
    }
}

/// Messages in flight.
const IN_FLIGHT: usize = 64;
/// How loaded the fixed rate is, as a part of the peak of our loop, or else of the first stack.
const SHARE: f64 = 0.5;

/// One stack's figures with one size and so many connections; an element a round.
#[derive(Debug)]
struct Figures {
    stack: Stack,
    size: usize,
    connections: usize,
    /// CPU time of the server's thread for a message, at the peak.
    cpu_us: Vec<f64>,
    peak: Vec<f64>,
    /// What was counted at the peak.
    counted: Vec<Snapshot>,
    /// What was counted at the fixed rate, for the delays.
    paced: Vec<Snapshot>,
    rate: f64,
    failures: u64,
}

/// A server that runs in a thread of this process, as long as the process does.
struct Server {
    stack: Stack,
    address: SocketAddr,
    counters: Arc<Counters>,
    thread: Pid,
    /// Keeps a runtime's worker attached, and tells how often it waited.
    workers: Option<Workers<io::Result<()>>>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut facts = machine::facts();
    let mut stacks = args.stacks.clone();
    if let Some(error) = uring::refused() {
        facts.push(format!("io_uring is not to be had here: {error}"));
        stacks.retain(|stack| !matches!(stack, Stack::Uring | Stack::UringZc));
    }
    let most = args.connections.iter().copied().max().unwrap_or(0);
    machine::allow_files(most as u64 + 100)?;
    let core = machine::split_cores()?;
    let bar = progress::bar(
        (args.sizes.len() * args.connections.len() * stacks.len()) as u64 * 2 * u64::from(args.rounds + 1),
    );
    let mut all = Vec::new();
    for &size in &args.sizes {
        let start = |stack: &Stack| Server::start(*stack, size as usize, core);
        let servers = stacks.iter().map(start).collect::<Result<Vec<_>>>()?;
        for &connections in &args.connections {
            all.extend(take(args, &servers, (size as usize, connections), &bar)?);
        }
    }
    bar.finish_and_clear();
    let report = report::write(args, &facts, &all);
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("netstack", &report)?.display());
    }
    Ok(())
}

/// All rounds at the peak, and then all at half of our loop's. Round 0 of each warms up, and is not counted.
fn take(
    args: &Args,
    servers: &[Server],
    (size, connections): (usize, usize),
    bar: &ProgressBar,
) -> Result<Vec<Figures>> {
    let messages = if size > 10_000 { args.messages.div_ceil(50) } else { args.messages };
    let in_flight = IN_FLIGHT.min(connections);
    let mut all: Vec<Figures> =
        servers.iter().map(|server| Figures::new(server.stack, size, connections)).collect();
    let mut rate = None;
    for _pace in ["the peak", "the rate that comes of it"] {
        for round in 0..=args.rounds {
            for (server, figures) in servers.iter().zip(&mut all) {
                bar.set_message(format!("{size} bytes, {connections} connections: {}", server.stack.name()));
                bar.inc(1);
                let requests = if round == 0 { messages.div_ceil(10) } else { messages };
                // Both ends of a connection are in this process, so only one stack's connections are open at a time.
                let mut clients = Clients::connect(server.address, Echo::new(size), connections)?;
                clients.run(Plan { requests: (connections as u64).min(1000), in_flight, rate: None })?;
                let (before, cpu, waits) = (server.counters.snapshot(), server.cpu_ns()?, server.waits());
                let begin = crate::clients::now();
                let outcome = clients.run(Plan { requests, in_flight, rate })?;
                let seconds = (crate::clients::now() - begin) as f64 / 1e9;
                let (used, waits) = (server.cpu_ns()? - cpu, server.waits() - waits);
                server.counters.add(Count::Waits, waits);
                let counted = server.counters.snapshot().since(&before);
                ensure!(
                    counted.of(Count::Messages) == requests && outcome.failures == 0,
                    "{} lost messages",
                    server.stack.name()
                );
                if round == 0 {
                } else if let Some(rate) = rate {
                    figures.rate = rate;
                    figures.paced.push(counted);
                } else {
                    figures.cpu_us.push(used as f64 / 1000.0 / requests as f64);
                    figures.peak.push(requests as f64 / seconds);
                    figures.counted.push(counted);
                }
                figures.failures += outcome.failures;
            }
        }
        // Not the slowest's: a stack that stalls would make the others idle.
        let first = all.iter().find(|figures| figures.stack == Stack::Ours).or(all.first());
        rate = first.map(|figures| median(figures.peak.iter().copied()) * SHARE);
    }
    Ok(all)
}

impl Figures {
    fn new(stack: Stack, size: usize, connections: usize) -> Self {
        let (cpu_us, peak, counted, paced) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { stack, size, connections, cpu_us, peak, counted, paced, rate: f64::NAN, failures: 0 }
    }
}

impl Server {
    fn start(stack: Stack, size: usize, core: Option<usize>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // std's own backlog is too short for 10,000 connections at once.
        rustix::net::listen(&listener, 4096)?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::new());
        let (ready, started) = channel();
        let workers = match stack {
            Stack::Ours => {
                let ready = Mutex::new(ready);
                let ready = move || {
                    let ready = ready.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    settle(core, &ready);
                };
                Some(ours::start(listener, size, Arc::clone(&counters), ready)?)
            }
            Stack::Epoll | Stack::Uring | Stack::UringZc => {
                let counters = Arc::clone(&counters);
                let body = move || {
                    settle(core, &ready);
                    let result = match stack {
                        Stack::Uring => uring::serve(&listener, size, false, &counters),
                        Stack::UringZc => uring::serve(&listener, size, true, &counters),
                        Stack::Ours | Stack::Epoll => epoll::serve(&listener, size, &counters),
                    };
                    if let Err(error) = result {
                        anstream::eprintln!("{} ended: {error}", stack.name());
                    }
                };
                // Detached: it ends with the process.
                drop(thread::Builder::new().name(stack.name().to_owned()).spawn(body)?);
                None
            }
        };
        let thread = wait_started(&started).with_context(|| format!("start {}", stack.name()))?;
        Ok(Self { stack, address, counters, thread, workers })
    }

    /// CPU time of the server's thread, and of the threads that io_uring may have started for it.
    fn cpu_ns(&self) -> Result<u64> {
        let mut total = schedstat(&format!("/proc/self/task/{}", self.thread.as_raw_nonzero()))?;
        for task in fs::read_dir("/proc/self/task")?.flatten() {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            if name.starts_with("iou-") {
                total += schedstat(&task.path().to_string_lossy()).unwrap_or(0);
            }
        }
        Ok(total)
    }

    /// How often a runtime's thread went to wait, which is one call of epoll each; the other servers count it themselves.
    fn waits(&self) -> u64 {
        self.workers.as_ref().map_or(0, |workers| workers.stats().iter().map(|stats| stats.parks).sum())
    }
}

fn schedstat(task: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("{task}/schedstat")).context("read a thread's schedstat")?;
    Ok(text.split(' ').next().context("find its CPU time")?.parse()?)
}

/// On a server's own thread: takes the core, and tells who it is.
fn settle(core: Option<usize>, ready: &Sender<io::Result<Pid>>) {
    let place = |core: Option<usize>| {
        if let Some(core) = core {
            let mut cores = CpuSet::new();
            cores.set(core);
            sched_setaffinity(None, &cores)?;
        }
        files::of_this_thread()
    };
    // Nobody waits any more only if the harness has ended.
    drop(ready.send(place(core).map(|()| rustix::thread::gettid())));
}

fn wait_started(started: &Receiver<io::Result<Pid>>) -> Result<Pid> {
    Ok(started.recv().context("it ended at once")??)
}
