//! The participant's half of the protocol: a row for each saga, step and operation, written in the transaction of the business
//! change itself.
//!
//! Networks repeat and delay, and coordinators crash, so a participant is asked twice, or asked to undo what never arrived,
//! or asked to do what was undone already. With the barrier
//!
//! - each operation takes effect once: a repetition is answered as the first time, with the same output;
//! - a **definite failure is recorded**: the business change is rolled back to a savepoint and the row says `failed`, so that a
//!   late copy of the same call cannot succeed after its saga went on as if it never would;
//! - a compensation of what never arrived leaves a `void` row, and the action that comes later is refused as
//!   [`Answer::Aborted`], never answered as done;
//! - an undo that fails is rolled back and leaves nothing: it is asked again.
//!
//! `fjall` (feature `fjall`) and `mysql` (feature `mysql`) have it for those databases; `batch` (feature `mysql`) for many calls in one
//! transaction.

#[cfg(feature = "mysql")]
pub mod batch;
#[cfg(feature = "fjall")]
pub mod fjall;
#[cfg(feature = "mysql")]
pub mod mysql;

use bytes::Bytes;

use crate::plan::Op;

/// What a participant is asked: the headers `x-saga-id`, `x-saga-step`, `x-saga-op`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// Of which saga.
    pub saga: &'a str,
    /// Which step.
    pub step: &'a str,
    /// To do it, or to undo it.
    pub op: Op,
}

/// What to answer, once the transaction has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done, now or earlier. Over HTTP: 200.
    Done(Bytes),
    /// Refused for good, now or earlier. Over HTTP: 409.
    Rejected(String),
    /// It comes after its compensation. Over HTTP: 409; over gRPC: ABORTED.
    Aborted,
}

/// Why a business change was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure<E> {
    /// Refused for good: recorded, and answered as such.
    Rejected(String),
    /// Something else: the caller rolls everything back, answers that it does not know, and is asked again.
    Error(E),
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self::Error(error)
    }
}

/// What a row says.
#[cfg(any(test, feature = "fjall", feature = "mysql"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok(Bytes),
    Failed(String),
    Void,
}

/// What is to be done about a call.
#[cfg(any(test, feature = "fjall", feature = "mysql"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The business change is to be made.
    Run,
    /// There is nothing to undo, and that is to be recorded.
    Nothing,
    /// It was decided before.
    Known(Answer),
}

/// From the rows of a step to what is to be done.
#[cfg(any(test, feature = "fjall", feature = "mysql"))]
pub(crate) fn verdict(op: Op, execute: Option<&Outcome>, compensate: Option<&Outcome>) -> Verdict {
    match (op, execute, compensate) {
        (Op::Execute, _, Some(_)) | (Op::Execute, Some(Outcome::Void), _) => Verdict::Known(Answer::Aborted),
        (Op::Execute, Some(Outcome::Ok(output)), None) => Verdict::Known(Answer::Done(output.clone())),
        (Op::Execute, Some(Outcome::Failed(why)), None) => Verdict::Known(Answer::Rejected(why.clone())),
        (Op::Execute, None, None) => Verdict::Run,
        (Op::Compensate, _, Some(_)) => Verdict::Known(Answer::Done(Bytes::new())),
        (Op::Compensate, Some(Outcome::Ok(_)), None) => Verdict::Run,
        (Op::Compensate, _, None) => Verdict::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_rows_of_a_step_decide() {
        let ok = Outcome::Ok("out".into());
        let failed = Outcome::Failed("why".into());
        let void = Outcome::Void;
        let done = |text: &'static str| Verdict::Known(Answer::Done(text.into()));
        let check = |op, execute: Option<&Outcome>, compensate: Option<&Outcome>, expect: Verdict| {
            assert_eq!(verdict(op, execute, compensate), expect, "{op} {execute:?} {compensate:?}");
        };
        check(Op::Execute, None, None, Verdict::Run);
        check(Op::Execute, Some(&ok), None, done("out"));
        check(Op::Execute, Some(&failed), None, Verdict::Known(Answer::Rejected("why".into())));
        for compensated in [&ok, &void] {
            for execute in [None, Some(&ok), Some(&failed), Some(&void)] {
                check(Op::Execute, execute, Some(compensated), Verdict::Known(Answer::Aborted));
                check(Op::Compensate, execute, Some(compensated), done(""));
            }
        }
        check(Op::Execute, Some(&void), None, Verdict::Known(Answer::Aborted));
        check(Op::Compensate, Some(&ok), None, Verdict::Run);
        for nothing in [None, Some(&failed), Some(&void)] {
            check(Op::Compensate, nothing, None, Verdict::Nothing);
        }
    }
}
