//! The participants: accounts behind a barrier, and a spender who takes what arrives.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use bytes::Bytes;

use super::Mutation;
use super::check::Violation;
use crate::{Call, Op, Outcome};

/// What each account has at first.
pub(super) const FIRST: i64 = 100;
pub(super) const ACCOUNTS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Ok,
    Failed,
    Void,
}

/// Of which saga, step and operation.
type Key = (String, String, Op);

/// Accounts, and everything that happened to them.
#[derive(Debug, Default)]
pub(super) struct Bank {
    pub(super) balances: RefCell<Vec<i64>>,
    /// What the spender took away.
    pub(super) spent: Cell<i64>,
    rows: RefCell<BTreeMap<Key, Row>>,
    /// How often a step and operation took effect.
    pub(super) effects: RefCell<BTreeMap<Key, u32>>,
    pub(super) violations: RefCell<Vec<Violation>>,
    pub(super) mutation: Option<Mutation>,
}

/// What a call wants: `account:amount`, which is added.
fn wanted(call: &Call) -> (usize, i64) {
    let text = std::str::from_utf8(&call.payload).unwrap();
    let (account, amount) = text.split_once(':').unwrap();
    (account.parse().unwrap(), amount.parse().unwrap())
}

impl Bank {
    pub(super) fn new(mutation: Option<Mutation>) -> Self {
        Self { balances: RefCell::new(vec![FIRST; ACCOUNTS]), mutation, ..Self::default() }
    }

    /// A call arrives; all of this is one transaction.
    pub(super) fn handle(&self, call: &Call) -> Outcome {
        if self.mutation == Some(Mutation::WithoutBarrier) {
            return self.business(call).map_or_else(rejected, |()| done());
        }
        let key = |op| (call.saga.to_string(), call.step.clone(), op);
        let (execute, compensate) = (key(Op::Execute), key(Op::Compensate));
        let row = |key| self.rows.borrow().get(key).copied();
        match call.op {
            Op::Execute => match (row(&execute), row(&compensate)) {
                (_, Some(_)) | (Some(Row::Void), _) => {
                    Outcome::Rejected("aborted: it was compensated".into())
                }
                (Some(Row::Ok), None) => done(),
                (Some(Row::Failed), None) => rejected(()),
                (None, None) => {
                    let outcome = self.business(call).map_or_else(rejected, |()| done());
                    let row = if outcome == done() { Row::Ok } else { Row::Failed };
                    if row == Row::Ok || self.mutation != Some(Mutation::ForgetFailure) {
                        self.rows.borrow_mut().insert(execute, row);
                    }
                    outcome
                }
            },
            Op::Compensate => {
                if row(&compensate).is_some() {
                    return done();
                }
                match row(&execute) {
                    Some(Row::Ok) => self.business(call).expect("a compensation can always be made"),
                    Some(Row::Failed | Row::Void) => {}
                    None => _ = self.rows.borrow_mut().insert(execute, Row::Void),
                }
                self.rows.borrow_mut().insert(compensate, Row::Ok);
                done()
            }
        }
    }

    fn business(&self, call: &Call) -> Result<(), ()> {
        let (account, amount) = wanted(call);
        let amount = if call.op == Op::Compensate { -amount } else { amount };
        let mut balances = self.balances.borrow_mut();
        let balance = balances[account] + amount;
        if balance < 0 {
            if call.op == Op::Execute {
                return Err(());
            }
            let what = format!("account {account} has {balance} after {} of {}", call.op, call.saga);
            self.violations.borrow_mut().push(Violation::Negative(what));
        }
        balances[account] = balance;
        let key = (call.saga.to_string(), call.step.clone(), call.op);
        *self.effects.borrow_mut().entry(key).or_default() += 1;
        Ok(())
    }

    /// Takes away what is in an account.
    pub(super) fn spend(&self, account: usize) {
        let mut balances = self.balances.borrow_mut();
        let took = balances[account].max(0);
        balances[account] -= took;
        self.spent.set(self.spent.get() + took);
    }

    pub(super) fn sum(&self) -> i64 {
        self.balances.borrow().iter().sum::<i64>() + self.spent.get()
    }

    pub(super) fn effects_of(&self, saga: &str, step: &str, op: Op) -> u32 {
        let key = (saga.to_owned(), step.to_owned(), op);
        self.effects.borrow().get(&key).copied().unwrap_or_default()
    }
}

fn done() -> Outcome {
    Outcome::Done(Bytes::new())
}

fn rejected((): ()) -> Outcome {
    Outcome::Rejected("not enough".into())
}
