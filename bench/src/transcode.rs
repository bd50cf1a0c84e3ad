//! `bench transcode`: what it costs to turn one message of half a kilobyte into wire bytes and back, beside others
//! that do the same and beside reading the tokens alone.

mod allocations;
mod contenders;
mod generated;
mod report;

use anyhow::{Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};

use crate::{machine, progress};
use contenders::{Case, Fixture, Who, Work};

/// How to measure.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench transcode
  cargo xtask bench transcode -- --rounds 9 --print-only
  perf record target/release/aqueduct-bench transcode --spin encode     one work of ours, for a profiler")]
pub(crate) struct Args {
    /// Measurements of each; all take turns
    #[arg(long, default_value_t = 41, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// CPU time of one measurement, in milliseconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    millis: u32,
    /// Repeat one work of aqueduct-transcode for ten seconds, and measure nothing
    #[arg(long)]
    spin: Option<Work>,
    /// Show the report without keeping it in bench/runs
    #[arg(long)]
    print_only: bool,
}

/// Calls that show how many one measurement needs, and that grow all buffers.
const WARM_UP: u32 = 2000;

/// What one case cost.
#[derive(Debug)]
struct Measured {
    work: Work,
    who: Who,
    /// CPU nanoseconds a call, one for each round.
    nanos: Vec<f64>,
    /// Allocations a call, once all buffers have grown.
    allocations: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let fixture = Fixture::new()?;
    let mut cases = fixture.cases();
    if let Some(work) = args.spin {
        return spin(&mut cases, work);
    }
    fixture.check()?;
    let facts = machine::facts();
    let measured = measure(args, &mut cases)?;
    let report = report::write(args, &facts, &fixture, &measured);
    anstream::println!("{report}");
    if !args.print_only {
        anstream::println!("kept in {}", machine::keep("transcode", &report)?.display());
    }
    Ok(())
}

/// The cases take turns, so that a busy minute of the machine falls on all of them.
fn measure(args: &Args, cases: &mut [Case<'_>]) -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    let mut calls = Vec::new();
    for case in cases.iter_mut() {
        let nanos = cpu_nanos(&mut case.run, WARM_UP) / f64::from(WARM_UP);
        ensure!(nanos > 0.0, "the clock of the thread's CPU time stands still");
        let fit = (f64::from(args.millis) * 1e6 / nanos).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        calls.push((fit as u32).max(1));
        let before = allocations::of_this_thread();
        (0..WARM_UP).for_each(|_| (case.run)());
        let allocations = (allocations::of_this_thread() - before) as f64 / f64::from(WARM_UP);
        measured.push(Measured { work: case.work, who: case.who, nanos: Vec::new(), allocations });
    }
    let bar = progress::bar(u64::from(args.rounds));
    for _ in 0..args.rounds {
        for ((case, measured), &calls) in cases.iter_mut().zip(&mut measured).zip(&calls) {
            measured.nanos.push(cpu_nanos(&mut case.run, calls) / f64::from(calls));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(measured)
}

fn spin(cases: &mut [Case<'_>], work: Work) -> Result<()> {
    let ours = cases.iter_mut().find(|case| (case.work, case.who) == (work, Who::Aqueduct));
    let Some(case) = ours else { bail!("aqueduct-transcode does not do this alone") };
    let mut spent = 0.0;
    while spent < 10e9 {
        spent += cpu_nanos(&mut case.run, 10_000);
    }
    Ok(())
}

/// CPU time and not wall time: what others do on the machine in the meantime does not count.
fn cpu_nanos(run: &mut dyn FnMut(), calls: u32) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let start = now();
    for _ in 0..calls {
        run();
    }
    now() - start
}
