//! The shop's bank: two participants with accounts, and the sagas that move money between them.
//!
//! The sagas are in the shop's own database, or in that of shard 0, the accounts in those of their participants. What a transfer does next is in
//! rows, so that a start goes on where the last end was, whatever it was.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use aqueduct_ids::Generator;
use aqueduct_runtime::task::{self, Owned};
use aqueduct_saga::fjall::Fjall;
use aqueduct_saga::typed::{Definitions, Saga};
use aqueduct_saga::{Clock, Coordinator};
use aqueduct_telemetry::health::{Health, OnFailure};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::cluster::sagas;
use crate::error::OpenError;
use crate::ledger::Side;
use crate::ledger::remote::Remote;
use crate::ledger::sharded::Ledgers;
use crate::options::Options;
use crate::sagas::Sagas;
use crate::store::Tables;
use crate::transfers::definition::{self, Transfer};
use crate::transfers::seats::{Seats, barrier_kept};
use crate::vitals::{Monitor, Vitals};

/// How long an end waits for the steps under way. A local one takes as long as the disk; a remote one is cut, and asked again.
const PATIENCE: Duration = Duration::from_secs(6);

/// How often a participant in a process of its own is asked whether it serves.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What the handlers of accounts and transfers need.
pub(crate) struct Bank {
    pub(crate) ids: Generator,
    pub(crate) sagas: Sagas,
    pub(crate) definition: Saga<Transfer>,
    pub(crate) seats: Seats,
    pub(crate) monitor: Arc<Monitor>,
    /// Ids of accounts that were minted here.
    pub(crate) minted: AtomicU64,
    // With the database of the sagas, where that is embedded; its folder is unlocked last.
    _tables: Option<Tables>,
}

impl fmt::Debug for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bank").field("seats", &self.seats).finish_non_exhaustive()
    }
}

/// The sagas that are being run; to drop it stops them, without waiting.
#[derive(Debug)]
pub(crate) struct Runner {
    stop: oneshot::Sender<()>,
    run: JoinHandle<()>,
    _background: Vec<Owned>,
}

impl Bank {
    /// Opens what is in this process, and its sagas to be [run](Self::run). Blocks on the disk; must be called within a tokio runtime.
    pub(crate) fn open(
        options: &Options,
        tables: &Tables,
        (ids, monitor): (&Generator, &Arc<Monitor>),
        seats: Seats,
    ) -> Result<(Self, Coordinator<Fjall>), OpenError> {
        let sagas = Fjall::on(tables.database(), Clock::system()).map_err(Box::new)?;
        let sagas = Coordinator::open(sagas, how(options))?;
        let own = (Sagas::Embedded(sagas.clone()), Some(tables.clone()));
        Ok((Self::new(own, (ids, monitor), seats)?, sagas))
    }

    /// One whose sagas and accounts are in the shards, with what runs them. They are the check `saga`: while their database is away, what is
    /// cached of orders can be answered all the same.
    pub(crate) fn join(
        options: &Options,
        place: sagas::Place,
        (ids, monitor): (&Generator, &Arc<Monitor>),
        health: &Health,
    ) -> Result<(Arc<Self>, Runner), OpenError> {
        let (ledgers, mut tasks) = Ledgers::new(&place.shards, barrier_kept(options.transfers_kept));
        let seats = Seats::on_shards(options, &ledgers)?;
        let (told, shared) = watch::channel(None);
        let bank = Arc::new(Self::new((Sagas::Shared(shared), None), (ids, monitor), seats.clone())?);
        let check = health.check("saga", OnFailure::Degraded);
        let runner = sagas::Runner { place, options: how(options), seats, told, check };
        let (stop, stopped) = oneshot::channel();
        let run = task::spawn("shop-sagas", runner.run(stopped));
        tasks.extend(bank.watch_participants(health));
        Ok((bank, Runner { stop, run, _background: tasks }))
    }

    fn new(
        (sagas, tables): (Sagas, Option<Tables>),
        (ids, monitor): (&Generator, &Arc<Monitor>),
        seats: Seats,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            ids: ids.clone(),
            sagas,
            definition: definition::transfer(&seats)?,
            seats,
            monitor: Arc::clone(monitor),
            minted: AtomicU64::new(0),
            _tables: tables,
        })
    }

    /// Runs the sagas. What goes wrong for good is for `failed`, and is shown by the check `saga`.
    pub(crate) fn run(
        self: &Arc<Self>,
        sagas: Coordinator<Fjall>,
        health: &Health,
        failed: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Runner, OpenError> {
        let check = health.check("saga", OnFailure::Unavailable);
        check.ok("");
        let definitions = Definitions::new().with(definition::transfer(&self.seats)?)?;
        let (stop, stopped) = oneshot::channel();
        let bank = Arc::clone(self);
        let mut vitals = self.monitor.subscribe();
        let run = task::spawn("shop-sagas", async move {
            let ledgers = bank.seats.failed();
            let sagas = async {
                let run = sagas.run(definitions, async { drop(stopped.await) });
                run.await.err().map(|error| error.to_string())
            };
            let reason = tokio::select! {
                reason = sagas => reason,
                reason = ledgers => Some(reason),
                // The database is that of the orders.
                _ = vitals.wait_for(Vitals::failed) => None,
            };
            if let Some(reason) = reason {
                check.failed(&reason);
                failed(&reason);
            }
        });
        Ok(Runner { stop, run, _background: self.watch_participants(health) })
    }
}

impl Bank {
    /// Asks those in processes of their own whether they serve: the checks `accounts_a` and `accounts_b`. Without one of them half of
    /// all accounts is still there, and every transfer is taken.
    fn watch_participants(&self, health: &Health) -> Vec<Owned> {
        let watch = |(side, remote): (Side, Box<Remote>)| {
            let check = health.check(&format!("accounts_{side}"), OnFailure::Degraded);
            let watching = async move {
                loop {
                    match remote.serves().await {
                        Ok(()) => check.ok(""),
                        Err(why) => check.failed(why),
                    }
                    tokio::time::sleep(ASK_EVERY).await;
                }
            };
            Owned::from(task::spawn("shop-participant", watching))
        };
        self.seats.there().into_iter().map(watch).collect()
    }
}

/// How sagas are run, all of them transfers.
fn how(options: &Options) -> aqueduct_saga::Options {
    aqueduct_saga::Options { retention: options.transfers_kept, ..aqueduct_saga::Options::default() }
}

impl Runner {
    /// Begins nothing more, and waits for the steps under way.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // What is cut here is asked again at the next start. A panic has been logged by the runtime.
        drop(tokio::time::timeout(PATIENCE, self.run).await);
    }
}
