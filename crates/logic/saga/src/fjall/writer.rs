//! The one thread that writes: what many sagas want to write meanwhile becomes durable with one `fdatasync`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::fjall::{Database, OwnedWriteBatch, PersistMode};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::rows::Rows;
use crate::error::StoreError;
use crate::id::SagaId;
use crate::store::{Append, Change, Creation, Header, New};
use crate::table::{Fit, Table};
use crate::view::Millis;

/// The most requests of one commit.
const MOST: usize = 2048;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Request {
    Create(New, Reply<Creation>),
    Append(Change, Reply<Append>),
    Claim { now: Millis, until: Millis, most: usize, reply: Reply<Vec<Header>> },
    Renew { held: Vec<(SagaId, u64)>, due_at: Millis, reply: Reply<()> },
    Forget { before: Millis, most: usize, reply: Reply<usize> },
}

/// An answer that waits for the commit.
enum Answer {
    Create(Reply<Creation>, Result<Creation, StoreError>),
    Append(Reply<Append>, Append),
    Renew(Reply<()>),
    Forget(Reply<usize>, Result<usize, StoreError>),
}

pub(super) struct Writer {
    pub(super) database: Database,
    pub(super) rows: Rows,
    pub(super) table: Arc<Mutex<Table>>,
    pub(super) queue: Receiver<Request>,
}

impl Writer {
    /// Until nobody can ask any more, or the disk fails.
    pub(super) fn run(mut self) {
        let served = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let failure = match served {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => StoreError::Failed(format!("the writer panicked: {}", message_of(panic.as_ref()))),
        };
        tracing::error!(error = %failure, "the store has failed; only a restart tells what is stored");
        while let Some(request) = self.queue.blocking_recv() {
            refuse(request, &failure);
        }
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        let mut requests = Vec::new();
        let mut answers = Vec::new();
        while self.queue.blocking_recv_many(&mut requests, MOST) > 0 {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
            {
                let mut table = lock(&self.table);
                // All in the table is durable at this moment, and only then it may be claimed.
                for request in requests.extract_if(.., |request| matches!(request, Request::Claim { .. })) {
                    if let Request::Claim { now, until, most, reply } = request {
                        reply.send(Ok(table.claim(now, until, most))).unwrap_or_default();
                    }
                }
                for request in requests.drain(..) {
                    answers.extend(stage(&self.rows, &mut table, &mut batch, request));
                }
            }
            let committed = if batch.is_empty() { Ok(()) } else { batch.commit() };
            if let Err(error) = committed {
                let failure = StoreError::Failed(error.to_string());
                answers.drain(..).for_each(|answer| answer.fail(&failure));
                return Err(failure);
            }
            answers.drain(..).for_each(Answer::send);
        }
        Ok(())
    }
}

/// Puts what a request wants to write into the batch.
fn stage(rows: &Rows, table: &mut Table, batch: &mut OwnedWriteBatch, request: Request) -> Option<Answer> {
    Some(match request {
        Request::Create(new, reply) => Answer::Create(reply, create(rows, table, batch, new)),
        Request::Append(change, reply) => Answer::Append(reply, append(rows, table, batch, &change)),
        Request::Renew { held, due_at, reply } => {
            for (id, epoch) in &held {
                table.renew(id, *epoch, due_at);
            }
            Answer::Renew(reply)
        }
        Request::Forget { before, most, reply } => Answer::Forget(reply, rows.forget(batch, before, most)),
        Request::Claim { .. } => return None,
    })
}

fn create(
    rows: &Rows,
    table: &mut Table,
    batch: &mut OwnedWriteBatch,
    new: New,
) -> Result<Creation, StoreError> {
    let New { header, row } = new;
    let id = &header.summary.id;
    if let Some(open) = table.get(id) {
        return Ok(Creation::Exists(open.fingerprint));
    }
    if let Some(ended) = rows.header(id)? {
        return Ok(Creation::Exists(ended.fingerprint));
    }
    rows.put(batch, &header, &row);
    table.put(header);
    Ok(Creation::Created)
}

fn append(rows: &Rows, table: &mut Table, batch: &mut OwnedWriteBatch, change: &Change) -> Append {
    // What errs here has failed for good, so nobody ever asks for the last change once more.
    let Fit::Next(header) = table.fit(change) else { return Append::Lost };
    rows.put(batch, &header, &change.row);
    rows.drop_rows(batch, &change.id, &change.drops);
    if header.summary.status.is_terminal() {
        table.remove(&change.id);
    } else {
        table.put(header);
    }
    Append::Applied
}

impl Answer {
    /// Whoever asked may have gone away.
    fn send(self) {
        match self {
            Self::Create(reply, answer) => reply.send(answer).unwrap_or_default(),
            Self::Append(reply, answer) => reply.send(Ok(answer)).unwrap_or_default(),
            Self::Renew(reply) => reply.send(Ok(())).unwrap_or_default(),
            Self::Forget(reply, answer) => reply.send(answer).unwrap_or_default(),
        }
    }

    fn fail(self, failure: &StoreError) {
        match self {
            Self::Create(reply, _) => reply.send(Err(failure.clone())).unwrap_or_default(),
            Self::Append(reply, _) => reply.send(Err(failure.clone())).unwrap_or_default(),
            Self::Renew(reply) => reply.send(Err(failure.clone())).unwrap_or_default(),
            Self::Forget(reply, _) => reply.send(Err(failure.clone())).unwrap_or_default(),
        }
    }
}

fn refuse(request: Request, failure: &StoreError) {
    match request {
        Request::Create(_, reply) => reply.send(Err(failure.clone())).unwrap_or_default(),
        Request::Append(_, reply) => reply.send(Err(failure.clone())).unwrap_or_default(),
        Request::Claim { reply, .. } => reply.send(Err(failure.clone())).unwrap_or_default(),
        Request::Renew { reply, .. } => reply.send(Err(failure.clone())).unwrap_or_default(),
        Request::Forget { reply, .. } => reply.send(Err(failure.clone())).unwrap_or_default(),
    }
}

pub(super) fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
