//! The one thread that changes accounts: what many transfers want meanwhile becomes durable with one `fdatasync`, and only
//! then is it answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use aqueduct_fsm::StoreError;
use aqueduct_saga::barrier::fjall::{Barrier, Error, Work};
use aqueduct_saga::barrier::{Answer, Failure, Key};
use aqueduct_saga::{Clock, Millis, Op};
use bytes::Bytes;
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{SetOnce, oneshot};

use super::row::Row;
use super::store::fail;
use super::{Move, Opened, Refused};

/// The most requests of one commit.
const MOST: usize = 1_024;
/// How often old rows of the barrier are looked for, in milliseconds, and how many go at a time.
const FORGET_EVERY: Millis = 1_000;
const MOST_FORGOTTEN: usize = 2_000;

type Reply<T> = oneshot::Sender<Result<T, Refused>>;

pub(super) enum Request {
    Open { id: i64, cents: i64, reply: Reply<Opened<Row>> },
    Move(Move, Reply<()>),
}

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

/// An answer that waits for the commit.
enum Answered {
    Open(Reply<Opened<Row>>, Result<Opened<Row>, Refused>),
    Move(Reply<()>, Result<(), Refused>),
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
        Ok(match self.row_in(work, id)? {
            Some(row) if row.opening == cents => Opened::Is(row),
            Some(_) => Opened::Other,
            None => {
                let row = Row::new(cents);
                self.put(work, id, row);
                Opened::Is(row)
            }
        })
    }

    fn make(&self, work: &mut Work, step: &Move) -> Result<Answer, Unread> {
        let op = if step.undo { Op::Compensate } else { Op::Execute };
        let key = Key { saga: &step.transfer, step: step.step.as_str(), op };
        let (id, content) = (step.account(), content(step));
        let answer = self.barrier.run::<Unread>(work, key, |work| {
            let row = self
                .row_in(work, id)?
                .ok_or_else(|| Failure::Rejected(format!("there is no account {id}")))?;
            let after = row.after(step.step, step.undo, step.cents);
            let after = after.map_err(|why| Failure::Rejected(format!("account {id} {why}")))?;
            self.put(work, id, after);
            Ok(content.clone())
        })?;
        // The barrier remembers for longer than a transfer can be read. One that takes the id again, with another content, must
        // not be told that its money has moved.
        match answer {
            Answer::Done(known) if !step.undo && known != content => {
                Ok(Answer::Rejected("an earlier transfer had this id".into()))
            }
            answer => Ok(answer),
        }
    }
}

/// All that a step depends on.
fn content(step: &Move) -> Bytes {
    let numbers = [step.from, step.to, step.cents];
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
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
            answers.extend(requests.drain(..).map(|request| self.stage(&mut work, request)));
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
            answers.drain(..).for_each(Answered::send);
        }
        Ok(())
    }

    fn stage(&self, work: &mut Work, request: Request) -> Answered {
        let before = work.savepoint();
        let undone = |error: &Unread| Refused::Unknown(error.to_string());
        match request {
            Request::Open { id, cents, reply } => {
                let opened = self.tables.open(work, id, cents);
                Answered::Open(reply, opened.map_err(|error| undone(&error)))
            }
            Request::Move(step, reply) => {
                let made = match self.tables.make(work, &step) {
                    Ok(Answer::Done(_)) => Ok(()),
                    Ok(Answer::Rejected(why)) => Err(Refused::Rejected(why)),
                    Ok(Answer::Aborted) => Err(Refused::Aborted),
                    Err(error) => {
                        work.rollback_to(before);
                        Err(undone(&error))
                    }
                };
                Answered::Move(reply, made)
            }
        }
    }
}

impl Answered {
    /// Whoever asked may have gone away.
    fn send(self) {
        match self {
            Self::Open(reply, answer) => drop(reply.send(answer)),
            Self::Move(reply, answer) => drop(reply.send(answer)),
        }
    }
}
