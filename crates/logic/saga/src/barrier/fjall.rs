//! The barrier for participants on `fjall`, and the transaction that it works in.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `barrier` | saga, 0, step, 0, operation | outcome, with a checksum |
//! | `barrier_age` | when it was written, 8 bytes big-endian; the key in `barrier` | nothing |
//!
//! fjall's batches cannot be read and have no savepoints, so the caller opens a [`Work`]: changes of many calls, each of which
//! sees those before it, made durable together. Only one may be open at a time on the rows it changes: hand the calls to
//! one committer thread.

#[cfg(test)]
mod tests;
mod work;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use bytes::Bytes;

use super::{Answer, Failure, Key, Outcome, Verdict, verdict};
use crate::clock::Clock;
use crate::plan::Op;
use crate::view::Millis;
use crate::wire::{Reader, Writer};
pub use work::{Savepoint, Work};

const VERSION: u8 = 1;

/// The barrier's rows in a database. Cheap to clone.
#[derive(Clone)]
pub struct Barrier {
    rows: Keyspace,
    ages: Keyspace,
    clock: Clock,
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Barrier")
    }
}

/// What is in a database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database says no.
    #[error(transparent)]
    Fjall(#[from] ::fjall::Error),
    /// A row of the barrier is damaged, so that nobody knows whether this was done.
    #[error("the barrier's row of {0} is damaged")]
    Damaged(String),
}

impl Barrier {
    /// Opens its keyspaces, and creates them in a new database.
    pub fn open(database: &Database, clock: Clock) -> ::fjall::Result<Self> {
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Self { rows: keyspace("barrier")?, ages: keyspace("barrier_age")?, clock })
    }

    /// Makes a business change unless it was made, refused or undone before, and records what became of it, both in `work`.
    /// Commit `work` before you answer. After an error, roll it back to where it was before.
    pub fn run<E: From<Error>>(
        &self,
        work: &mut Work,
        key: Key<'_>,
        business: impl FnOnce(&mut Work) -> Result<Bytes, Failure<E>>,
    ) -> Result<Answer, E> {
        let (execute, compensate) = (row_key(key, Op::Execute), row_key(key, Op::Compensate));
        let verdict =
            verdict(key.op, self.row(work, &execute)?.as_ref(), self.row(work, &compensate)?.as_ref());
        let own = if key.op == Op::Execute { &execute } else { &compensate };
        match verdict {
            Verdict::Known(answer) => Ok(answer),
            Verdict::Nothing => {
                if self.row(work, &execute)?.is_none() {
                    self.put(work, &execute, &Outcome::Void);
                }
                self.put(work, own, &Outcome::Void);
                Ok(Answer::Done(Bytes::new()))
            }
            Verdict::Run => {
                let savepoint = work.savepoint();
                match business(work) {
                    Ok(output) => {
                        self.put(work, own, &Outcome::Ok(output.clone()));
                        Ok(Answer::Done(output))
                    }
                    Err(Failure::Rejected(why)) => {
                        work.rollback_to(savepoint);
                        if key.op == Op::Execute {
                            self.put(work, own, &Outcome::Failed(why.clone()));
                        }
                        Ok(Answer::Rejected(why))
                    }
                    Err(Failure::Error(error)) => {
                        work.rollback_to(savepoint);
                        Err(error)
                    }
                }
            }
        }
    }

    /// Removes at most `most` rows that were written before `before`, and says how many. Keep them for longer than any
    /// coordinator keeps its sagas, and any network a message.
    pub fn forget(&self, batch: &mut OwnedWriteBatch, before: Millis, most: usize) -> ::fjall::Result<usize> {
        let mut forgotten = 0;
        for row in self.ages.range([0; 8]..before.to_be_bytes()).take(most) {
            let age = row.key()?;
            batch.remove(&self.rows, age.get(8..).unwrap_or_default());
            batch.remove(&self.ages, age);
            forgotten += 1;
        }
        Ok(forgotten)
    }

    fn row(&self, work: &Work, key: &[u8]) -> Result<Option<Outcome>, Error> {
        let Some(bytes) = work.get(&self.rows, key)? else { return Ok(None) };
        let damaged = || Error::Damaged(String::from_utf8_lossy(key).replace('\0', " "));
        decode(&bytes).map(Some).ok_or_else(damaged)
    }

    fn put(&self, work: &mut Work, key: &[u8], outcome: &Outcome) {
        let age = [&self.clock.now().to_be_bytes(), key].concat();
        work.insert(&self.rows, key, &encode(outcome));
        work.insert(&self.ages, &age, b"");
    }
}

/// Headers have no 0 in them.
fn row_key(key: Key<'_>, op: Op) -> Vec<u8> {
    [key.saga.as_bytes(), &[0], key.step.as_bytes(), &[0], op.as_str().as_bytes()].concat()
}

fn encode(outcome: &Outcome) -> Vec<u8> {
    let mut out = Writer::new(VERSION);
    match outcome {
        Outcome::Ok(output) => {
            out.byte(0);
            out.bytes(output);
        }
        Outcome::Failed(why) => {
            out.byte(1);
            out.bytes(why.as_bytes());
        }
        Outcome::Void => out.byte(2),
    }
    out.sealed()
}

fn decode(bytes: &[u8]) -> Option<Outcome> {
    let mut from = Reader::unsealed(bytes, VERSION)?;
    Some(match from.byte()? {
        0 => Outcome::Ok(Bytes::copy_from_slice(from.bytes()?)),
        1 => Outcome::Failed(from.text()?),
        2 => Outcome::Void,
        _ => return None,
    })
}
