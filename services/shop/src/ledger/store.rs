//! The accounts of one participant on its embedded store: a folder of its own, and one thread that commits for all.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `accounts` | id, 8 bytes big-endian | [`super::row::Row`] |
//! | `barrier`, `barrier_age` | those of `aqueduct_saga::barrier::fjall` | |

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use aqueduct_fsm::StoreError;
use aqueduct_fsm::fjall::probe;
use aqueduct_saga::Clock;
use aqueduct_saga::barrier::fjall::Barrier;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use tokio::sync::{SetOnce, mpsc, oneshot};

use super::request::Request;
use super::writer::{Sync, Tables, Writer};
use super::{Move, Opened, Refused, Side};
use crate::error::OpenError;
use crate::folder::Folder;
use crate::proto::shop::Account;

/// Requests that wait for the writer; beyond, who asks waits.
const QUEUE: usize = 8_192;

/// The accounts of one participant. Cheap to clone; when the last clone is dropped the folder is free for others.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Inner>);

struct Inner {
    side: Side,
    /// `None` once it is being dropped.
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    tables: Tables,
    failure: Arc<SetOnce<String>>,
    // Unlocked last.
    _folder: Folder,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ledger").field(&self.0.side).finish()
    }
}

impl Ledger {
    /// Opens a participant's folder, and creates it where there is none. Blocks on the disk. Rows of the barrier are kept for
    /// `kept`.
    pub(crate) fn open(path: &Path, side: Side, kept: Duration) -> Result<Self, OpenError> {
        Self::open_with(path, (side, kept), Box::new(|batch| Ok(batch.commit()?)))
    }

    /// As [`open`](Self::open), on a disk that a test may have spoilt.
    pub(super) fn open_with(
        path: &Path,
        (side, kept): (Side, Duration),
        sync: Sync,
    ) -> Result<Self, OpenError> {
        let failed = |source: StoreError| OpenError::Store { folder: path.to_owned(), source };
        let folder = Folder::open_as(path, &format!("aqueduct-accounts 1 {side}"))?;
        if !folder.store().exists() {
            folder.install_store(|path| open(path).map(drop)).map_err(failed)?;
        }
        let (database, accounts) = open(&folder.store()).map_err(failed)?;
        let clock = Clock::system();
        let barrier = Barrier::open(&database, clock.clone()).map_err(|error| failed(error.into()))?;
        let tables = Tables { database, accounts, barrier };
        let (queue, requests) = mpsc::channel(QUEUE);
        let failure = Arc::new(SetOnce::new());
        let (of_writer, failed) = (tables.clone(), Arc::clone(&failure));
        let writer = Writer { tables: of_writer, sync, queue: requests, failure: failed, clock, kept };
        let name = format!("accounts-{side}");
        let thread = std::thread::Builder::new().name(name).spawn(move || writer.run());
        let thread = Some(thread.map_err(OpenError::Thread)?);
        Ok(Self(Arc::new(Inner { side, queue: Some(queue), thread, tables, failure, _folder: folder })))
    }

    /// Opens an account, durably.
    pub(crate) async fn open_account(&self, id: i64, cents: i64) -> Result<Opened<Account>, Refused> {
        self.check(id)?;
        let opened = self.ask(|reply| Request::Open { id, cents, reply }).await?;
        Ok(match opened {
            Opened::Is(row) => Opened::Is(row.show(id)),
            Opened::Other => Opened::Other,
        })
    }

    /// The account as it is now.
    pub(crate) fn account(&self, id: i64) -> Result<Option<Account>, Refused> {
        self.check(id)?;
        match self.0.tables.row(id) {
            Ok(row) => Ok(row.map(|row| row.show(id))),
            Err(error) => Err(Refused::Unknown(error.to_string())),
        }
    }

    /// Makes a step of a transfer, or undoes it, durably and once.
    pub(crate) async fn make(&self, step: Move) -> Result<(), Refused> {
        self.check(step.account())?;
        self.ask(|reply| Request::Move(step, reply)).await
    }

    /// Whose accounts these are.
    pub(crate) fn side(&self) -> Side {
        self.0.side
    }

    /// Resolves with the reason once the store has failed; never otherwise.
    pub(crate) async fn failed(&self) -> String {
        let failure = Arc::clone(&self.0.failure);
        failure.wait().await.clone()
    }

    /// Looks whether the database still takes writes: its own threads can fail, on a full disk, while nobody writes. May
    /// wait for a sync in progress.
    pub(crate) fn probe(&self) {
        if let Err(error) = probe(&self.0.tables.database) {
            fail(&self.0.failure, self.0.side, &error.to_string());
        }
    }

    /// Another participant's account is a matter of wrong addresses, which somebody will set right.
    fn check(&self, account: i64) -> Result<(), Refused> {
        let (side, own) = (Side::of(account), self.0.side);
        if side == own {
            return Ok(());
        }
        Err(Refused::Unknown(format!(
            "account {account} is of participant {side}, and this is {own}: check the addresses"
        )))
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Request,
    ) -> Result<T, Refused> {
        let ended = || {
            let why = self.0.failure.get().map_or("its writer has ended", String::as_str);
            Refused::Unknown(format!("the accounts' store has failed: {why}"))
        };
        let (reply, answer) = oneshot::channel();
        let queue = self.0.queue.as_ref().ok_or_else(ended)?;
        queue.send(request(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Notes a failure, if it is the first.
pub(super) fn fail(failure: &SetOnce<String>, side: impl std::fmt::Display, reason: &str) {
    if failure.set(reason.to_owned()).is_ok() {
        tracing::error!(accounts = %side, reason, "the store failed: nothing more is acknowledged, a restart is needed");
    }
}

fn open(path: &Path) -> Result<(Database, Keyspace), StoreError> {
    let database = Database::builder(path).worker_threads(1).open()?;
    let accounts = database.keyspace("accounts", KeyspaceCreateOptions::default)?;
    Barrier::open(&database, Clock::system())?;
    Ok((database, accounts))
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.queue.take());
        // It ends with the queue, after one more commit at most. Its own panics are caught within.
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_default();
        }
    }
}
