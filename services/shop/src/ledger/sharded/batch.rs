//! What a batch does to the accounts that are locked for it: decided in memory, call by call, then written at once.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use aqueduct_saga::barrier::Failure;
use aqueduct_saga::barrier::batch::Batch;

use super::sql;
use crate::ledger::request::{Done, Request, judged, opened};
use crate::ledger::row::Row;
use crate::ledger::{Move, Opened};

/// The accounts of a batch, as they are at this point of it.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    now: BTreeMap<i64, Row>,
    /// There, but not ours to change.
    locked: BTreeSet<i64>,
    created: BTreeSet<i64>,
    changed: BTreeSet<i64>,
}

impl Accounts {
    pub(super) fn new(found: BTreeMap<i64, Row>, locked: BTreeSet<i64>) -> Self {
        Self { now: found, locked, ..Self::default() }
    }

    /// Makes one request, given the barrier's rows.
    pub(super) fn make(&mut self, barrier: &mut Batch, request: &Request) -> Done {
        let id = request.account();
        if self.locked.contains(&id) {
            return request.unknown(&format!("somebody else has account {id} locked"));
        }
        match request {
            Request::Open { cents, .. } => Done::Open(Ok(self.open(id, *cents))),
            Request::Move(step, _) => Done::Move(self.step(barrier, step)),
        }
    }

    fn open(&mut self, id: i64, cents: i64) -> Opened<Row> {
        let (opened, new) = opened(self.now.get(&id).copied(), cents);
        if let (Opened::Is(row), true) = (&opened, new) {
            self.now.insert(id, *row);
            self.created.insert(id);
        }
        opened
    }

    fn step(&mut self, barrier: &mut Batch, step: &Move) -> Result<(), crate::ledger::Refused> {
        let id = step.account();
        let Ok(answer) = barrier.run::<Infallible>(step.key(), || {
            let after = step.after(self.now.get(&id).copied()).map_err(Failure::Rejected)?;
            self.now.insert(id, after);
            self.changed.insert(id);
            Ok(step.content())
        });
        judged(step, answer)
    }

    /// What is to be written, the barrier's rows first.
    pub(super) fn writes(&self, barrier: &Batch) -> Vec<String> {
        let rows = |wanted: &dyn Fn(&i64) -> bool| {
            let rows = self.now.iter().filter(|(id, _)| wanted(id));
            rows.map(|(id, row)| (*id, *row)).collect::<BTreeMap<_, _>>()
        };
        let created = rows(&|id| self.created.contains(id));
        let changed = rows(&|id| self.changed.contains(id) && !self.created.contains(id));
        barrier.insert().into_iter().chain(sql::create(&created)).chain(sql::change(&changed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::ledger::{Refused, Step};

    fn open(id: i64, cents: i64) -> Request {
        Request::Open { id, cents, reply: oneshot::channel().0 }
    }

    fn step(transfer: &str, step: Step, undo: bool, cents: i64) -> Request {
        let step = Move { transfer: transfer.into(), step, undo, from: 1, to: 2, cents };
        Request::Move(step, oneshot::channel().0)
    }

    fn accounts(found: &[(i64, i64)]) -> Accounts {
        let found = found.iter().map(|(id, balance)| (*id, Row::new(*balance))).collect();
        Accounts::new(found, BTreeSet::from([9]))
    }

    #[test]
    fn later_requests_of_a_batch_see_what_the_earlier_ones_did() {
        let (mut accounts, mut barrier) = (accounts(&[(1, 10)]), Batch::default());
        let mut make = |request: &Request| accounts.make(&mut barrier, request);
        assert!(matches!(make(&open(2, 5)), Done::Open(Ok(Opened::Is(row))) if row.balance == 5));
        assert!(matches!(make(&open(2, 5)), Done::Open(Ok(Opened::Is(_)))));
        assert!(matches!(make(&open(2, 6)), Done::Open(Ok(Opened::Other))));
        assert!(matches!(make(&step("a", Step::Debit, false, 7)), Done::Move(Ok(()))));
        assert!(matches!(make(&step("a", Step::Debit, false, 7)), Done::Move(Ok(()))), "once");
        let poor = make(&step("b", Step::Debit, false, 7));
        assert!(matches!(poor, Done::Move(Err(Refused::Rejected(why))) if why.contains("insufficient")));
        assert!(matches!(make(&step("a", Step::Credit, false, 7)), Done::Move(Ok(()))));
        assert!(matches!(make(&step("a", Step::Settle, false, 7)), Done::Move(Ok(()))));
        let writes = accounts.writes(&barrier);
        assert_eq!(writes.len(), 3, "{writes:?}");
        assert!(writes[0].starts_with("INSERT INTO saga_barrier"), "it comes first");
        assert_eq!(writes[0].matches(",'execute',").count(), 4, "{}", writes[0]);
        assert_eq!(
            writes[1],
            "INSERT INTO accounts (id, opening, balance, held, version) VALUES (2,5,12,0,2)"
        );
        assert_eq!(
            writes[2],
            "INSERT INTO accounts (id, opening, balance, held, version) VALUES (1,10,3,0,3) ON DUPLICATE KEY UPDATE \
             balance = VALUES(balance), held = VALUES(held), version = VALUES(version)"
        );
    }

    #[test]
    fn what_others_have_locked_is_unknown_and_leaves_no_trace() {
        let (mut accounts, mut barrier) = (accounts(&[]), Batch::default());
        assert!(matches!(
            accounts.make(&mut barrier, &open(9, 1)),
            Done::Open(Err(Refused::Unknown(why))) if why.contains("account 9")
        ));
        assert!(accounts.writes(&barrier).is_empty());
    }

    #[test]
    fn another_transfer_under_an_old_id_is_not_told_that_its_money_has_moved() {
        let (mut accounts, mut barrier) = (accounts(&[(1, 10)]), Batch::default());
        accounts.make(&mut barrier, &step("a", Step::Debit, false, 7));
        let other = accounts.make(&mut barrier, &step("a", Step::Debit, false, 1));
        assert!(matches!(other, Done::Move(Err(Refused::Rejected(why))) if why.contains("earlier transfer")));
    }
}
