//! The barrier in a transaction of MariaDB.

use aqueduct_saga::Op;
use aqueduct_saga::barrier::{Answer, Key};

use super::bank::{Bank, Site, in_time};

struct Debit {
    site: Site,
    bank: Bank,
}

impl Debit {
    fn start(name: &str) -> Self {
        let site = Site::start(name);
        site.accounts(&[100]);
        let bank = Bank::new(site.pool("bank"), 0);
        Self { site, bank }
    }

    /// Takes cents from the account, or puts them back.
    async fn call(&self, saga: &str, op: Op, cents: i64) -> Answer {
        let cents = if op == Op::Execute { -cents } else { cents };
        in_time(self.bank.call(Key { saga, step: "debit", op }, 0, cents)).await.unwrap()
    }

    fn balance(&self) -> i64 {
        self.site.sum()
    }
}

fn rejected() -> Answer {
    Answer::Rejected("not enough".into())
}

#[tokio::test]
async fn operations_take_effect_once_failures_are_recorded_and_late_actions_aborted() {
    let debit = Debit::start("saga-barrier");
    let (execute, compensate) = (Op::Execute, Op::Compensate);
    let calls = [
        ("a", execute, Answer::Done("70".into()), 70),
        ("a", execute, Answer::Done("70".into()), 70),
        ("a", compensate, Answer::Done("100".into()), 100),
        ("a", compensate, Answer::Done("".into()), 100),
        ("a", execute, Answer::Aborted, 100),
        ("b", compensate, Answer::Done("".into()), 100),
        ("b", execute, Answer::Aborted, 100),
    ];
    for (saga, op, expect, balance) in calls {
        assert_eq!(debit.call(saga, op, 30).await, expect, "{op} of {saga}");
        assert_eq!(debit.balance(), balance);
    }
    assert_eq!(debit.call("c", execute, 300).await, rejected());
    debit.site.database.sql("UPDATE bank.accounts SET cents = 1000").unwrap();
    assert_eq!(debit.call("c", execute, 300).await, rejected(), "the first answer stands");
    assert_eq!(debit.call("c", compensate, 300).await, Answer::Done("".into()));
    assert_eq!(debit.balance(), 1000);
}

/// Copies of one call, and its compensation, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_that_come_at_once_take_effect_once() {
    let debit = std::sync::Arc::new(Debit::start("saga-barrier-race"));
    for round in 0..10 {
        let mut calls = Vec::new();
        for copy in 0..6 {
            let debit = std::sync::Arc::clone(&debit);
            let op = if copy == 5 { Op::Compensate } else { Op::Execute };
            calls.push(aqueduct_runtime::task::spawn("saga-call", async move {
                let key = format!("r{round}");
                // A deadlock is an error; the call comes again.
                loop {
                    let cents = if op == Op::Execute { -10 } else { 10 };
                    if let Ok(answer) = debit.bank.call(Key { saga: &key, step: "debit", op }, 0, cents).await
                    {
                        return answer;
                    }
                }
            }));
        }
        for call in calls {
            in_time(call).await.unwrap();
        }
        assert_eq!(debit.balance(), 100, "round {round}: done and undone, or neither");
    }
}
