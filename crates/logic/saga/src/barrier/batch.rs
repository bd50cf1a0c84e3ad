//! The barrier for a participant on MySQL or MariaDB that makes many calls in one transaction: one statement reads the rows of all of
//! them and another writes those of all, where [`mysql::run`](super::mysql::run) takes several round trips for each.
//!
//! In a transaction at READ COMMITTED: lock the rows of the business (`FOR UPDATE`, in one order), then run [`select`], decide each call with
//! [`Batch::run`], run [`Batch::insert`] before the business's own writes, COMMIT, and only then answer. Two copies of a call
//! in two transactions are put in order by the business's lock; where there is no row to lock, the later INSERT finds a duplicate key, and
//! that batch is rolled back and made anew. The table is [`mysql::TABLE`](super::mysql::TABLE).

use std::collections::HashMap;
use std::fmt::Write as _;

use bytes::Bytes;

use super::{Answer, Failure, Key, Outcome, Verdict, verdict};
use crate::plan::Op;

/// A row that [`select`] finds: saga, step, operation, outcome and detail.
pub type Found = (Vec<u8>, Vec<u8>, String, String, Vec<u8>);

/// What is known of the calls of a transaction, and what is to be written of them.
#[derive(Debug, Default)]
pub struct Batch {
    known: HashMap<(Vec<u8>, Vec<u8>), Rows, foldhash::fast::RandomState>,
    /// Rows of an INSERT.
    new: Vec<String>,
}

/// The rows of a step.
#[derive(Debug, Default)]
struct Rows {
    execute: Option<Outcome>,
    compensate: Option<Outcome>,
}

impl Rows {
    fn of(&mut self, op: Op) -> &mut Option<Outcome> {
        match op {
            Op::Execute => &mut self.execute,
            Op::Compensate => &mut self.compensate,
        }
    }
}

/// Reads all rows of these sagas, after the business's rows were locked. Keep a list below 1,000: the server makes a subquery of a longer one
/// (`in_predicate_conversion_threshold`).
pub fn select<'a>(sagas: impl IntoIterator<Item = &'a str>) -> String {
    let sagas: Vec<String> = sagas.into_iter().map(|saga| hex(saga.as_bytes())).collect();
    format!(
        "SELECT saga, step, op, outcome, detail FROM saga_barrier FORCE INDEX (PRIMARY) WHERE saga IN ({})",
        sagas.join(",")
    )
}

impl Batch {
    /// From what [`select`] has found.
    pub fn new(found: impl IntoIterator<Item = Found>) -> Self {
        let mut batch = Self::default();
        for (saga, step, op, outcome, detail) in found {
            let op = if op == Op::Compensate.as_str() { Op::Compensate } else { Op::Execute };
            let outcome = match outcome.as_str() {
                "ok" => Outcome::Ok(detail.into()),
                "failed" => Outcome::Failed(String::from_utf8_lossy(&detail).into_owned()),
                _ => Outcome::Void,
            };
            *batch.known.entry((saga, step)).or_default().of(op) = Some(outcome);
        }
        batch
    }

    /// Makes a business change in memory unless it was made, refused or undone before, in this transaction too, and notes what
    /// became of it. A change that fails must leave nothing behind.
    pub fn run<E>(
        &mut self,
        key: Key<'_>,
        business: impl FnOnce() -> Result<Bytes, Failure<E>>,
    ) -> Result<Answer, E> {
        let rows = self.known.entry((key.saga.into(), key.step.into())).or_default();
        match verdict(key.op, rows.execute.as_ref(), rows.compensate.as_ref()) {
            Verdict::Known(answer) => Ok(answer),
            Verdict::Nothing => {
                // What never arrived must not arrive any more.
                if rows.execute.is_none() {
                    self.put(key, Op::Execute, Outcome::Void);
                }
                self.put(key, Op::Compensate, Outcome::Void);
                Ok(Answer::Done(Bytes::new()))
            }
            Verdict::Run => match business() {
                Ok(output) => {
                    self.put(key, key.op, Outcome::Ok(output.clone()));
                    Ok(Answer::Done(output))
                }
                Err(Failure::Rejected(why)) => {
                    // An undo that fails leaves nothing: it is asked again.
                    if key.op == Op::Execute {
                        self.put(key, Op::Execute, Outcome::Failed(why.clone()));
                    }
                    Ok(Answer::Rejected(why))
                }
                Err(Failure::Error(error)) => Err(error),
            },
        }
    }

    /// Writes what is new; `None` where nothing is. A duplicate key (error 1062) means that somebody else was quicker: roll back, and begin anew.
    pub fn insert(&self) -> Option<String> {
        (!self.new.is_empty()).then(|| {
            format!(
                "INSERT INTO saga_barrier (saga, step, op, outcome, detail) VALUES {}",
                self.new.join(",")
            )
        })
    }

