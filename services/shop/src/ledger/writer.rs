//! The one thread that changes accounts: what many transfers want meanwhile becomes durable with one `fdatasync`, and only
//! then is it answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use aqueduct_fsm::StoreError;
use aqueduct_saga::barrier::fjall::{Barrier, Error, Work};
use aqueduct_saga::barrier::{Answer, Failure};
use aqueduct_saga::{Clock, Millis};
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};
use tokio::sync::SetOnce;
use tokio::sync::mpsc::Receiver;

use super::request::{Done, Request, judged, opened};
use super::row::Row;
use super::store::fail;
use super::{Move, Opened, Refused};

/// The most requests of one commit.
const MOST: usize = 1_024;
/// How often old rows of the barrier are looked for, in milliseconds, and how many go at a time.
const FORGET_EVERY: Millis = 1_000;
const MOST_FORGOTTEN: usize = 2_000;

/// What is in the database cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error(transparent)]
    Barrier(#[from] Error),
    #[error("the store cannot be read: {0}")]
    Store(#[from] fjall::Error),
    #[error("the row of account {0} is damaged")]
    Damaged(i64),
}

/// The tables, to be read from any thread.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) database: Database,
    pub(super) accounts: Keyspace,
    pub(super) barrier: Barrier,
}

impl Tables {
    pub(super) fn row(&self, id: i64) -> Result<Option<Row>, Unread> {
        self.row_in(&Work::new(), id)
    }

    fn row_in(&self, work: &Work, id: i64) -> Result<Option<Row>, Unread> {
        let Some(bytes) = work.get(&self.accounts, &id.to_be_bytes())? else { return Ok(None) };
        Row::decode(&bytes).map(Some).ok_or(Unread::Damaged(id))
    }

    fn put(&self, work: &mut Work, id: i64, row: Row) {
        work.insert(&self.accounts, &id.to_be_bytes(), &row.encode());
    }

    fn open(&self, work: &mut Work, id: i64, cents: i64) -> Result<Opened<Row>, Unread> {
        let (opened, new) = opened(self.row_in(work, id)?, cents);
        if let (Opened::Is(row), true) = (&opened, new) {
            self.put(work, id, *row);
        }
        Ok(opened)
    }

    fn make(&self, work: &mut Work, step: &Move) -> Result<Answer, Unread> {
        self.barrier.run::<Unread>(work, step.key(), |work| {
            let after = step.after(self.row_in(work, step.account())?).map_err(Failure::Rejected)?;
            self.put(work, step.account(), after);
            Ok(step.content())
        })
    }
}

/// Makes a batch durable. Not always the same, so that tests can have a disk that fails.
pub(super) type Sync = Box<dyn FnMut(OwnedWriteBatch) -> Result<(), StoreError> + Send>;

pub(super) struct Writer {
    pub(super) tables: Tables,
    pub(super) sync: Sync,
    pub(super) queue: Receiver<Request>,
    pub(super) failure: Arc<SetOnce<String>>,
    pub(super) clock: Clock,
    /// For how long the barrier remembers.
    pub(super) kept: Duration,
}

impl Writer {
    /// Until nobody can ask any more, or the disk fails. Who asks then finds the queue closed.
    pub(super) fn run(mut self) {
        let served = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let reason = match served {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "its writer panicked".to_owned(),
        };
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        fail(&self.failure, name, &reason);
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        let mut requests = Vec::new();
        let mut answers = Vec::new();
        let mut forget_at = 0;
        while self.queue.blocking_recv_many(&mut requests, MOST) > 0 {
            let mut work = Work::new();
            answers.extend(requests.drain(..).map(|request| {
                let done = self.stage(&mut work, &request);
                (request, done)
            }));
            let mut batch = self.tables.database.batch().durability(Some(PersistMode::SyncData));
            work.put_into(&mut batch);
            let now = self.clock.now();
            if now >= forget_at {
                let kept = Millis::try_from(self.kept.as_millis()).unwrap_or(Millis::MAX);
                self.tables.barrier.forget(&mut batch, now.saturating_sub(kept), MOST_FORGOTTEN)?;
                forget_at = now.saturating_add(FORGET_EVERY);
            }
            // Nothing to write: repetitions, and what was refused without a trace.
            if !batch.is_empty() {
                (self.sync)(batch)?;
            }
            answers.drain(..).for_each(|(request, done): (Request, Done)| request.answer(done));
        }
        Ok(())
    }

    fn stage(&self, work: &mut Work, request: &Request) -> Done {
        let before = work.savepoint();
        let undone = |error: &Unread| Refused::Unknown(error.to_string());
        match request {
            Request::Open { id, cents, .. } => {
                Done::Open(self.tables.open(work, *id, *cents).map_err(|error| undone(&error)))
            }
            Request::Move(step, _) => Done::Move(match self.tables.make(work, step) {
                Ok(answer) => judged(step, answer),
                Err(error) => {
                    work.rollback_to(before);
                    Err(undone(&error))
                }
            }),
        }
    }
}
