//! `aqueduct serve`: the services alone, or the ID service, or one participant of transfers.

mod ids;

use std::time::Duration;

use aqueduct_shop::Options;

use crate::admin::{Admin, Facts, Serving};
use crate::cli::ServeArgs;
use crate::failure::Failure;
use crate::participant;
use crate::process::{self, Process, stop_in_order};
use crate::services::Services;

/// How long a drain waits for calls in flight.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs until a signal, or until the store fails.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    match args.accounts {
        _ if args.ids => process::run(|process| ids::serve(args, process)),
        None => process::run(|process| serve(args, process)),
        Some(side) => process::run(|process| participant::serve(args, side, process)),
    }
}

async fn serve(args: &ServeArgs, process: Process) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    let participants = [args.participant_a.clone(), args.participant_b.clone()];
    let options = Options { data_dir: args.data.clone(), participants, ..Options::default() };
    let mut services = Services::start(options, None, (args.listen, "--listen"), &process).await?;
    let admin = match Admin::bind(args.admin.or(None), None) {
        Ok(admin) => admin,
        Err(error) => {
            services.abandon().await;
            return Err(error.into());
        }
    };
    process.collect_runtimes(Vec::new);
    let facts = Facts {
        command: "serve",
        edge: None,
        services: Some(services.address()),
        data: Some(services.data().to_owned()),
        config: None,
    };
    // It answers for as long as this lives: to the end.
    let serving = admin.serve(&process, facts);
    let admin = serving.as_ref().map(Serving::address);
    process.health.set_started();
    let (address, data) = (services.address(), services.data().display());
    tracing::info!(services = %address, %data, admin = ?admin, "the services listen");

    tokio::select! {
        signal = signals.next() => tracing::info!(signal = process::name(signal), "asked to stop"),
        why = services.failed() => {
            process.health.set_draining();
            return Err(Failure::Runtime(why));
        }
    }
    process.health.set_draining();
    stop_in_order(&mut signals, services.stop(PATIENCE)).await?;
    tracing::info!("stopped");
    Ok(())
}
