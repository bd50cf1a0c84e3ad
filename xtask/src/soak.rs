//! `cargo xtask soak`: the tests that find more the longer they run.

use std::process::Command;

use anyhow::Result;

use crate::steps::Steps;
use crate::tools::{self, NEXTEST};
use crate::workspace::{cargo, root, target};

/// How long to go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask soak
  cargo xtask soak --rounds 20 --cases 2000 --seeds 500
  cargo xtask soak --rounds 1000         more ends by kill -9")]
pub(crate) struct Args {
    /// How often the system is ended (kill -9, SIGTERM, a journal cut to what was synced) and what was acknowledged
    /// looked for
    #[arg(long, default_value_t = 500)]
    rounds: u32,
    /// Generated cases a property
    #[arg(long, default_value_t = 20_000)]
    cases: u32,
    /// Seeds of the simulations
    #[arg(long, default_value_t = 10_000)]
    seeds: u32,
    /// How often each fault comes to the real servers below the data layer
    #[arg(long, default_value_t = 20)]
    faults: u32,
    /// Seeds of sagas over real processes that are killed at callbacks
    #[arg(long, default_value_t = 200)]
    sagas: u32,
}

pub(crate) fn run(steps: &mut Steps, args: &Args) -> Result<()> {
    tools::ensure(steps, &[tools::CC, tools::STRACE, tools::PYTHON])?;
    tools::ensure_servers(steps)?;
    tools::OPENAPI_VALIDATOR.ensure(steps)?;
    let nextest = NEXTEST.program(steps)?;
    steps.run("build", &mut cargo("build --workspace --lib --bins --tests --examples"))?;
    // The binary as users run it: optimised, it gets further between two ends, and other races become likely.
    steps.run("build the binary", &mut cargo("build --release --package aqueduct"))?;
    let mut tests = Command::new(nextest);
    tests.current_dir(root()).args(["nextest", "run", "--workspace", "--profile", "soak"]);
    tests.env("AQUEDUCT_BIN", target().join("release/aqueduct"));
    tests.env("AQUEDUCT_ROUNDS", args.rounds.to_string()).env("PROPTEST_CASES", args.cases.to_string());
    tests.env("AQUEDUCT_SIM_SEEDS", args.seeds.to_string()).env("AQUEDUCT_FAULTS", args.faults.to_string());
    tests.env("AQUEDUCT_SAGAS", args.sagas.to_string());
    steps.run("long tests", &mut tests)
}
