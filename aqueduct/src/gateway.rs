//! `aqueduct gateway`: the edge alone.

use std::path::Path;
use std::sync::Arc;

use aqueduct_gateway::Gateway;
use aqueduct_runtime::signal::{Orders, Signals};
use tokio::sync::mpsc;

use crate::admin::{Admin, Facts, Serving};
use crate::cli::GatewayArgs;
use crate::config::{self, GatewayFile, Rejected};
use crate::edge::Edge;
use crate::failure::Failure;
use crate::notify::notify;
use crate::openapi;
use crate::process::{self, LAST_WORDS, Process, stop_in_order};
use crate::reload::{Active, Reloads, Restart, TakeUp};
use crate::upgrade::{self, Inherited};

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
    config::gateway_from(path, bytes, late, |file| {
        file.admin = args.admin.or(file.admin);
        args.access.apply(&mut file.access_log);
    })
}

async fn serve(
    args: &GatewayArgs,
    (file, bytes): (GatewayFile, Vec<u8>),
    process: Process,
) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    let mut orders = process::orders()?;
    let mut inherited = Inherited::take()?;
    let admin = Admin::bind(file.admin, inherited.admin.take())?;
    let running = (file.admin, file.access_log.clone());
    let sockets = std::mem::take(&mut inherited.edge);
    let edge = Edge::prepare(file.options, &file.access_log, &process, sockets)?;
    let active = Active::new(Some(&args.config), bytes, &process.registry);
    let reloads = Reloads::new(&active, &process.registry);
    process.health.set_started();
    inherited.joined(&process.health).await;
    edge.open();
    let facts = Facts {
        command: "gateway",
        edge: Some(edge.gateway()),
        services: None,
        data: None,
        config: Some(active),
    };
    let admin = admin.serve(&process, facts);
    let address = admin.as_ref().map(Serving::address);
    tracing::info!(edge = ?edge.addresses(), admin = ?address, "the gateway listens");
    inherited.ready();
    notify("READY=1");

    let take_up = take_up(args, edge.gateway(), running);
    let running = Running { edge, admin, reloads };
    let end = running.until_end((&mut signals, &mut orders), take_up).await;
    running.stop(end, &process, &mut signals).await
}

/// What runs.
#[derive(Debug)]
struct Running {
    edge: Edge,
    admin: Option<Serving>,
    reloads: Reloads,
}

/// Why it ends.
#[derive(Debug)]
enum End {
    Asked,
    /// Another process has taken over.
    Upgraded,
    Failed(anyhow::Error),
}

impl Running {
    async fn until_end(&self, (signals, orders): (&mut Signals, &mut Orders), take_up: impl TakeUp) -> End {
        let (upgrade, mut upgrades) = mpsc::channel(1);
        loop {
            tokio::select! {
                signal = signals.next() => {
                    tracing::info!(signal = process::name(signal), "asked to stop");
                    return End::Asked;
                }
                why = self.edge.failed() => return End::Failed(why),
                () = self.reloads.follow(orders, &upgrade, take_up.clone()) => {}
                Some(()) = upgrades.recv() => {}
            }
            // Nothing is reloaded meanwhile: what is handed over is what there is.
            tokio::select! {
                signal = signals.next() => {
                    tracing::info!(signal = process::name(signal), "asked to stop");
                    return End::Asked;
                }
                upgraded = self.upgrade() => match upgraded {
                    Ok(pid) => {
                        tracing::info!(pid, "another process has taken over");
                        notify(&format!("MAINPID={pid}"));
                        return End::Upgraded;
                    }
                    Err(error) => tracing::error!(%error, "not upgraded; this process goes on"),
                }
            }
        }
    }

    async fn upgrade(&self) -> std::io::Result<u32> {
        tracing::info!("asked to upgrade");
        let admin = self.admin.as_ref().map(Serving::socket).transpose()?;
        upgrade::hand_over(self.edge.gateway().sockets()?, admin).await
    }

    async fn stop(self, end: End, process: &Process, signals: &mut Signals) -> Result<(), Failure> {
        match end {
            End::Asked => process.health.set_draining(),
            // Probes on old connections must not hear that nobody is there: the new process is.
            End::Upgraded => drop(self.admin.map(Serving::hand_over)),
            End::Failed(why) => {
                process.health.set_draining();
                // Whether the others finish or not, the process has failed.
                drop(tokio::time::timeout(LAST_WORDS, self.edge.drain()).await);
                return Err(Failure::Runtime(why));
            }
        }
        stop_in_order(signals, self.edge.drain()).await;
        tracing::info!("stopped");
        Ok(())
    }
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
