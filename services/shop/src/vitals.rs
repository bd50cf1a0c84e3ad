//! What the shop knows of its own health. The committer, the lease and the store's watchman report it; gRPC health, the
//! `store` check of the probes and [`failed`](crate::Shop::failed) read it.

use aqueduct_fsm::Failure;
use aqueduct_ids::IdError;
use aqueduct_telemetry::health::Check;
use tokio::sync::watch;

/// Why a shop is given up. For good: only a restart reads back what really is on disk, or takes another lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// Its store.
    #[error(transparent)]
    Store(#[from] Failure),
    /// Its lease of ids.
    #[error("no ids can be minted any more: {0}")]
    Ids(String),
}

impl Failed {
    /// What went wrong, in one line.
    pub fn reason(&self) -> &str {
        match self {
            Self::Store(failure) => failure.reason(),
            Self::Ids(why) => why,
        }
    }
}

/// The health of a shop at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vitals {
    /// Why it is given up, once it is.
    failed: Option<Failed>,
    /// Why no id can be minted at the moment. Passes by itself.
    unminted: Option<IdError>,
    stopping: bool,
}

impl Vitals {
    /// Whether requests are served.
    pub(crate) fn ready(&self) -> bool {
        self.store().is_ok() && !self.stopping
    }

    /// Whether the store takes orders; otherwise why not, in words.
    pub(crate) fn store(&self) -> Result<(), String> {
        match (&self.failed, &self.unminted) {
            (Some(failure), _) => Err(failure.reason().to_owned()),
            (None, Some(error)) => Err(error.to_string()),
            (None, None) => Ok(()),
        }
    }

    /// Whether the store is given up.
    pub(crate) fn failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether nothing more will change, so that streams should end.
    pub(crate) fn ending(&self) -> bool {
        self.stopping || self.failed.is_some()
    }
}

/// The vitals of one shop, and who hears of their changes.
#[derive(Debug)]
pub(crate) struct Monitor {
    vitals: watch::Sender<Vitals>,
    check: Check,
}

impl Monitor {
    /// Vitals that are well, and say so in `check`.
    pub(crate) fn new(check: Check) -> Self {
        check.ok("");
        Self { vitals: watch::Sender::default(), check }
    }

    /// The vitals now, and their changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Vitals> {
        self.vitals.subscribe()
    }

    /// Gives the shop up.
    pub(crate) fn fail(&self, failed: impl Into<Failed>) {
        self.report(|vitals| {
            // The first reason stays.
            vitals.failed.get_or_insert(failed.into());
            true
        });
    }

    /// Tells whether ids can be minted.
    pub(crate) fn ids(&self, ready: Result<(), IdError>) {
        self.report(|vitals| {
            let before = std::mem::replace(&mut vitals.unminted, ready.err());
            before.is_some() != vitals.unminted.is_some()
        });
    }

    /// Tells that the server is going down.
    pub(crate) fn stop(&self) {
        self.vitals.send_if_modified(|vitals| !std::mem::replace(&mut vitals.stopping, true));
    }

    /// Resolves with the reason once the shop is given up.
    pub(crate) async fn failed(&self) -> Failed {
        let mut vitals = self.subscribe();
        let failed = vitals.wait_for(|vitals| vitals.failed.is_some()).await;
        match failed.ok().and_then(|vitals| vitals.failed.clone()) {
            Some(failure) => failure,
            // The sender is in this struct, which is borrowed here.
            None => std::future::pending().await,
        }
    }

    /// Takes a report; the check hears of every one, its probes tell how old the last is.
    fn report(&self, change: impl FnOnce(&mut Vitals) -> bool) {
        self.vitals.send_if_modified(|vitals| {
            let changed = change(vitals);
            match vitals.store() {
                Ok(()) => self.check.ok(""),
                Err(why) => self.check.failed(why),
            }
            changed
        });
    }
}
