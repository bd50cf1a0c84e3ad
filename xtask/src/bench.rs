//! `cargo xtask bench`: the benchmark harness, in release mode.

use anyhow::Result;
use clap::ValueEnum;

use crate::steps::Steps;
use crate::workspace::cargo;

/// What to measure, and with which options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    what: What,
    /// Passed on to the harness; `-- --help` shows them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// CPU time per request of the gateway, of Envoy and of nginx, before one backend
    Gateway,
    /// Orders created and moved a second, at the committer and over HTTP
    Orders,
    /// Both, with their usual options
    All,
}

pub(crate) fn run(steps: &mut Steps, args: &Args) -> Result<()> {
    let names: &[&str] = match args.what {
        What::Gateway => &["gateway"],
        What::Orders => &["orders"],
        What::All => &["gateway", "orders"],
    };
    steps.run("build", &mut cargo("build --release --package aqueduct-bench"))?;
    for name in names {
        let mut run = cargo(&format!("run --quiet --release --package aqueduct-bench -- {name}"));
        steps.run(&format!("bench {name}"), run.args(&args.options))?;
    }
    Ok(())
}
