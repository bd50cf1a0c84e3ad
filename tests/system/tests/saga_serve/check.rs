//! The invariants: from what was submitted, what arrived at participants and how it ended to what is wrong with it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::calls::{Arrived, Op};
use crate::ledger::Ledger;
use crate::plans::{Kind, Plan};

/// From the decision to send a pivot to its arrival, on a machine that does much else: a decision later than that is wrong.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// A saga, from outside.
pub(crate) struct Story<'a> {
    pub(crate) plan: &'a Plan,
    /// When it was submitted first.
    pub(crate) submitted: Instant,
    /// When that was answered.
    pub(crate) acknowledged: Option<Instant>,
    pub(crate) calls: &'a [Arrived],
    /// As `GET` shows it in the end.
    pub(crate) end: &'a Value,
}

impl Story<'_> {
    /// All that is wrong with it. Books of other processes are looked at by whoever has started them.
    pub(crate) fn violations(&self, ledger: Option<&Ledger>) -> Vec<String> {
        let mut wrong = Vec::new();
        self.calls_as_said(&mut wrong);
        self.forward(&mut wrong);
        self.backward(&mut wrong);
        match self.end["status"].as_str() {
            Some("COMPLETED") => self.completed(ledger, &mut wrong),
            Some("COMPENSATED") => self.compensated(ledger, &mut wrong),
            other => wrong.push(format!("it ended as {other:?}")),
        }
        if !wrong.is_empty() {
            wrong.push(self.told());
        }
        wrong
    }

    fn of(&self, step: usize, op: Op) -> impl Iterator<Item = &Arrived> {
        let name = &self.plan.steps[step].name;
        self.calls.iter().filter(move |arrived| arrived.call.op == op && arrived.call.step == *name)
    }

    /// Whether an operation had been answered so when a call arrived.
    fn answered_before(&self, step: usize, op: Op, status: u16, when: Instant) -> bool {
        self.of(step, op).any(|arrived| arrived.answered == Some(status) && arrived.at <= when)
    }

    fn calls_as_said(&self, wrong: &mut Vec<String>) {
        for (at, step) in self.plan.steps.iter().enumerate() {
            for op in [Op::Execute, Op::Compensate] {
                let attempts: Vec<u32> = self.of(at, op).map(|arrived| arrived.call.attempt).collect();
                let rises = attempts.first() != Some(&0) && attempts.is_sorted_by(|one, next| one < next);
                if !rises {
                    wrong.push(format!("attempts to {op:?} {} do not rise: {attempts:?}", step.name));
                }
                if self.of(at, op).any(|arrived| arrived.call.payload != step.payload.as_bytes()) {
                    wrong.push(format!("the payload of {} is not verbatim", step.name));
                }
            }
        }
        let known = |arrived: &Arrived| self.plan.steps.iter().any(|step| step.name == arrived.call.step);
        if !self.calls.iter().all(known) {
            wrong.push("a step that is none was called".to_owned());
        }
    }

    /// Steps are run in order, none after the turn; and no pivot behind the deadline.
    fn forward(&self, wrong: &mut Vec<String>) {
        let turned = self.calls.iter().position(|arrived| arrived.call.op == Op::Compensate);
        let late = |turned: usize| self.calls[turned..].iter().any(|arrived| arrived.call.op == Op::Execute);
        if turned.is_some_and(late) {
            wrong.push("a step was executed after the turn".to_owned());
        }
        for (at, step) in self.plan.steps.iter().enumerate() {
            let Some(first) = self.of(at, Op::Execute).next() else { continue };
            if at > 0 && !self.answered_before(at - 1, Op::Execute, 200, first.at) {
                wrong.push(format!("{} was executed before the step in front of it was done", step.name));
            }
            let before = at.checked_sub(1).and_then(|at| self.plan.steps.get(at));
            let decides =
                step.kind != Kind::Compensable && before.is_none_or(|it| it.kind == Kind::Compensable);
            // What was decided in time may arrive at a later attempt, should the first have been lost with its coordinator.
            let over = self.acknowledged.map(|at| at + self.plan.deadline + ON_ITS_WAY);
            let late = first.call.attempt == 1 && over.is_some_and(|over| first.at > over);
            if decides && (late || self.decided_late(&step.name)) {
                wrong.push(format!("{} was executed behind the deadline", step.name));
            }
        }
    }

    /// By its own account, which it wrote before it sent anything.
    fn decided_late(&self, step: &str) -> bool {
        let sent =
            |entry: &&Value| entry["what"] == "SENT" && entry["op"] == "execute" && entry["step"] == step;
        let first = self.end["timeline"].as_array().and_then(|timeline| timeline.iter().find(sent));
        first.and_then(|sent| sent["at"].as_u64()) > self.end["deadlineAt"].as_u64()
    }

    /// Whatever may have happened is undone, the last first; nothing that cannot be.
    fn backward(&self, wrong: &mut Vec<String>) {
        for (at, step) in self.plan.steps.iter().enumerate() {
            let Some(first) = self.of(at, Op::Compensate).next() else { continue };
            if step.kind != Kind::Compensable {
                wrong.push(format!("{} was compensated", step.name));
            }
            for later in at + 1..self.plan.steps.len() {
                let open = self.may_have_happened(later)
                    && !self.answered_before(later, Op::Compensate, 200, first.at);
                if open && self.plan.steps[later].kind == Kind::Compensable {
                    wrong.push(format!("{} was undone before {}", step.name, self.plan.steps[later].name));
                }
            }
        }
    }

    /// It arrived, and was not refused for good.
    fn may_have_happened(&self, step: usize) -> bool {
        let refused = self.of(step, Op::Execute).any(|arrived| arrived.answered == Some(409));
        self.of(step, Op::Execute).next().is_some() && !refused
    }

    fn completed(&self, ledger: Option<&Ledger>, wrong: &mut Vec<String>) {
        if self.calls.iter().any(|arrived| arrived.call.op == Op::Compensate) {
            wrong.push("it is COMPLETED, and something was compensated".to_owned());
        }
        for (at, step) in self.plan.steps.iter().enumerate() {
            if !self.of(at, Op::Execute).any(|arrived| arrived.answered == Some(200)) {
                wrong.push(format!("it is COMPLETED, and {} never said so", step.name));
            }
            self.effects(&step.name, (1, 0), ledger, wrong);
        }
    }

    fn compensated(&self, ledger: Option<&Ledger>, wrong: &mut Vec<String>) {
        let refused = |at| self.of(at, Op::Execute).any(|arrived| arrived.answered == Some(409));
        for (at, step) in self.plan.steps.iter().enumerate() {
            let called = self.of(at, Op::Execute).next().is_some();
            if step.kind != Kind::Compensable {
                if called && (step.kind == Kind::Retriable || !refused(at)) {
                    wrong.push(format!("it is COMPENSATED, and {} had been sent", step.name));
                }
                self.effects(&step.name, (0, 0), ledger, wrong);
                continue;
            }
            let undone = self.of(at, Op::Compensate).any(|arrived| arrived.answered == Some(200));
            if self.may_have_happened(at) && !undone {
                wrong.push(format!("it is COMPENSATED, and {} was not undone", step.name));
            }
            let done = ledger.map_or(0, |it| it.effects(&self.plan.id, &step.name, Op::Execute)).min(1);
            self.effects(&step.name, (done, done), ledger, wrong);
        }
        let turned = self.calls.iter().find(|arrived| arrived.call.op == Op::Compensate);
        let early = turned.is_some_and(|turned| turned.at < self.submitted + self.plan.deadline);
        if early && !(0..self.plan.steps.len()).any(refused) {
            wrong.push("it turned before its deadline, and nothing was refused".to_owned());
        }
    }

    fn effects(&self, step: &str, wanted: (u32, u32), ledger: Option<&Ledger>, wrong: &mut Vec<String>) {
        let Some(ledger) = ledger else { return };
        let of = |op| ledger.effects(&self.plan.id, step, op);
        let are = (of(Op::Execute), of(Op::Compensate));
        if are != wanted {
            wrong.push(format!("{step} was done and undone {are:?} times, not {wanted:?}"));
        }
    }

    /// All that happened, for whoever has to find out.
    fn told(&self) -> String {
        let mut text = format!("{}, deadline {:?}:\n", self.plan.id, self.plan.deadline);
        for Arrived { at, call, answered } in self.calls {
            let after = at.duration_since(self.submitted);
            writeln!(text, "  {after:?} {call:?}: {answered:?}").unwrap();
        }
        format!("{text}{:#}", self.end)
    }
}
