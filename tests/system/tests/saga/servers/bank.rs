//! Accounts in a database, behind a barrier, and the executor that moves money between them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aqueduct_kit::Scratch;
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::process::within;
use aqueduct_runtime::task;
use aqueduct_saga::barrier::{Answer, Failure, Key, mysql as barrier};
use aqueduct_saga::mysql::Mysql;
use aqueduct_saga::{
    Call, Coordinator, Definition, Executor, Kind, Op, Options, Outcome, Plan, PlanStep, SagaId, Submit,
};
use bytes::Bytes;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Pool, TxOpts};

pub(super) struct Site {
    pub(super) database: MariaDb,
    _scratch: Scratch,
}

impl Site {
    pub(super) fn start(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let database = MariaDb::start(&scratch).unwrap();
        database.sql("CREATE DATABASE sagas; CREATE DATABASE bank").unwrap();
        database.sql("CREATE TABLE bank.accounts (id INT PRIMARY KEY, cents BIGINT NOT NULL)").unwrap();
        database.sql(&format!("USE bank; {}", barrier::TABLE)).unwrap();
        Self { database, _scratch: scratch }
    }

    pub(super) fn pool(&self, database: &str) -> Pool {
        Pool::new(self.database.url(database).as_str())
    }

    /// One more coordinator, with a connection of its own.
    pub(super) async fn coordinator(&self, lease: Duration) -> Coordinator<Mysql> {
        let (store, writing) = Mysql::open(self.pool("sagas")).await.unwrap();
        drop(task::spawn("saga-writing", writing.run()));
        Coordinator::open(store, Options { lease, poll: Duration::from_millis(50), ..Options::default() })
            .unwrap()
    }

    pub(super) fn accounts(&self, balances: &[i64]) {
        for (id, cents) in balances.iter().enumerate() {
            self.database.sql(&format!("INSERT INTO bank.accounts VALUES ({id}, {cents})")).unwrap();
        }
    }

    pub(super) fn sum(&self) -> i64 {
        self.database.sql("SELECT SUM(cents) FROM bank.accounts").unwrap().parse().unwrap()
    }
}

/// Moves money in the database `bank`.
#[derive(Clone)]
pub(super) struct Bank {
    pub(super) pool: Pool,
    /// Of so many calls one is not answered, though it was made.
    pub(super) lose: u64,
    pub(super) calls: Arc<AtomicU64>,
}

impl Bank {
    pub(super) fn new(pool: Pool, lose: u64) -> Self {
        Self { pool, lose, calls: Arc::default() }
    }

    pub(super) async fn call(
        &self,
        key: Key<'_>,
        account: u32,
        cents: i64,
    ) -> Result<Answer, mysql_async::Error> {
        let mut work = self.pool.start_transaction(TxOpts::default()).await?;
        let answer = barrier::run::<mysql_async::Error>(&mut work, key, async |work| {
            let sql = "UPDATE accounts SET cents = cents + ? WHERE id = ?";
            work.exec_drop(sql, (cents, account)).await?;
            let sql = "SELECT cents FROM accounts WHERE id = ?";
            match work.exec_first::<i64, _, _>(sql, (account,)).await? {
                Some(cents) if cents >= 0 => Ok(Bytes::from(cents.to_string())),
                Some(_) => Err(Failure::Rejected("not enough".into())),
                None => Err(Failure::Rejected("no such account".into())),
            }
        });
        let answer = answer.await?;
        work.commit().await?;
        Ok(answer)
    }
}

impl Executor for Bank {
    async fn send(&self, call: Call) -> Outcome {
        let text = std::str::from_utf8(&call.payload).unwrap();
        let (account, cents) = text.split_once(':').unwrap();
        let (account, cents): (u32, i64) = (account.parse().unwrap(), cents.parse().unwrap());
        let cents = if call.op == Op::Compensate { -cents } else { cents };
        let answer = self.call(call.key(), account, cents).await;
        if self.lose > 0 && self.calls.fetch_add(1, Relaxed).is_multiple_of(self.lose) {
            return Outcome::Unknown("lost".into());
        }
        match answer {
            Ok(Answer::Done(output)) => Outcome::Done(output),
            Ok(Answer::Rejected(why)) => Outcome::Rejected(why),
            Ok(Answer::Aborted) => Outcome::Rejected("aborted".into()),
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }
}

pub(super) fn transfer(id: &str, from: u32, to: u32, cents: i64) -> Submit {
    let steps = vec![
        PlanStep::new("debit", Kind::Compensable, "", format!("{from}:-{cents}")),
        PlanStep::new("credit", Kind::Pivot, "", format!("{to}:{cents}")),
    ];
    let plan = Plan { definition: Definition::Dynamic, steps, fingerprint: [1; 32] };
    Submit { id: SagaId::new(id).unwrap(), plan, deadline: None, context: Vec::new() }
}

/// Waits for something within a minute.
pub(super) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(within(60), what).await.expect("in time")
}
