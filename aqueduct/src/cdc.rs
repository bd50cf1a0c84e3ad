//! `aqueduct cdc`: tells the changes of the databases to the bus and to the second level of the cache.

mod shown;
mod source;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_cache::l2;
use aqueduct_runtime::task;
use tokio::sync::{mpsc, watch};

use crate::admin::{Admin, Facts, Serving};
use crate::cli::CdcArgs;
use crate::cluster::level2_options;
use crate::config::{self, DataFile};
use crate::failure::Failure;
use crate::notify::notify;
use crate::process::{self, Process, stop_in_order};
pub(crate) use shown::Checks;
pub(crate) use source::Source;

/// How long an end waits for what is under way to be acknowledged. What is not by then is told again at the next start.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs until a signal, or until a source cannot be followed.
pub(crate) fn run(args: &CdcArgs) -> Result<(), Failure> {
    let bytes = config::bytes(&args.config)?;
    let file = config::system_from(&args.config, bytes, &[], |_| {})?;
    let Some(data) = file.data else {
        let file = args.config.display();
        return Err(Failure::usage(anyhow::anyhow!(
            "{file} names no servers: in its section `data`, `mysql` and `bus` are wanted, and `redis` if there is one"
        )));
    };
    let folder = file.shop.data_dir.join("cdc");
    process::run(|process| capture(args, (data, folder), process))
}

async fn capture(
    args: &CdcArgs,
    (data, folder): (DataFile, PathBuf),
    process: Process,
) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    let admin = Admin::bind(args.admin.or(None), None)?;
    let sources = Box::pin(prepare(&data, &folder, (&process, Checks::Here))).await?;
    process.collect_runtimes(Vec::new);
    let facts = Facts { command: "cdc", edge: None, services: None, data: Some(folder), config: None };
    // It answers for as long as this lives: to the end.
    let serving = admin.serve(&process, facts);
    let (stop, stopping) = watch::channel(false);
    let (ended, mut ends) = mpsc::unbounded_channel();
    let count = sources.len();
    for mut source in sources {
        let (ended, stopping) = (ended.clone(), stopping.clone());
        task::spawn("cdc-source", async move {
            let name = source.name().to_owned();
            let went = source.run(stopping).await.with_context(|| format!("follow {name}"));
            // Whoever waits for it may be gone.
            _ = ended.send(went);
        });
    }
    process.health.set_started();
    let admin = serving.as_ref().map(Serving::address);
    tracing::info!(sources = count, admin = ?admin, "changes are captured");
    notify("READY=1");

    tokio::select! {
        signal = signals.next() => tracing::info!(signal = process::name(signal), "asked to stop"),
        Some(went) = ends.recv() => {
            process.health.set_draining();
            went?;
        }
    }
    process.health.set_draining();
    // Received by every source that still runs.
    _ = stop.send(true);
    stop_in_order(&mut signals, async {
        for _ in 0..count {
            match ends.recv().await {
                Some(went) => went?,
                None => break,
            }
        }
        anyhow::Ok(())
    })
    .await?;
    tracing::info!("stopped");
    Ok(())
}

/// Connects to everything, and so tells what is wrong with it before anything is said to be running.
pub(crate) async fn prepare(
    data: &DataFile,
    folder: &Path,
    process: (&Process, Checks),
) -> Result<Vec<Source>> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let level2 = match &data.redis {
        Some(redis) => Some(Box::pin(l2::Store::connect(&redis.urls(), level2_options(redis))).await?),
        None => None,
    };
    let mut sources = Vec::new();
    for file in data.sources() {
        sources.push(Box::pin(Source::prepare(file, (data, folder), level2.clone(), process)).await?);
    }
    Ok(sources)
}
