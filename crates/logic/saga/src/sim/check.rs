//! The promises, and what breaks them.

use std::collections::BTreeSet;

use super::bank::Bank;
use crate::{Kind, Op, Phase, SagaId, Status, View, What};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Violation {
    /// Money was made or lost.
    Sum(String),
    /// An account has less than nothing.
    Negative(String),
    /// A saga that had ended went on.
    Terminal(String),
    /// A saga did not end in time.
    Open(String),
    /// A saga that was acknowledged is not there.
    Lost(String),
    /// What happened at the participants does not fit how the saga ended.
    Effects(String),
    /// Compensations in another order than backwards.
    Order(String),
    /// Two calls with the same number.
    Attempt(String),
    /// A pivot or a retriable step that was compensated, or a turn behind the pivot.
    Pivot(String),
}

/// Looks at the end of a run.
pub(super) fn check(
    bank: &Bank,
    first: i64,
    acknowledged: &BTreeSet<SagaId>,
    views: &[View],
    violations: &mut Vec<Violation>,
) {
    if bank.sum() != first {
        violations.push(Violation::Sum(format!("{} instead of {first}", bank.sum())));
    }
    let there: BTreeSet<_> = views.iter().map(|view| &view.id).collect();
    for id in acknowledged.iter().filter(|id| !there.contains(id)) {
        violations.push(Violation::Lost(id.to_string()));
    }
    for view in views {
        if !matches!(view.status, Status::Completed | Status::Compensated) {
            violations.push(Violation::Open(format!("{} is {}: {}", view.id, view.status, view.reason)));
        }
        effects(bank, view, violations);
        order(view, violations);
        pivot(view, violations);
    }
}

fn effects(bank: &Bank, view: &View, violations: &mut Vec<Violation>) {
    for step in &view.steps {
        let of = |op| bank.effects_of(view.id.as_str(), &step.name, op);
        let (done, undone) = (of(Op::Execute), of(Op::Compensate));
        let right = match (view.status, step.kind) {
            (Status::Completed, _) => (done, undone) == (1, 0),
            (Status::Compensated, Kind::Compensable) => done == undone && done <= 1,
            (Status::Compensated, _) => (done, undone) == (0, 0),
            _ => true,
        };
        if !right {
            let what = format!("{} of {}: done {done}, undone {undone} times", step.name, view.id);
            violations.push(Violation::Effects(format!("{what}, and it is {}", view.status)));
        }
    }
}

/// When a step is being undone, all that come behind it and are not beside it are undone or never happened.
fn order(view: &View, violations: &mut Vec<Violation>) {
    let number = |name: &Option<String>| view.steps.iter().position(|step| Some(&step.name) == name.as_ref());
    let mut undone: Vec<usize> = Vec::new();
    for entry in view.timeline.iter().filter(|entry| entry.op == Some(Op::Compensate)) {
        let Some(at) = number(&entry.step) else { continue };
        if entry.what == What::Done {
            undone.push(at);
        }
        let later_open = (at + 1..view.steps.len()).any(|later| {
            let step = &view.steps[later];
            let happened = step.execute.attempts > 0 && step.execute.phase != Phase::Rejected;
            // `debit2` may be beside `debit`; then their calls have intents of the same transition.
            let beside = view.timeline.iter().any(|other| {
                other.what == What::Sent
                    && other.op == Some(Op::Compensate)
                    && number(&other.step) == Some(later)
                    && view.timeline.iter().any(|entry| {
                        entry.what == What::Sent
                            && entry.op == Some(Op::Compensate)
                            && number(&entry.step) == Some(at)
                            && entry.seq == other.seq
                    })
            });
            step.kind == Kind::Compensable && happened && !beside && !undone.contains(&later)
        });
        if later_open {
            violations.push(Violation::Order(format!("{}: {:?} at {}", view.id, entry.step, entry.seq)));
        }
    }
}

fn pivot(view: &View, violations: &mut Vec<Violation>) {
    let mut sent = false;
    for entry in &view.timeline {
        let step = view.steps.iter().find(|step| Some(&step.name) == entry.step.as_ref());
        let decides = step.is_some_and(|step| step.kind != Kind::Compensable);
        match entry.what {
            What::Sent if decides && entry.op == Some(Op::Compensate) => {
                violations.push(Violation::Pivot(format!("{}: {:?} is compensated", view.id, entry.step)));
            }
            What::Sent if decides => sent = true,
            What::Withdrawn | What::Rejected if decides => sent = false,
            What::Turned if sent => {
                violations.push(Violation::Pivot(format!("{} turned behind its pivot", view.id)));
            }
            _ => {}
        }
    }
}
