use super::*;

/// An account in a database, behind a barrier.
struct Bank {
    database: Database,
    accounts: Keyspace,
    barrier: Barrier,
    _folder: tempfile::TempDir,
}

impl Bank {
    fn new(balance: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::builder(folder.path()).open().unwrap();
        let accounts = database.keyspace("accounts", KeyspaceCreateOptions::default).unwrap();
        accounts.insert("a", balance.to_be_bytes()).unwrap();
        let barrier = Barrier::open(&database, Clock::from(1000)).unwrap();
        Self { database, accounts, barrier, _folder: folder }
    }

    /// Takes 30 from the account, or puts them back; writes first and looks then, to need the savepoint.
    fn call(&self, work: &mut Work, saga: &str, op: Op) -> Result<Answer, Error> {
        let key = Key { saga, step: "debit", op };
        self.barrier.run(work, key, |work| {
            let amount = if op == Op::Execute { -30 } else { 30 };
            let balance = self.balance(work) + amount;
            work.insert(&self.accounts, b"a", &balance.to_be_bytes());
            if balance < 0 {
                return Err(Failure::Rejected("not enough".into()));
            }
            Ok(Bytes::from(balance.to_string()))
        })
    }

    fn balance(&self, work: &Work) -> i64 {
        i64::from_be_bytes(work.get(&self.accounts, b"a").unwrap().unwrap().try_into().unwrap())
    }

    /// Each call in a transaction of its own, or all in one: it makes no difference.
    fn check(balance: i64, calls: &[(&str, Op, Answer)], after: i64) {
        for together in [false, true] {
            let bank = Self::new(balance);
            let mut work = Work::new();
            for (saga, op, expect) in calls {
                assert_eq!(bank.call(&mut work, saga, *op).unwrap(), *expect, "{op} of {saga}, {together}");
                if !together {
                    std::mem::take(&mut work).commit(&bank.database).unwrap();
                }
            }
            work.commit(&bank.database).unwrap();
            assert_eq!(bank.balance(&Work::new()), after, "together: {together}");
        }
    }
}

fn done(text: &'static str) -> Answer {
    Answer::Done(text.into())
}

fn rejected() -> Answer {
    Answer::Rejected("not enough".into())
}

#[test]
fn each_operation_takes_effect_once_and_is_answered_alike() {
    let (execute, compensate) = (Op::Execute, Op::Compensate);
    let calls = [
        ("s", execute, done("70")),
        ("s", execute, done("70")),
        ("t", execute, done("40")),
        ("s", compensate, done("70")),
        ("s", compensate, done("")),
        ("s", execute, Answer::Aborted),
        ("t", execute, done("40")),
    ];
    Bank::check(100, &calls, 70);
}

#[test]
fn a_failure_is_rolled_back_and_recorded() {
    let calls = [
        ("s", Op::Execute, rejected()),
        ("t", Op::Execute, rejected()),
        ("t", Op::Compensate, done("")),
        ("t", Op::Execute, Answer::Aborted),
    ];
    Bank::check(20, &calls, 20);

    // There is enough by now, and yet the first answer stands.
    let bank = Bank::new(20);
    let mut work = Work::new();
    assert_eq!(bank.call(&mut work, "s", Op::Execute).unwrap(), rejected());
    work.insert(&bank.accounts, b"a", &100_i64.to_be_bytes());
    assert_eq!(bank.call(&mut work, "s", Op::Execute).unwrap(), rejected());
    assert_eq!(bank.balance(&work), 100);
}

#[test]
fn what_comes_after_its_compensation_is_aborted() {
    let calls = [
        ("s", Op::Compensate, done("")),
        ("s", Op::Compensate, done("")),
        ("s", Op::Execute, Answer::Aborted),
    ];
    Bank::check(100, &calls, 100);
}

#[test]
fn an_error_leaves_nothing() {
    let bank = Bank::new(100);
    let mut work = Work::new();
    assert_eq!(bank.call(&mut work, "s", Op::Execute).unwrap(), done("70"));
    for op in [Op::Execute, Op::Compensate] {
        let key = Key { saga: if op == Op::Execute { "t" } else { "s" }, step: "debit", op };
        let error = bank.barrier.run(&mut work, key, |work| {
            work.insert(&bank.accounts, b"a", b"garbage");
            Err(Failure::Error(Error::Damaged("it".into())))
        });
        assert!(error.is_err());
        assert_eq!(bank.balance(&work), 70);
    }
    // A compensation that was refused is asked again, and may succeed.
    let key = Key { saga: "s", step: "debit", op: Op::Compensate };
    let refused = bank.barrier.run::<Error>(&mut work, key, |_| Err(Failure::Rejected("no".into())));
    assert_eq!(refused.unwrap(), Answer::Rejected("no".into()));
    assert_eq!(bank.call(&mut work, "s", Op::Compensate).unwrap(), done("100"));
    assert_eq!(bank.call(&mut work, "t", Op::Execute).unwrap(), done("70"));
}

#[test]
fn damaged_rows_are_errors() {
    let bank = Bank::new(100);
    let mut work = Work::new();
    work.insert(&bank.barrier.rows, b"s\0debit\0execute", b"garbage");
    let error = bank.call(&mut work, "s", Op::Execute).unwrap_err();
    assert_eq!(error.to_string(), "the barrier's row of s debit execute is damaged");
    assert_eq!(bank.balance(&work), 100);
}

#[test]
fn rows_are_forgotten_when_they_are_old() {
    let bank = Bank::new(100);
    let mut work = Work::new();
    bank.call(&mut work, "s", Op::Execute).unwrap();
    bank.call(&mut work, "t", Op::Compensate).unwrap();
    work.commit(&bank.database).unwrap();
    let forget = |before, most| {
        let mut batch = bank.database.batch();
        let forgotten = bank.barrier.forget(&mut batch, before, most).unwrap();
        batch.commit().unwrap();
        forgotten
    };
    assert_eq!(forget(1000, 10), 0);
    assert_eq!(forget(10_000, 2), 2);
    assert_eq!(forget(10_000, 10), 1);
    assert!(bank.barrier.rows.iter().next().is_none());
}
