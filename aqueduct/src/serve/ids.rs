//! `aqueduct serve --ids`: the ID service alone, under a lease of its own.

use std::fs;

use anyhow::{Context as _, Result, anyhow};
use aqueduct_ids::{Lease, LeaseError, LeaseOptions};
use aqueduct_ids_service::{Held, Server};
use aqueduct_runtime::{drain, task};
use aqueduct_shards::Shards;

use super::PATIENCE;
use crate::admin::{Admin, Facts, Serving};
use crate::bind::bind;
use crate::cli::ServeArgs;
use crate::config::{self, LeaseFile};
use crate::failure::Failure;
use crate::process::{self, Process, stop_in_order};
use crate::{cluster, lease};

/// Serves until a signal, or until the lease cannot be renewed any more.
pub(super) async fn serve(args: &ServeArgs, process: Process) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    let listener = bind(args.listen, "--listen")?;
    let address = listener.local_addr().context("listen")?;
    let admin = Admin::bind(args.admin.or(None), None)?;
    // Last, since nothing may fail any more that would keep it from being given back.
    let server = Server::start(lease(args).await?, &process.health);
    let (handle, drain) = drain::channel();
    let mut serving = task::spawn("ids", server.serve(listener, drain));
    process.collect_runtimes(Vec::new);
    let facts = Facts {
        command: "serve",
        edge: None,
        services: Some(address),
        data: std::path::absolute(&args.data).ok(),
        config: None,
    };
    // It answers for as long as this lives: to the end.
    let admin = admin.serve(&process, facts);
    process.health.set_started();
    let admin = admin.as_ref().map(Serving::address);
    tracing::info!(ids = %address, admin = ?admin, "the ids are served");

    tokio::select! {
        signal = signals.next() => tracing::info!(signal = process::name(signal), "asked to stop"),
        why = server.failed() => {
            process.health.set_draining();
            return Err(Failure::Runtime(anyhow!("{why}; start again to take another lease")));
        }
        served = &mut serving => {
            process.health.set_draining();
            let error = match served {
                Ok(Ok(())) => anyhow!("the gRPC server has ended"),
                Ok(Err(error)) => error.into(),
                Err(error) => anyhow!(error).context("the gRPC server has ended"),
            };
            return Err(Failure::Runtime(error));
        }
    }
    process.health.set_draining();
    let stop = async {
        if handle.drain(PATIENCE).await.left > 0 {
            tracing::warn!("calls were cut: they did not finish in time");
            serving.abort();
        }
        server.close().await;
    };
    stop_in_order(&mut signals, stop).await;
    tracing::info!("stopped");
    Ok(())
}

/// As the file says; without one, on the worker number that the folder was given.
async fn lease(args: &ServeArgs) -> Result<Held, Failure> {
    if let Some(path) = &args.config {
        let file = config::system_from(path, config::bytes(path)?, &[], |system| {
            system.ids.worker = args.worker.or(system.ids.worker);
        })?;
        let shared = match &file.data {
            Some(data) if file.ids.lease == LeaseFile::Mysql => {
                let connected = Shards::connect(cluster::databases(&data.mysql)).await;
                let (shards, _) = connected.context("connect to the databases")?;
                lease::shared(&file.ids, Some((&data.mysql, &shards))).await?
            }
            _ => lease::shared(&file.ids, None).await?,
        };
        return match shared {
            Some(held) => Ok(held),
            None => Ok(in_folder(args, file.shop.worker)?),
        };
    }
    Ok(in_folder(args, 0)?)
}

fn in_folder(args: &ServeArgs, worker: u16) -> Result<Held> {
    let folder = args.data.join("ids");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let options = LeaseOptions { worker: args.worker.unwrap_or(worker), ..LeaseOptions::default() };
    let lease = Lease::open(&folder, options).map_err(|error| match error {
        LeaseError::Held { .. } => anyhow!("{error}; stop that one, or choose another folder with --data"),
        error => error.into(),
    });
    Ok(Held::Folder(lease?))
}
