//! `aqueduct gateway`: the edge alone.

use crate::admin::{Admin, Facts};
use crate::cli::GatewayArgs;
use crate::config::{self, GatewayFile};
use crate::edge::Edge;
use crate::failure::Failure;
use crate::openapi;
use crate::process::{self, LAST_WORDS, Process, stop_in_order};

/// Runs until a signal, or until a worker fails; with `--openapi` only writes what would be routed.
pub(crate) fn run(args: &GatewayArgs) -> Result<(), Failure> {
    let mut file = config::read_gateway(&args.config)?;
    if let Some(target) = &args.openapi {
        return openapi::write(&file.options, target).map_err(Failure::Runtime);
    }
    file.admin = args.admin.or(file.admin);
    args.access.apply(&mut file.access_log);
    process::run(|process| serve(file, process))
}

async fn serve(file: GatewayFile, process: Process) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    let admin = Admin::bind(file.admin)?;
    let edge = Edge::start(file.options, &file.access_log, &process)?;
    let facts = Facts { command: "gateway", edge: edge.addresses().to_vec(), services: None, data: None };
    let admin = admin.serve(&process, facts);
    process.health.set_started();
    tracing::info!(edge = ?edge.addresses(), admin = ?admin, "the gateway listens");

    tokio::select! {
        signal = signals.next() => tracing::info!(signal = process::name(signal), "asked to stop"),
        why = edge.failed() => {
            process.health.set_draining();
            // Whether the others finish or not, the process has failed.
            drop(tokio::time::timeout(LAST_WORDS, edge.drain()).await);
            return Err(Failure::Runtime(why));
        }
    }
    process.health.set_draining();
    stop_in_order(&mut signals, edge.drain()).await;
    tracing::info!("stopped");
    Ok(())
}
