//! The data plane as a part of a process: the gateway with its access log.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use aqueduct_gateway::{Gateway, Observers, Options, StartError};
use aqueduct_telemetry::access::AccessWriter;

use crate::access;
use crate::config::AccessLogFile;
use crate::process::Process;

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Edge {
    gateway: Arc<Gateway>,
    access: Option<AccessWriter>,
}

impl Edge {
    /// Listens, with what another process has handed over too, and accepts nothing yet. Nothing is left running on an error.
    pub(crate) fn prepare(
        options: Options,
        log: &AccessLogFile,
        process: &Process,
        inherited: Vec<TcpListener>,
    ) -> Result<Self> {
        let (log, access) = access::open(log, &process.registry)?.unzip();
        let observers =
            Observers { registry: &process.registry, access: log, health: process.health.clone() };
        let gateway = Gateway::prepare(options, observers, inherited).map_err(|error| match error {
            // Its message says all there is to say.
            StartError::Io(error) => anyhow!(error),
            error @ (StartError::Invalid(_) | StartError::Sockets(_)) => anyhow!(error),
        })?;
        process.collect_runtimes(gateway.runtime_stats());
        Ok(Self { gateway: Arc::new(gateway), access })
    }

    /// Accepts from now on.
    pub(crate) fn open(&self) {
        self.gateway.open();
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.gateway.addresses()
    }

    /// The gateway itself, to be told other options.
    pub(crate) fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway)
    }

    /// Resolves with the reason when it cannot go on.
    pub(crate) async fn failed(&self) -> anyhow::Error {
        self.gateway.worker_ended().await;
        anyhow!("a gateway worker has ended; the log tells why")
    }

    /// Lets what is in flight finish, then ends.
    pub(crate) async fn drain(self) {
        tracing::info!("draining the edge");
        let left = self.gateway.drain().await.left;
        if left > 0 {
            tracing::warn!(left, "connections were cut: they did not finish in time");
        }
        access::close(self.access).await;
    }
}
