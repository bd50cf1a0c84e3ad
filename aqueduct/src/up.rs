//! `aqueduct up`: the whole system in one process. The edge and the services meet over loopback gRPC, as they do in
//! production.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_gateway::{Gateway, Listen};
use aqueduct_runtime::signal::Signals;
use tokio::sync::mpsc;

use crate::admin::{Admin, Facts, Serving};
use crate::banner::Banner;
use crate::cli::UpArgs;
use crate::config::{self, LeaseFile, Rejected, SystemFile};
use crate::edge::Edge;
use crate::failure::Failure;
use crate::process::{self, LAST_WORDS, Process, stop_in_order};
use crate::reload::{Active, Reloads, TakeUp};
use crate::services::Services;

/// Runs until a signal, or until something fails that cannot be repaired here.
pub(crate) fn run(args: &UpArgs) -> Result<(), Failure> {
    let bytes = args.config.as_deref().map(config::bytes).transpose()?.unwrap_or_default();
    let system = if let Some(path) = &args.config {
        read(args, path, bytes.clone(), &[])?
    } else {
        let mut system = SystemFile::default();
        apply(args, &mut system);
        if let Some(problem) = system.overlaps().first() {
            return Err(Failure::usage(anyhow::anyhow!("{}", problem.message)));
        }
        system
    };
    if system.data.is_none() && system.ids.lease != LeaseFile::Folder {
        return Err(Failure::usage(anyhow::anyhow!(
            "the embedded store has its lease of the ids in the data folder: leave out `data.ids`, or name real servers"
        )));
    }
    process::run(|process| serve(args, (system, bytes), process))
}

/// The file as the flags change it.
fn read(
    args: &UpArgs,
    path: &Path,
    bytes: Vec<u8>,
    late: &[aqueduct_gateway::Problem],
) -> Result<SystemFile, Rejected> {
    config::system_from(path, bytes, late, |system| apply(args, system))
}

/// The flags go before the file.
fn apply(args: &UpArgs, system: &mut SystemFile) {
    if let Some(data) = &args.data {
        system.shop.data_dir.clone_from(data);
    }
    if let Some(address) = args.listen {
        system.edge_mut().listen = vec![Listen::plain(address)];
    }
    if let Some(workers) = args.workers {
        system.edge_mut().workers = workers.into();
    }
    system.services = args.services.unwrap_or(system.services);
    system.admin = args.admin.or(system.admin);
    args.access.apply(&mut system.access_log);
}

async fn serve(
    args: &UpArgs,
    (system, bytes): (SystemFile, Vec<u8>),
    process: Process,
) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    let mut orders = process::orders()?;
    // The data folder first: for a second `up` that is the thing to hear, not that a port is used.
    let servers = system.data.as_ref().map(|data| (data, &system.ids));
    let services =
        Services::start(system.shop.clone(), servers, (system.services, "--services"), &process).await?;
    let started = Admin::bind(system.admin, None).and_then(|admin| {
        let options = system.gateway(services.address());
        let edge = Edge::prepare(options, &system.access_log, &process, Vec::new())?;
        edge.open();
        Ok((admin, edge))
    });
    let (admin, edge) = match started {
        Ok(started) => started,
        Err(error) => {
            services.abandon().await;
            return Err(error.into());
        }
    };
    let active = Active::new(args.config.as_deref(), bytes, &process.registry);
    let reloads = Reloads::new(&active, &process.registry);
    let facts = Facts {
        command: "up",
        edge: Some(edge.gateway()),
        services: Some(services.address()),
        data: Some(services.data().to_owned()),
        config: Some(active),
    };
    // It answers for as long as this lives: to the end.
    let serving = admin.serve(&process, facts);
    let admin = serving.as_ref().map(Serving::address);
    process.health.set_started();
    Banner { edge: &edge.addresses(), services: services.address(), admin, data: services.data() }.print();
    let patience = system.edge().timeouts.drain;
    let take_up = take_up(args, edge.gateway(), (system, services.address()));
    let (upgrade, mut upgrades) = mpsc::channel(1);
    let reloading = async {
        tokio::select! {
            () = reloads.follow(&mut orders, &upgrade, take_up) => {}
            () = async {
                while upgrades.recv().await.is_some() {
                    tracing::warn!("asked to upgrade: only `aqueduct gateway` can, since the store has one owner");
                }
            } => {}
        }
    };
    Box::pin(System { edge, services, patience }.run_until_asked(&process, &mut signals, reloading)).await
}

/// How a new file is taken up by the edge; what concerns the rest takes a restart.
fn take_up(
    args: &UpArgs,
    gateway: Arc<Gateway>,
    (running, services): (SystemFile, SocketAddr),
) -> impl TakeUp + use<> {
    let (args, running) = (args.clone(), Arc::new(running));
    move |path: &Path, bytes: Vec<u8>| {
        let system = read(&args, path, bytes.clone(), &[])?;
        let restart = running.restart(&system);
        match gateway.reload(system.gateway(services)) {
            Ok(()) => Ok(restart),
            // At the places where they are written.
            Err(late) => Err(match read(&args, path, bytes, &late) {
                Err(rejected) => rejected,
                Ok(_) => Rejected::Unreadable("the file has changed while it was read".into()),
            }),
        }
    }
}

/// What runs.
#[derive(Debug)]
struct System {
    edge: Edge,
    services: Services,
    /// How long each drain waits.
    patience: Duration,
}

impl System {
    async fn run_until_asked(
        mut self,
        process: &Process,
        signals: &mut Signals,
        reloading: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let failed = tokio::select! {
            () = reloading => None,
            signal = signals.next() => {
                tracing::info!(signal = process::name(signal), "asked to stop");
                None
            }
            why = self.edge.failed() => Some(why),
            why = self.services.failed() => Some(why),
        };
        process.health.set_draining();
        if let Some(why) = failed {
            // Those who wait are told, and what still works is closed; the process ends all the same.
            let last_words = async {
                self.edge.drain().await;
                self.services.stop(LAST_WORDS).await
            };
            drop(tokio::time::timeout(LAST_WORDS, last_words).await);
            return Err(Failure::Runtime(why));
        }
        stop_in_order(signals, self.stop()).await?;
        tracing::info!("stopped");
        Ok(())
    }

    /// The edge first: while it drains, what it has let in still needs the services.
    async fn stop(self) -> anyhow::Result<()> {
        let mut drained = pin!(self.edge.drain());
        // A watch of an order that nobody changes goes on for ever. It is ended by its server, so that the client is
        // told, but late: from then on calls that have only just been read find no service.
        if tokio::time::timeout(self.patience / 6, &mut drained).await.is_err() {
            tracing::info!("ending the streams that are still open");
            self.services.end_streams();
            drained.await;
        }
        self.services.stop(self.patience).await
    }
}
