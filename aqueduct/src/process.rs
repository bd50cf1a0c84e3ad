//! What every long-running command has: a runtime for all that is not the data plane, metrics, health, and an end that
//! begins with a signal.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_runtime::signal::{Orders, Signal, Signals};
use aqueduct_runtime::task;
use aqueduct_runtime::worker::RuntimeStats;
use aqueduct_telemetry::health::Health;
use aqueduct_telemetry::metrics::Registry;
use tokio::runtime::Runtime;

use crate::failure::Failure;

/// After a failure: how long those who still wait may be told so, before the process ends all the same.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the parts of a command share.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) registry: Arc<Registry>,
    pub(crate) health: Health,
}

/// Runs a command on a runtime of its own until it is done.
pub(crate) fn run<F>(command: impl FnOnce(Process) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let runtime = runtime()?;
    let process = Process { registry: Arc::new(Registry::new()), health: Health::new() };
    process.registry.collect_process();
    process.registry.collect_tasks();
    let result = runtime.block_on(async {
        task::spawn("load-sampler", process.health.clone().sample());
        command(process).await
    });
    // All that had to be waited for has been; a stuck disk must not keep the process.
    runtime.shutdown_background();
    result
}

fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("services").build().context("start the runtime")
}

impl Process {
    /// Shows what this runtime and `others` do.
    pub(crate) fn collect_runtimes(&self, others: impl Fn() -> Vec<RuntimeStats> + Send + Sync + 'static) {
        let here = tokio::runtime::Handle::current();
        self.registry.collect_runtimes(move || {
            let mut all = others();
            all.push(RuntimeStats::of("services", &here));
            all
        });
    }
}

/// Installs the handlers: from here on a signal asks, and no longer ends the process by itself.
pub(crate) fn signals() -> Result<Signals> {
    Signals::install().context("handle SIGTERM and SIGINT")
}

/// Installs the handlers of SIGHUP and SIGUSR2, likewise.
pub(crate) fn orders() -> Result<Orders> {
    Orders::install().context("handle SIGHUP and SIGUSR2")
}

/// Stops in order, unless a second signal asks to stop at once.
pub(crate) async fn stop_in_order<T>(signals: &mut Signals, stop: impl Future<Output = T>) -> T {
    tokio::select! {
        done = stop => done,
        signal = signals.next() => {
            tracing::warn!(signal = name(signal), "asked again: stopping at once");
            #[expect(clippy::exit, reason = "at once is what was asked for")]
            std::process::exit(128 + signal.number());
        }
    }
}

/// As people call it.
pub(crate) fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Interrupt => "SIGINT",
        Signal::Terminate => "SIGTERM",
    }
}
