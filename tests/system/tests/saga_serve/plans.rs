//! What is submitted: transfers in all the shapes that a saga can have, and some that must fail.

use std::time::Duration;

use aqueduct_sim::random::Random;

use crate::ledger::FIRST;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Compensable,
    Pivot,
    Retriable,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) url: String,
    /// JSON, byte for byte.
    pub(crate) payload: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) id: String,
    pub(crate) deadline: Duration,
    pub(crate) steps: Vec<Step>,
}

impl Step {
    /// `what` is what the ledger is asked for: debit, credit, note, toll.
    pub(crate) fn new(kind: Kind, what: &str, account: &str, cents: i64, url: String) -> Self {
        // Numbers that a double cannot hold, and a form that no writer of JSON would choose.
        let odd = "\"exact\" : 12345678901234567890.10, \"big\":1E+400,\"zero\":-0.0,\"text\":\"\\u00e9\\/\"";
        let payload = format!("{{\"do\":\"{what}\",\"account\":\"{account}\",\"cents\":{cents},{odd}}}");
        Self { name: what.to_owned(), kind, url, payload }
    }

    fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }
}

impl Plan {
    /// The body of its submission.
    pub(crate) fn body(&self) -> String {
        let step = |step: &Step| {
            let kind = match step.kind {
                Kind::Compensable => "COMPENSABLE",
                Kind::Pivot => "PIVOT",
                Kind::Retriable => "RETRIABLE",
            };
            let Step { name, url, payload, .. } = step;
            format!("{{\"name\":\"{name}\",\"kind\":\"{kind}\",\"url\":\"{url}\",\"payload\":{payload}}}")
        };
        let steps: Vec<String> = self.steps.iter().map(step).collect();
        let (id, deadline) = (&self.id, self.deadline.as_millis());
        format!("{{\"sagaId\":\"{id}\",\"deadlineMs\":{deadline},\"steps\":[{}]}}", steps.join(","))
    }

    /// Any. `urls` are those of participants.
    pub(crate) fn draw(id: String, random: &Random, urls: &[String]) -> Self {
        use Kind::{Compensable, Pivot, Retriable};
        let cents = i64::try_from(random.range(1..400)).unwrap();
        let account = |prefix: &str| format!("{prefix}{}", random.range(0..3));
        let step = |kind, what: &str, account: &str, cents| {
            Step::new(kind, what, account, cents, format!("{}/{what}", random.pick(urls)))
        };
        let debit = || step(Compensable, "debit", &account("lender"), cents);
        let note = || step(Retriable, "note", "", 0);
        let credit = |kind, cents| {
            let whom = if random.percent(50) { "lender" } else { "spender" };
            step(kind, "credit", &account(whom), cents)
        };
        let too_much = || step(Compensable, "debit", "lender0", FIRST * 100);
        let steps = match random.range(0..10) {
            0..3 => vec![debit(), credit(Pivot, cents), note()],
            3 => vec![debit(), debit().named("debit-2"), credit(Pivot, 2 * cents)],
            4 => vec![
                step(Compensable, "grant", "", 0),
                debit(),
                credit(Pivot, cents),
                note(),
                note().named("note-2"),
            ],
            5 => vec![debit(), credit(Retriable, cents)],
            6 => vec![
                step(Compensable, "grant", "", 0),
                debit(),
                step(Pivot, "credit", "nobody", cents),
                note(),
            ],
            7 => vec![too_much(), credit(Pivot, cents)],
            8 => vec![step(Compensable, "grant", "", 0), debit().named("debit-1"), too_much()],
            _ => vec![debit(), credit(Pivot, cents), step(Retriable, "toll", "", 0)],
        };
        let deadline = if random.percent(40) { random.millis(150..1200) } else { Duration::from_mins(1) };
        Self { id, deadline, steps }
    }
}
