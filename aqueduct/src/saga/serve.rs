//! `aqueduct saga serve`: the coordinator.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aqueduct_runtime::task;
use aqueduct_saga::{Coordinator, Options, Store, StoreError};
use aqueduct_saga_server::{Caller, Server};
use aqueduct_telemetry::health::{Check, OnFailure};
use tokio::sync::{mpsc, watch};

use super::cli::ServeArgs;
use super::{files, store};
use crate::admin::{Admin, Facts, Serving};
use crate::bind::bind;
use crate::failure::Failure;
use crate::notify::notify;
use crate::process::{self, Process, stop_in_order};

/// How long a drain waits for clients; calls to participants end within their own time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often recovery is looked at until it is done.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Runs until a signal, or until the store fails.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let options = options(args);
    options.validate().map_err(Failure::usage)?;
    process::run(|process| serve(args, options, process))
}

fn options(args: &ServeArgs) -> Options {
    Options {
        attempt_timeout: args.attempt_timeout,
        most_attempts: args.most_attempts,
        retention: args.retention,
        in_flight: files::room(),
        ..Options::default()
    }
}

async fn serve(args: &ServeArgs, options: Options, process: Process) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    let admin = Admin::bind(args.admin.or(None), None)?;
    let check = process.health.check("store", OnFailure::Unavailable);
    // Before the store is open, so that whoever asks is told to wait.
    let server = Server::start(bind(args.listen, "--listen")?, process.health.clone()).context("listen")?;
    let address = server.address();
    process.collect_runtimes(Vec::new);
    let data = std::path::absolute(&args.data).unwrap_or_else(|_| args.data.clone());
    let facts = Facts {
        command: "saga serve",
        edge: None,
        services: Some(address),
        data: Some(data.clone()),
        config: None,
    };
    // It answers for as long as this lives: to the end.
    let serving = admin.serve(&process, facts);
    let store = store::open(&data).await?;
    let coordinator = Coordinator::open(store.clone(), options).map_err(Failure::usage)?;
    aqueduct_saga_server::collect(&process.registry, coordinator.clone());
    server.open(coordinator.clone());
    let mut running = Running::start(&coordinator, &Caller::new(&process.registry));
    process.health.set_started();
    task::spawn("saga-recovery", recovered(coordinator, check));
    let admin = serving.as_ref().map(Serving::address);
    tracing::info!(listen = %address, data = %data.display(), admin = ?admin, "the saga coordinator listens");
    notify("READY=1");

    tokio::select! {
        signal = signals.next() => tracing::info!(signal = process::name(signal), "asked to stop"),
        why = running.failed() => {
            process.health.set_draining();
            return Err(Failure::Runtime(why));
        }
        why = store::failed(store) => {
            process.health.set_draining();
            return Err(Failure::Runtime(why));
        }
    }
    process.health.set_draining();
    tracing::info!("draining");
    stop_in_order(&mut signals, async {
        if server.drain(PATIENCE).await > 0 {
            tracing::warn!("connections were cut: they did not finish in time");
        }
        running.stop().await
    })
    .await?;
    tracing::info!("stopped");
    Ok(())
}

/// Tells when what an earlier process left has been looked at.
async fn recovered<S: Store>(coordinator: Coordinator<S>, check: Check) {
    while !coordinator.ready() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    check.ok("");
}

/// The runners: as many as there are cores, since each is one thread's work at a time.
struct Running {
    stop: watch::Sender<bool>,
    ends: mpsc::UnboundedReceiver<Result<(), StoreError>>,
    count: usize,
}

impl Running {
    fn start<S: Store>(coordinator: &Coordinator<S>, caller: &Caller) -> Self {
        let (stop, _) = watch::channel(false);
        let (ended, ends) = mpsc::unbounded_channel();
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..count {
            let (coordinator, caller, ended) = (coordinator.clone(), caller.clone(), ended.clone());
            let mut stopping = stop.subscribe();
            task::spawn("saga-runner", async move {
                let stopped = async move {
                    // An error is the other side's end.
                    stopping.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
                };
                let end = coordinator.run(caller, stopped).await;
                // Whoever waits for it may be gone.
                _ = ended.send(end);
            });
        }
        Self { stop, ends, count }
    }

    /// Resolves with the reason when one of them has ended.
    async fn failed(&mut self) -> anyhow::Error {
        match self.ends.recv().await {
            Some(Err(error)) => anyhow!(
                "{error}; nothing more is acknowledged: make sure that the data folder can be written, then start again"
            ),
            _ => anyhow!("a runner has ended; the log tells why"),
        }
    }

    /// Lets the calls that are under way be answered, and noted.
    async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        for _ in 0..self.count {
            match self.ends.recv().await {
                Some(end) => end?,
                None => break,
            }
        }
        Ok(())
    }
}
