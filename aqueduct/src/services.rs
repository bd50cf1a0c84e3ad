//! The shop as a part of a process: opened on its data folder or joined to real servers, served over gRPC, and closed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aqueduct_runtime::{drain, task};
use aqueduct_shop::{Failed, OpenError, Options, ServeError, Shop};
use tokio::task::JoinHandle;

use crate::bind::bind;
use crate::capture::Capture;
use crate::cluster;
use crate::config::{DataFile, IdsFile};
use crate::process::Process;

/// The running services.
#[derive(Debug)]
pub(crate) struct Services {
    shop: Shop,
    address: SocketAddr,
    data: PathBuf,
    drain: drain::DrainHandle,
    serving: JoinHandle<Result<(), ServeError>>,
    /// The capture of changes in this process, if it is here.
    capture: Option<Capture>,
}

impl Services {
    /// Opens the data folder, or joins the real servers if there are any, and serves the shop at `address`, which `flag` chooses.
    pub(crate) async fn start(
        options: Options,
        servers: Option<(&DataFile, &IdsFile)>,
        (address, flag): (SocketAddr, &str),
        process: &Process,
    ) -> Result<Self> {
        let folder = options.data_dir.clone();
        let (shop, capture) = match servers {
            // Blocks for as long as the journal takes to be read; nothing else runs yet.
            None => (
                Shop::open(&options, &process.registry, &process.health).map_err(|error| advise(&error))?,
                None,
            ),
            Some(servers) => Box::pin(cluster::start(&options, servers, process)).await?,
        };
        let data = std::path::absolute(&folder).unwrap_or(folder);
        let listener = match bind(address, flag).and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok(listener) => listener,
            Err(error) => {
                // The first error is the one to tell.
                drop(shop.close().await);
                return Err(error);
            }
        };
        let (address, listener) = listener;
        let (handle, drain) = drain::channel();
        let serving = task::spawn("services", shop.serve(listener, drain));
        Ok(Self { shop, address, data, drain: handle, serving, capture })
    }

    /// Where they listen.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the store is; absolute.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Resolves with the reason when they cannot go on.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            why = self.shop.failed() => {
                let data = self.data.display();
                match why {
                    Failed::Store(_) => anyhow!("{why}; nothing more is acknowledged: make sure that {data} can be written, then start again"),
                    Failed::Ids(_) => anyhow!("{why}; start again to take another lease"),
                }
            }
            served = &mut self.serving => match served {
                Ok(Ok(())) => anyhow!("the gRPC server has ended"),
                Ok(Err(error)) => error.into(),
                Err(error) => anyhow!(error).context("the gRPC server has ended"),
            },
        }
    }

    /// Stops accepting calls and ends the streams; calls in flight go on.
    pub(crate) fn end_streams(&self) {
        self.drain.start();
    }

    /// Ends the streams, lets calls in flight finish, at most for `patience`, and closes the store.
    pub(crate) async fn stop(self, patience: Duration) -> Result<()> {
        tracing::info!("draining the services");
        if self.drain.drain(patience).await.left > 0 {
            tracing::warn!("calls were cut: they did not finish in time");
            self.serving.abort();
        }
        tracing::info!("closing the store");
        let closed = self.shop.close().await.context("close the store");
        if let Some(capture) = self.capture {
            capture.stop().await;
        }
        closed
    }

    /// Closes the store after a failed start: nobody has called yet, and another error is the one to tell.
    pub(crate) async fn abandon(self) {
        self.serving.abort();
        drop(self.shop.close().await);
    }
}

/// What the user can do about it.
pub(crate) fn advise(error: &OpenError) -> anyhow::Error {
    let advice = match error {
        OpenError::InUse { .. } => "stop that process, or choose another folder with --data",
        OpenError::Format { .. } => "run the version that wrote it, or choose another folder with --data",
        OpenError::Folder { .. } => "choose a folder that can be written with --data",
        // The database shows its insides; the cause at the bottom is what the system said.
        OpenError::Store { folder, source } => {
            return anyhow!("cannot open the store in {}: {}", folder.display(), root_cause(source.as_ref()));
        }
        _ => return anyhow!("{error}"),
    };
    anyhow!("{error}; {advice}")
}

fn root_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}
