//! What waits for the writer of accounts: on the embedded store a thread's, on a shard a task's. Both answer once it is committed.

use aqueduct_saga::barrier::Answer;
use tokio::sync::oneshot;

use super::row::Row;
use super::{Move, Opened, Refused};

pub(super) type Reply<T> = oneshot::Sender<Result<T, Refused>>;

pub(super) enum Request {
    Open { id: i64, cents: i64, reply: Reply<Opened<Row>> },
    Move(Move, Reply<()>),
}

/// What is answered once it is committed.
#[derive(Debug)]
pub(super) enum Done {
    Open(Result<Opened<Row>, Refused>),
    Move(Result<(), Refused>),
}

impl Request {
    /// The account that it changes.
    pub(super) fn account(&self) -> i64 {
        match self {
            Self::Open { id, .. } => *id,
            Self::Move(step, _) => step.account(),
        }
    }

    /// Nobody waits for it any more. What was a step is asked again.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Open { reply, .. } => reply.is_closed(),
            Self::Move(_, reply) => reply.is_closed(),
        }
    }

    /// What becomes of it where nobody knows.
    pub(super) fn unknown(&self, why: &str) -> Done {
        let why = Refused::Unknown(why.to_owned());
        match self {
            Self::Open { .. } => Done::Open(Err(why)),
            Self::Move(..) => Done::Move(Err(why)),
        }
    }

    /// Whoever asked may have gone away.
    pub(super) fn answer(self, done: Done) {
        match (self, done) {
            (Self::Open { reply, .. }, Done::Open(answer)) => drop(reply.send(answer)),
            (Self::Move(_, reply), Done::Move(answer)) => drop(reply.send(answer)),
            // Every request is answered in its kind.
            (Self::Open { .. }, Done::Move(_)) | (Self::Move(..), Done::Open(_)) => {}
        }
    }
}

/// An opening, given the account that is there; with `true` where it is a new one, to be written.
pub(super) fn opened(found: Option<Row>, cents: i64) -> (Opened<Row>, bool) {
    match found {
        Some(row) if row.opening == cents => (Opened::Is(row), false),
        Some(_) => (Opened::Other, false),
        None => (Opened::Is(Row::new(cents)), true),
    }
}

/// What the barrier's answer to a step means.
pub(super) fn judged(step: &Move, answer: Answer) -> Result<(), Refused> {
    match answer {
        // The barrier remembers for longer than a transfer can be read. One that takes the id again, with another content, must
        // not be told that its money has moved.
        Answer::Done(known) if !step.undo && known != step.content() => {
            Err(Refused::Rejected("an earlier transfer had this id".into()))
        }
        Answer::Done(_) => Ok(()),
        Answer::Rejected(why) => Err(Refused::Rejected(why)),
        Answer::Aborted => Err(Refused::Aborted),
    }
}
