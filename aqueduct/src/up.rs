//! `aqueduct up`: the whole system in one process. The edge and the services meet over loopback gRPC, as they do in
//! production.

use std::pin::pin;
use std::time::Duration;

use aqueduct_gateway::Listen;
use aqueduct_runtime::signal::Signals;

use crate::admin::{Admin, Facts};
use crate::banner::Banner;
use crate::cli::UpArgs;
use crate::config::{self, SystemFile};
use crate::edge::Edge;
use crate::failure::Failure;
use crate::process::{self, LAST_WORDS, Process, stop_in_order};
use crate::services::Services;

/// Runs until a signal, or until something fails that cannot be repaired here.
pub(crate) fn run(args: &UpArgs) -> Result<(), Failure> {
    let mut system = args.config.as_deref().map(config::read_system).transpose()?.unwrap_or_default();
    apply(args, &mut system);
    process::run(|process| serve(system, process))
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

async fn serve(system: SystemFile, process: Process) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    // The data folder first: for a second `up` that is the thing to hear, not that a port is used.
    let services = Services::start(system.shop.clone(), system.services, "--services", &process).await?;
    let started = Admin::bind(system.admin).and_then(|admin| {
        let options = system.gateway(services.address());
        Ok((admin, Edge::start(options, &system.access_log, &process)?))
    });
    let (admin, edge) = match started {
        Ok(started) => started,
        Err(error) => {
            services.abandon().await;
            return Err(error.into());
        }
    };
    let facts = Facts {
        command: "up",
        edge: edge.addresses().to_vec(),
        services: Some(services.address()),
        data: Some(services.data().to_owned()),
    };
    let admin = admin.serve(&process, facts);
    process.health.set_started();
    Banner { edge: edge.addresses(), services: services.address(), admin, data: services.data() }.print();
    let patience = system.edge().timeouts.drain;
    System { edge, services, patience }.run_until_asked(&process, &mut signals).await
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
    async fn run_until_asked(mut self, process: &Process, signals: &mut Signals) -> Result<(), Failure> {
        let failed = tokio::select! {
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
