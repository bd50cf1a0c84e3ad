//! The binary: reads the command line and the configuration, wires the layers together, and turns every failure into
//! one line and an exit code (2: the command line or a configuration is wrong, 1: everything else).

mod access;
mod admin;
mod banner;
mod bind;
mod capture;
mod cdc;
mod check;
mod cli;
mod cluster;
mod config;
mod edge;
mod failure;
mod gateway;
mod id;
mod lease;
mod notify;
mod openapi;
mod participant;
mod process;
mod reload;
mod saga;
mod serve;
mod services;
mod trust;
mod up;
mod upgrade;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

use crate::cli::{Cli, Command};
use crate::failure::Failure;

/// Messages are many short-lived buffers; see DESIGN, section 4.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Check(args) => return check::run(args),
        Command::Id(args) => return id::run(args),
        Command::Up(_) | Command::Gateway(_) | Command::Serve(_) | Command::Cdc(_) | Command::Saga(_) => {}
    }
    aqueduct_telemetry::log::init(&cli.log.options()?).map_err(Failure::usage)?;
    match &cli.command {
        Command::Up(args) => up::run(args),
        Command::Gateway(args) => gateway::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Cdc(args) => cdc::run(args),
        Command::Saga(args) => saga::run(args),
        Command::Check(args) => check::run(args),
        Command::Id(args) => id::run(args),
    }
}