    fn put(&mut self, key: Key<'_>, op: Op, outcome: Outcome) {
        let (name, detail) = match &outcome {
            Outcome::Ok(output) => ("ok", &output[..]),
            Outcome::Failed(why) => ("failed", why.as_bytes()),
            Outcome::Void => ("void", &[][..]),
        };
        let (saga, step) = (hex(key.saga.as_bytes()), hex(key.step.as_bytes()));
        self.new.push(format!("({saga},{step},'{}','{name}',{})", op.as_str(), hex(detail)));
        *self.known.entry((key.saga.into(), key.step.into())).or_default().of(op) = Some(outcome);
    }
}

/// As a literal, of which nothing is ever taken for SQL.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("x'");
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn key(op: Op) -> Key<'static> {
        Key { saga: "s'1", step: "debit", op }
    }

    fn found(op: &str, outcome: &str, detail: &str) -> Found {
        ("s'1".into(), "debit".into(), op.into(), outcome.into(), detail.into())
    }

    fn run(batch: &mut Batch, op: Op, business: Result<&'static str, &str>) -> (Answer, bool) {
        let mut made = false;
        let answer = batch.run::<Infallible>(key(op), || {
            made = true;
            business.map(Bytes::from).map_err(|why| Failure::Rejected(why.into()))
        });
        let Ok(answer) = answer;
        (answer, made)
    }

    fn done(output: &'static str) -> Answer {
        Answer::Done(output.into())
    }

    #[test]
    fn a_call_is_made_once_and_answered_alike_in_one_transaction_and_in_the_next() {
        let mut batch = Batch::default();
        assert_eq!(run(&mut batch, Op::Execute, Ok("o")), (done("o"), true));
        assert_eq!(run(&mut batch, Op::Execute, Ok("other")), (done("o"), false));
        let sql = "INSERT INTO saga_barrier (saga, step, op, outcome, detail) VALUES \
                   (x'732731',x'6465626974','execute','ok',x'6f')";
        assert_eq!(batch.insert().as_deref(), Some(sql));
        let mut next = Batch::new([found("execute", "ok", "o")]);
        assert_eq!(run(&mut next, Op::Execute, Ok("other")), (done("o"), false));
        assert_eq!(next.insert(), None);
        assert_eq!(run(&mut next, Op::Compensate, Ok("")), (done(""), true));
        assert_eq!(run(&mut next, Op::Compensate, Ok("")), (done(""), false));
        assert_eq!(run(&mut next, Op::Execute, Ok("")), (Answer::Aborted, false));
        assert!(next.insert().unwrap().ends_with("VALUES (x'732731',x'6465626974','compensate','ok',x'')"));
    }

    #[test]
    fn a_refusal_is_recorded_and_that_of_an_undo_is_not() {
        let refused = |why: &str| Answer::Rejected(why.into());
        let mut batch = Batch::default();
        assert_eq!(run(&mut batch, Op::Execute, Err("poor")), (refused("poor"), true));
        assert_eq!(run(&mut batch, Op::Execute, Ok("")), (refused("poor"), false));
        assert!(batch.insert().unwrap().ends_with("'execute','failed',x'706f6f72')"));
        let mut next = Batch::new([found("execute", "failed", "poor")]);
        assert_eq!(run(&mut next, Op::Execute, Ok("")), (refused("poor"), false));
        assert_eq!(run(&mut next, Op::Compensate, Ok("")), (done(""), false), "there is nothing to undo");
        assert_eq!(next.insert().unwrap().matches("),(").count(), 0, "one row");
        let mut stuck = Batch::new([found("execute", "ok", "")]);
        assert_eq!(run(&mut stuck, Op::Compensate, Err("spent")), (refused("spent"), true));
        assert_eq!(stuck.insert(), None);
    }

    #[test]
    fn what_is_undone_before_it_arrives_never_arrives() {
        let mut batch = Batch::default();
        assert_eq!(run(&mut batch, Op::Compensate, Ok("")), (done(""), false));
        assert_eq!(run(&mut batch, Op::Execute, Ok("")), (Answer::Aborted, false));
        let sql = batch.insert().unwrap();
        assert!(sql.contains("'execute','void'") && sql.contains("'compensate','void'"), "{sql}");
    }

    #[test]
    fn an_error_leaves_nothing() {
        let mut batch = Batch::default();
        assert_eq!(batch.run(key(Op::Execute), || Err(Failure::Error("broken"))), Err("broken"));
        assert_eq!(batch.insert(), None);
        assert_eq!(run(&mut batch, Op::Execute, Ok("o")), (done("o"), true));
    }

    #[test]
    fn ids_are_never_taken_for_sql() {
        assert_eq!(
            select(["a'b", "c"]),
            "SELECT saga, step, op, outcome, detail FROM saga_barrier FORCE INDEX (PRIMARY) WHERE saga IN (x'612762',x'63')"
        );
    }
}
