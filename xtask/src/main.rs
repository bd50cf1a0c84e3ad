//! The tasks of the project, as `cargo xtask …`: each but `cluster` is a list of steps that are printed, timed, and stop at
//! the first failure.

mod bench;
mod checks;
mod cluster;
mod conformance;
mod fuzz;
mod newer;
mod release;
mod soak;
mod steps;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use steps::Steps;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The tasks of the project", after_help = EXAMPLES, version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                     every test: units, properties, end to end, documentation, conformance, loom
  cargo xtask test lease               only the tests whose name contains `lease`
  cargo xtask test -p aqueduct-ids     only one crate's tests
  cargo xtask conformance              only protobuf's conformance suite
  cargo xtask cluster up               MariaDB, a Redis Cluster and NATS on this machine, until `cluster down`
  cargo xtask ci                       what must pass before a change goes in
  cargo xtask release                  `aqueduct`, optimised by a profile of its benchmark
  cargo xtask bench gateway --install  CPU time per request, beside Envoy and nginx
  cargo xtask fuzz --seconds 600       arbitrary input for every parser of outside bytes
  cargo xtask soak --rounds 1000       the tests that repeat, many more times";

#[derive(Subcommand)]
enum Task {
    /// Runs every test, or with arguments those that cargo-nextest selects by them
    ///
    /// What is missing is installed (Debian and Ubuntu, as root); otherwise the line to run is shown, and the task
    /// fails. No test is skipped for lack of a tool.
    Test {
        /// Passed on to `cargo nextest run`: names, `-p CRATE`, `-E FILTER`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        select: Vec<String>,
    },
    /// Runs protobuf's conformance suite against the transcoder, as `test` does too
    Conformance,
    /// Checks all that must hold before a change goes in: format, dependencies, lints, documentation, tests
    Ci,
    /// Builds `aqueduct` twice: to count what it does under the load of `bench gateway`, and then optimised for that
    ///
    /// The result lies in target/profiled. Takes about three times as long as a build in release mode.
    Release,
    /// Takes the figures, in release mode, and writes them to bench/runs
    Bench(bench::Args),
    /// Feeds arbitrary input to the parsers of outside bytes, and compares them with others
    Fuzz(fuzz::Args),
    /// Repeats for a long time the tests that can find more by it
    Soak(soak::Args),
    /// Starts, shows and ends the real servers that tests use, for a person to try things on
    Cluster(cluster::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut steps = Steps::start();
    let outcome = match &cli.task {
        Task::Test { select } if select.is_empty() => test::all(&mut steps),
        Task::Test { select } => test::selected(&mut steps, select),
        Task::Conformance => conformance::run(&mut steps),
        Task::Ci => checks::all(&mut steps),
        Task::Release => release::run(&mut steps),
        Task::Bench(args) => bench::run(&mut steps, args),
        Task::Fuzz(args) => fuzz::run(&mut steps, args),
        Task::Soak(args) => soak::run(&mut steps, args),
        // No list of steps: what runs is the answer.
        Task::Cluster(args) => return cluster::run(args),
    };
    steps.summary(&outcome);
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
