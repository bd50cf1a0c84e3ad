//! The benchmark harness behind `cargo xtask bench`. It measures from outside: processes and their CPU time, over
//! real sockets; and single calls of one crate, beside others. `bench/README.md` tells how the figures are taken.
#![expect(clippy::cast_precision_loss, reason = "the figures are read by people, to three digits")]

mod cache;
mod cdc;
mod clients;
mod gateway;
mod ids;
mod levels;
mod machine;
mod median;
mod netstack;
mod orders;
mod pools;
mod progress;
mod sagas;
mod table;
mod threads;
mod tools;
mod transcode;
mod words;

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Takes Aqueduct's figures", version)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What a request, a wait and a connection cost the gateway, beside Envoy, nginx and HAProxy, before one backend
    Gateway(gateway::Args),
    /// How long a read of an order takes from each level of the cache
    Levels(levels::Args),
    /// What a message costs on our loop, on bare epoll and on io_uring
    Netstack(netstack::Args),
    /// A hit beside moka and quick_cache, hit rates, many keys through Redis, a miss storm
    Cache(cache::Args),
    /// From a commit to the first level of every instance, and how fast a backlog is caught up with
    Cdc(cdc::Args),
    /// An ID beside UUIDs, a segment of a database, rs-snowflake and ferroid
    Ids(ids::Args),
    /// Orders created and moved a second
    Orders(orders::Args),
    /// A buffer of three allocators, of a pool a thread has, and of one that all share
    Pools(pools::Args),
    /// Transfers a second, and a restart with many in flight
    Sagas(sagas::Args),
    /// What one message costs to transcode, beside others that do the same
    Transcode(transcode::Args),
    /// Moving an order in memory: a swap of its word beside a mutex
    Words(words::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.what {
        What::Cdc(args) => cdc::run(args),
        What::Gateway(args) => gateway::run(args),
        What::Levels(args) => levels::run(args),
        What::Netstack(args) => netstack::run(args),
        What::Cache(args) => cache::run(args),
        What::Ids(args) => ids::run(args),
        What::Orders(args) => orders::run(args),
        What::Pools(args) => pools::run(args),
        What::Sagas(args) => sagas::run(args),
        What::Transcode(args) => transcode::run(args),
        What::Words(args) => words::run(args),
    };
    if let Err(error) = outcome {
        let bad: Style = AnsiColor::Red.on_default().bold();
        anstream::eprintln!("{bad}error{bad:#}: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
