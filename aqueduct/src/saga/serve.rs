//! `aqueduct saga serve`: the coordinator.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aqueduct_runtime::task;
use aqueduct_saga::{Coordinator, Filter, Options, Store};
use aqueduct_saga_server::{CONNECTIONS, Caller, Server};
use aqueduct_telemetry::health::{Check, OnFailure};

use super::cli::ServeArgs;
use super::files;
use super::running::Running;
use super::store::{self, Opened, Place};
use crate::admin::{Admin, Facts, Serving};
use crate::bind::bind;
use crate::config::{self, SagaFile};
use crate::failure::Failure;
use crate::notify::notify;
use crate::process::{self, Process, stop_in_order};

/// Where the coordinator listens, unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8090);
const DATA: &str = "aqueduct-sagas";
/// How long a drain waits for clients; calls to participants end within their own time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often recovery is looked at until it is done, and the store from then on.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Runs until a signal, or until the store fails.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let (file, place) = place(args)?;
    let options = options(args, &file);
    let connections = args.connections.or(file.connections).unwrap_or(CONNECTIONS);
    options.validate().map_err(Failure::usage)?;
    let listen = args.listen.or(file.address).unwrap_or(LISTEN);
    process::run(|process| async move {
        match place {
            Place::Folder(folder) => {
                let opening = async { store::folder(&folder).await };
                Box::pin(serve(
                    (args, listen, connections),
                    options,
                    process,
                    (Some(folder.clone()), opening),
                ))
                .await
            }
            Place::Database(database) => {
                let opening = async { store::database(&database).await };
                Box::pin(serve((args, listen, connections), options, process, (None, opening))).await
            }
        }
    })
}

/// The file, if there is one, and where the sagas are.
fn place(args: &ServeArgs) -> Result<(SagaFile, Place), Failure> {
    let Some(path) = &args.config else {
        let folder = args.data.clone().unwrap_or_else(|| DATA.into());
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        return Ok((SagaFile::default(), Place::Folder(folder)));
    };
    let file = config::system_from(path, config::bytes(path)?, &[], |_| {})?.saga;
    let Some(mysql) = file.mysql.clone() else {
        let path = path.display();
        return Err(Failure::usage(anyhow!(
            "{path} names no database: in its section `saga`, `mysql` is wanted; without --config the sagas are in a folder"
        )));
    };
    Ok((file, Place::Database(Box::new(mysql))))
}

fn options(args: &ServeArgs, file: &SagaFile) -> Options {
    let default = Options::default();
    Options {
        attempt_timeout: args.attempt_timeout.or(file.attempt_timeout).unwrap_or(default.attempt_timeout),
        most_attempts: args.most_attempts.or(file.most_attempts).unwrap_or(default.most_attempts),
        lease: file.lease.unwrap_or(default.lease),
        retention: args.retention.or(file.retention).unwrap_or(default.retention),
        in_flight: files::room(),
        ..default
    }
}

async fn serve<S: Store>(
    (args, listen, connections): (&ServeArgs, SocketAddr, usize),
    options: Options,
    process: Process,
    (data, opening): (Option<PathBuf>, impl Future<Output = Result<Opened<S>>>),
) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    let admin = Admin::bind(args.admin.or(None), None)?;
    let check = process.health.check("store", OnFailure::Unavailable);
    // Before the store is open, so that whoever asks is told to wait.
    let server = Server::start(bind(listen, "--listen")?, process.health.clone()).context("listen")?;
    let address = server.address();
    process.collect_runtimes(Vec::new);
    let facts = Facts { command: "saga serve", edge: None, services: Some(address), data, config: None };
    // It answers for as long as this lives: to the end.
    let serving = admin.serve(&process, facts);
    let Opened { store, shown, failed } = opening.await?;
    let coordinator = Coordinator::open(store, options).map_err(Failure::usage)?;
    aqueduct_saga_server::collect(&process.registry, coordinator.clone());
    server.open(coordinator.clone());
    let caller = Caller::new(&process.registry).with_connections(connections);
    let mut running = Running::start(&coordinator, &caller);
    process.health.set_started();
    task::spawn("saga-store-check", watch(coordinator, check));
    let admin = serving.as_ref().map(Serving::address);
    tracing::info!(listen = %address, store = %shown, admin = ?admin, "the saga coordinator listens");
    notify("READY=1");

    tokio::select! {
        signal = signals.next() => tracing::info!(signal = process::name(signal), "asked to stop"),
        why = running.failed() => {
            process.health.set_draining();
            return Err(Failure::Runtime(why));
        }
        why = failed => {
            process.health.set_draining();
            return Err(Failure::Runtime(why));
        }
    }
    process.health.set_draining();
    tracing::info!("draining");
    stop_in_order(&mut signals, async {
        // Clients may still ask while the last calls are answered.
        let (left, ended) = tokio::join!(server.drain(PATIENCE), running.stop());
        if left > 0 {
            tracing::warn!(left, "connections were cut: they did not finish in time");
        }
        ended
    })
    .await?;
    tracing::info!("stopped");
    Ok(())
}

/// Tells when what an earlier process left has been looked at, and from then on whether the store answers.
async fn watch<S: Store>(coordinator: Coordinator<S>, check: Check) {
    while !coordinator.ready() {
        tokio::time::sleep(LOOK_EVERY.0).await;
    }
    loop {
        match coordinator.list(Filter { limit: 1, ..Filter::default() }).await {
            Ok(_) => check.ok(""),
            Err(error) => check.failed(error.to_string()),
        }
        tokio::time::sleep(LOOK_EVERY.1).await;
    }
}
