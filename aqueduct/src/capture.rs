//! The capture of changes within `aqueduct up`: what `aqueduct cdc` does, in this process.
//!
//! It does not end the process. An error that somebody must repair is told, and it goes on from its checkpoint when that is
//! done; meanwhile what is cached is answered as stale. Only another capture of the same source ends it, since one may publish.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use aqueduct_bus::jetstream;
use aqueduct_cdc::feed::FeedError;
use aqueduct_runtime::task;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::cdc::{self, Checks, Source};
use crate::config::DataFile;
use crate::process::Process;

/// The pause before a capture goes on after an error.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the end of the captures is waited for. What is not acknowledged by then is read again at the next start.
const LAST: Duration = Duration::from_secs(6);

/// The captures of all sources.
#[derive(Debug)]
pub(crate) struct Capture {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Capture {
    /// Connects, which tells what is wrong with the servers or the checkpoints, and begins. The checkpoints are in `data_dir`.
    pub(crate) async fn start(data_dir: &Path, data: &DataFile, process: &Process) -> Result<Self> {
        let sources = cdc::prepare(data, &data_dir.join("cdc"), (process, Checks::Elsewhere)).await?;
        let (stop, stopping) = watch::channel(false);
        let run = |source| task::spawn("capture", run(source, stopping.clone()));
        Ok(Self { tasks: sources.into_iter().map(run).collect(), stop })
    }

    /// Ends it, after what is under way.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        let ended = async {
            for task in self.tasks {
                // Its panic has been logged by the runtime.
                drop(task.await);
            }
        };
        drop(timeout(LAST, ended).await);
    }
}

async fn run(mut source: Source, mut stop: watch::Receiver<bool>) {
    while let Err(error) = Box::pin(source.run(stop.clone())).await {
        let (name, why) = (source.name(), format!("{error:#}"));
        if superseded(&error) {
            tracing::error!(
                source = name,
                why,
                "the capture of changes ends here: say `cdc: {{ here: false }}` where another runs"
            );
            return;
        }
        tracing::error!(source = name, why, "the capture of changes broke off; trying again");
        tokio::select! {
            () = sleep(PAUSE) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

fn superseded(error: &anyhow::Error) -> bool {
    let Some(FeedError::Bus(error)) = error.downcast_ref() else { return false };
    matches!(error.downcast_ref(), Some(jetstream::Error::Superseded { .. }))
}
