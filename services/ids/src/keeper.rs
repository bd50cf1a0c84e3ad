//! Keeps a lease: renews it in time, tells how that went, and gives it back at the end.

use std::time::Duration;

use aqueduct_ids::shared::etcd::Etcd;
use aqueduct_ids::shared::mysql::Mysql;
use aqueduct_ids::shared::{Register, SharedError, SharedLease};
use aqueduct_ids::{Generator, Lease, LeaseError};
use aqueduct_runtime::task::{self, Owned};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long the end waits for the lease to be given back. Whoever does not is waited out by the next one instead.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// A lease of any kind.
#[derive(Debug)]
pub enum Held {
    /// On a worker number that the owner of a data folder was given.
    Folder(Lease),
    /// On one that the fleet's database granted.
    Mysql(SharedLease<Mysql>),
    /// On one that etcd granted.
    Etcd(SharedLease<Etcd>),
}

/// How a renewal went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// IDs can be minted until the next one.
    Done,
    /// It did not succeed, which is in the log, and is tried again; until the reserved time ends IDs are minted.
    Late(String),
    /// It never will: only a restart takes another lease.
    Over(String),
}

/// The task that renews a lease. Dropped, it ends at once, which is as safe as a crash.
#[derive(Debug)]
pub struct Keeper {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
    _task: Owned,
}

impl Held {
    /// A handle that mints under this lease.
    pub fn generator(&self) -> Generator {
        match self {
            Self::Folder(lease) => lease.generator(),
            Self::Mysql(lease) => lease.generator(),
            Self::Etcd(lease) => lease.generator(),
        }
    }

    fn renew_every(&self) -> Duration {
        match self {
            Self::Folder(lease) => lease.renew_every(),
            Self::Mysql(lease) => lease.renew_every(),
            Self::Etcd(lease) => lease.renew_every(),
        }
    }

    async fn renew(self) -> (Option<Self>, Renewal) {
        match self {
            Self::Folder(mut lease) => {
                // It syncs to the disk, which a thread of the runtime must not wait for.
                let renewed = tokio::task::spawn_blocking(move || (lease.renew(), lease)).await;
                match renewed {
                    Ok((renewed, lease)) => (Some(Self::Folder(lease)), of_folder(renewed)),
                    Err(error) => (None, Renewal::Over(error.to_string())),
                }
            }
            Self::Mysql(mut lease) => {
                let renewal = renew_shared(&mut lease).await;
                (Some(Self::Mysql(lease)), renewal)
            }
            Self::Etcd(mut lease) => {
                let renewal = renew_shared(&mut lease).await;
                (Some(Self::Etcd(lease)), renewal)
            }
        }
    }

    async fn close(self) -> Result<(), String> {
        match self {
            Self::Folder(lease) => {
                let closed = tokio::task::spawn_blocking(move || lease.close()).await;
                closed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
            }
            Self::Mysql(lease) => lease.close().await.map_err(|error| error.to_string()),
            Self::Etcd(lease) => lease.close().await.map_err(|error| error.to_string()),
        }
    }
}

/// After a failed sync nobody knows what is on the disk, so every failure is the last.
fn of_folder(renewed: Result<(), LeaseError>) -> Renewal {
    match renewed {
        Ok(()) => Renewal::Done,
        Err(error) => Renewal::Over(error.to_string()),
    }
}

async fn renew_shared<R: Register>(lease: &mut SharedLease<R>) -> Renewal {
    match lease.renew().await {
        Ok(()) => Renewal::Done,
        Err(error @ SharedError::Lost { .. }) => Renewal::Over(error.to_string()),
        Err(error) => Renewal::Late(error.to_string()),
    }
}

impl Keeper {
    /// Renews `held` from now on, and tells `report` of each renewal. Must be called within a tokio runtime.
    pub fn start(held: Held, report: impl Fn(Renewal) + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let task = task::spawn("ids-lease", async move {
            keep(held, stopped, report).await;
            // Nobody may be there to hear it.
            end.send(()).unwrap_or_default();
        });
        Self { stop, ended, _task: task.into() }
    }

    /// Ends minting and gives the lease back, so that the next one need not wait.
    pub async fn stop(self) {
        self.stop.send(()).unwrap_or_default();
        if timeout(CLOSE_WITHIN, self.ended).await.is_err() {
            tracing::warn!("the lease of the ids was not given back in time: the next start waits for it");
        }
    }
}

async fn keep(mut held: Held, mut stopped: oneshot::Receiver<()>, report: impl Fn(Renewal)) {
    let every = held.renew_every();
    let mut late = false;
    while timeout(every, &mut stopped).await.is_err() {
        let (still, renewal) = held.renew().await;
        match (&renewal, late) {
            (Renewal::Late(error), false) => {
                tracing::warn!(%error, "the lease of the ids was not renewed; trying again");
            }
            (Renewal::Done, true) => tracing::info!("the lease of the ids is renewed again"),
            _ => {}
        }
        late = matches!(renewal, Renewal::Late(_));
        report(renewal);
        match still {
            Some(still) => held = still,
            None => return,
        }
    }
    if let Err(error) = held.close().await {
        tracing::warn!(%error, "the next start will wait for the clock");
    }
}
