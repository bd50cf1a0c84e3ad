//! The runners of a coordinator: as many as there are cores, since each is one thread's work at a time.

use anyhow::{Result, anyhow};
use aqueduct_runtime::task;
use aqueduct_saga::{Coordinator, Store, StoreError};
use aqueduct_saga_server::Caller;
use tokio::sync::{mpsc, watch};

/// Runners that run.
pub(super) struct Running {
    stop: watch::Sender<bool>,
    ends: mpsc::UnboundedReceiver<Result<(), StoreError>>,
    count: usize,
}

impl Running {
    pub(super) fn start<S: Store>(coordinator: &Coordinator<S>, caller: &Caller) -> Self {
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
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match self.ends.recv().await {
            Some(Err(error)) => anyhow!(
                "{error}; nothing more is acknowledged: make sure that the store can be written, then start again"
            ),
            _ => anyhow!("a runner has ended; the log tells why"),
        }
    }

    /// Lets the calls that are under way be answered, and noted.
    pub(super) async fn stop(mut self) -> Result<()> {
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
