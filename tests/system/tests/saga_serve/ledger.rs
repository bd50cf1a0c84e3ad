//! The participants' books: accounts behind a barrier, all of a call in one step under one lock, as it would be in one transaction.
//! They outlive the coordinator, since the test's process does. And a spender, who takes what arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde_json::Value;

use crate::calls::{Call, Op};
use crate::world;

/// What an account that lends has at first.
pub(crate) const FIRST: i64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Ok,
    Failed,
    Void,
}

/// Saga, step, operation.
type Key = (String, String, Op);

#[derive(Debug, Default)]
struct Books {
    balances: BTreeMap<String, i64>,
    spent: i64,
    rows: BTreeMap<Key, Row>,
    effects: BTreeMap<Key, u32>,
    /// What is refused in front of the barrier until somebody mends it.
    mended: BTreeSet<String>,
    /// Balances that would have been negative.
    wrong: Vec<String>,
}

/// Books, and the lock that makes a call one transaction.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

impl Ledger {
    pub(crate) fn new(accounts: &[&str]) -> Self {
        let balances = accounts.iter().map(|name| ((*name).to_owned(), FIRST)).collect();
        Self(Mutex::new(Books { balances, ..Books::default() }))
    }

    /// A toll that refused lets this saga pass from now on.
    pub(crate) fn mend(&self, saga: &str) {
        self.0.lock().unwrap().mended.insert(saga.to_owned());
    }

    /// How often an operation took effect.
    pub(crate) fn effects(&self, saga: &str, step: &str, op: Op) -> u32 {
        let key = (saga.to_owned(), step.to_owned(), op);
        self.0.lock().unwrap().effects.get(&key).copied().unwrap_or_default()
    }

    pub(crate) fn sum(&self) -> i64 {
        let books = self.0.lock().unwrap();
        books.balances.values().sum::<i64>() + books.spent
    }

    pub(crate) fn balance(&self, account: &str) -> i64 {
        self.0.lock().unwrap().balances.get(account).copied().unwrap_or_default()
    }

    /// Balances that were negative at any time.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.0.lock().unwrap().wrong.clone()
    }
}

impl world::Books for Ledger {
    fn apply(&self, call: &Call) -> Option<(u16, String)> {
        let mut books = self.0.lock().unwrap();
        let wish = Wish::of(call);
        if wish.what == "toll" && !books.mended.contains(&call.saga) {
            return Some((409, "the barrier is down".to_owned()));
        }
        Some(books.guarded(call, &wish))
    }
}

/// What a payload asks for.
struct Wish {
    what: String,
    account: String,
    cents: i64,
}

impl Wish {
    fn of(call: &Call) -> Self {
        // What follows is there to be carried, and more than a double can hold.
        let text = str::from_utf8(&call.payload).unwrap();
        let (asked, _) = text.split_once(",\"exact\"").unwrap();
        let json: Value = serde_json::from_str(&format!("{asked}}}")).unwrap();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Self { what: text("do"), account: text("account"), cents: json["cents"].as_i64().unwrap_or(0) }
    }
}

impl Books {
    fn guarded(&mut self, call: &Call, wish: &Wish) -> (u16, String) {
        let key = |op| (call.saga.clone(), call.step.clone(), op);
        let (execute, compensate) = (key(Op::Execute), key(Op::Compensate));
        let (executed, compensated) = (self.rows.get(&execute).copied(), self.rows.get(&compensate).copied());
        match call.op {
            Op::Execute if compensated.is_some() || executed == Some(Row::Void) => {
                (409, "aborted: it was compensated".to_owned())
            }
            Op::Execute => match executed {
                Some(Row::Failed) => (409, "refused before".to_owned()),
                Some(_) => (200, "{}".to_owned()),
                None => match self.business(call, wish) {
                    Ok(()) => {
                        self.rows.insert(execute, Row::Ok);
                        (200, format!("{{\"step\":\"{}\"}}", call.step))
                    }
                    Err(why) => {
                        self.rows.insert(execute, Row::Failed);
                        (409, why)
                    }
                },
            },
            Op::Compensate => {
                if compensated.is_none() {
                    match executed {
                        Some(Row::Ok) => self.business(call, wish).unwrap(),
                        Some(_) => {}
                        None => _ = self.rows.insert(execute, Row::Void),
                    }
                    self.rows.insert(compensate, Row::Ok);
                }
                (200, "{}".to_owned())
            }
        }
    }

    fn business(&mut self, call: &Call, wish: &Wish) -> Result<(), String> {
        let cents = match wish.what.as_str() {
            "debit" => -wish.cents,
            "credit" => wish.cents,
            _ => 0,
        };
        if cents != 0 {
            let change = if call.op == Op::Execute { cents } else { -cents };
            let balance = self.balances.get_mut(&wish.account).ok_or("no such account")?;
            if *balance + change < 0 {
                if call.op == Op::Compensate {
                    self.wrong.push(format!("{} would have less than nothing after {call:?}", wish.account));
                }
                return Err("not enough".to_owned());
            }
            *balance += change;
            if wish.account.starts_with("spender") {
                self.spent += std::mem::take(balance);
            }
        }
        *self.effects.entry((call.saga.clone(), call.step.clone(), call.op)).or_default() += 1;
        Ok(())
    }
}
