//! `aqueduct gateway`: the edge alone.

use std::path::Path;
use std::sync::Arc;

use aqueduct_gateway::Gateway;
use tokio::sync::mpsc;

use crate::admin::{Admin, Facts};
use crate::cli::GatewayArgs;
use crate::config::{self, GatewayFile, Rejected};
use crate::edge::Edge;
use crate::failure::Failure;
use crate::openapi;
use crate::process::{self, LAST_WORDS, Process, stop_in_order};
use crate::reload::{Active, Reloads, Restart, TakeUp};

/// Runs until a signal, or until a worker fails; with `--openapi` only writes what would be routed.
pub(crate) fn run(args: &GatewayArgs) -> Result<(), Failure> {
    let bytes = config::bytes(&args.config)?;
    let file = read(args, &args.config, bytes.clone(), &[])?;
    if let Some(target) = &args.openapi {
        return openapi::write(&file.options, target).map_err(Failure::Runtime);
    }
    process::run(|process| serve(args, (file, bytes), process))
}

/// The file as the flags change it.
fn read(
    args: &GatewayArgs,
    path: &Path,
    bytes: Vec<u8>,
    late: &[aqueduct_gateway::Problem],
) -> Result<GatewayFile, Rejected> {
    let mut file = config::gateway_from(path, bytes, late)?;
    file.admin = args.admin.or(file.admin);
    args.access.apply(&mut file.access_log);
    Ok(file)
}

async fn serve(
    args: &GatewayArgs,
    (file, bytes): (GatewayFile, Vec<u8>),
    process: Process,
) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    let mut orders = process::orders()?;
    let admin = Admin::bind(file.admin)?;
    let running = (file.admin, file.access_log.clone());
    let edge = Edge::start(file.options, &file.access_log, &process)?;
    let active = Active::new(Some(&args.config), bytes, &process.registry);
    let reloads = Reloads::new(&active, &process.registry);
    let facts = Facts {
        command: "gateway",
        edge: Some(edge.gateway()),
        services: None,
        data: None,
        config: Some(active),
    };
    let admin = admin.serve(&process, facts);
    process.health.set_started();
    tracing::info!(edge = ?edge.addresses(), admin = ?admin, "the gateway listens");

    let (upgrade, _upgrades) = mpsc::channel(1);
    let take_up = take_up(args, edge.gateway(), running);
    tokio::select! {
        signal = signals.next() => tracing::info!(signal = process::name(signal), "asked to stop"),
        why = edge.failed() => {
            process.health.set_draining();
            // Whether the others finish or not, the process has failed.
            drop(tokio::time::timeout(LAST_WORDS, edge.drain()).await);
            return Err(Failure::Runtime(why));
        }
        () = reloads.follow(&mut orders, &upgrade, take_up) => {}
    }
    process.health.set_draining();
    stop_in_order(&mut signals, edge.drain()).await;
    tracing::info!("stopped");
    Ok(())
}

/// How a new file is taken up by a gateway that runs with this admin address and access log.
fn take_up(
    args: &GatewayArgs,
    gateway: Arc<Gateway>,
    running: (Option<std::net::SocketAddr>, config::AccessLogFile),
) -> impl TakeUp + use<> {
    let args = args.clone();
    move |path: &Path, bytes: Vec<u8>| {
        let file = read(&args, path, bytes.clone(), &[])?;
        let restart = restart(&running, &(file.admin, file.access_log));
        match gateway.reload(file.options) {
            Ok(()) => Ok(restart),
            // At the places where they are written.
            Err(late) => Err(match read(&args, path, bytes, &late) {
                Err(rejected) => rejected,
                Ok(_) => Rejected::Unreadable("the file has changed while it was read".into()),
            }),
        }
    }
}

/// What is another one in the new file, and cannot be changed while the process runs.
pub(crate) fn restart(
    running: &(Option<std::net::SocketAddr>, config::AccessLogFile),
    wanted: &(Option<std::net::SocketAddr>, config::AccessLogFile),
) -> Restart {
    let changed = [("admin", running.0 != wanted.0), ("access_log", running.1 != wanted.1)];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}
