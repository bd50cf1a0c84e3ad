//! One participant, called directly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Duration;

use aqueduct_runtime::task;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::error::OpenError;

const KEPT: Duration = Duration::from_hours(1);

fn open(folder: &TempDir) -> Ledger {
    Ledger::open(&folder.path().join("a"), Side::A, KEPT).unwrap()
}

/// The n-th account of this side.
fn account(side: Side, n: usize) -> i64 {
    (1..).filter(|id| Side::of(*id) == side).nth(n).unwrap()
}

fn debit(transfer: &str, cents: i64) -> Move {
    let (from, to) = (account(Side::A, 0), account(Side::B, 0));
    Move { transfer: transfer.into(), step: Step::Debit, undo: false, from, to, cents }
}

fn undo(transfer: &str, cents: i64) -> Move {
    Move { undo: true, ..debit(transfer, cents) }
}

fn settle(transfer: &str, cents: i64) -> Move {
    Move { step: Step::Settle, ..debit(transfer, cents) }
}

/// Balance and what is held of the first account.
fn amounts(ledger: &Ledger) -> (i64, i64) {
    let account = ledger.account(account(Side::A, 0)).unwrap().unwrap();
    (account.balance_cents, account.held_cents)
}

async fn with(folder: &TempDir, cents: i64) -> Ledger {
    let ledger = open(folder);
    ledger.open_account(account(Side::A, 0), cents).await.unwrap();
    ledger
}

fn rejected(made: &Result<(), Refused>, part: &str) {
    assert!(matches!(made, Err(Refused::Rejected(why)) if why.contains(part)), "{made:?}");
}

#[test]
fn both_sides_have_their_share_and_an_account_never_changes_its_own() {
    let of_a = (1..=1_000).filter(|id| Side::of(*id) == Side::A).count();
    assert!((400..600).contains(&of_a), "{of_a} of 1000");
    // Where data lives depends on these.
    let first: Vec<_> = (1..=16).map(|id| Side::of(id).as_str()).collect();
    assert_eq!(first.concat(), GOLDEN);
}

/// The sides of the accounts 1 to 16.
const GOLDEN: &str = "ababbbabbaaabaab";

#[tokio::test]
async fn a_step_is_made_once_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = with(&folder, 100).await;
    for _ in 0..3 {
        assert_eq!(ledger.make(debit("t", 30)).await, Ok(()));
        assert_eq!(amounts(&ledger), (70, 30));
    }
    drop(ledger);
    let ledger = open(&folder);
    assert_eq!(ledger.make(debit("t", 30)).await, Ok(()));
    assert_eq!(amounts(&ledger), (70, 30));
    for _ in 0..2 {
        assert_eq!(ledger.make(settle("t", 30)).await, Ok(()));
        assert_eq!(amounts(&ledger), (70, 0));
    }
}

#[tokio::test]
async fn what_was_undone_stays_undone() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = with(&folder, 100).await;
    ledger.make(debit("t", 30)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(ledger.make(undo("t", 30)).await, Ok(()));
        assert_eq!(amounts(&ledger), (100, 0));
    }
    assert_eq!(ledger.make(debit("t", 30)).await, Err(Refused::Aborted));
    // What is undone before it arrives must not arrive.
    assert_eq!(ledger.make(undo("late", 30)).await, Ok(()));
    assert_eq!(ledger.make(debit("late", 30)).await, Err(Refused::Aborted));
    assert_eq!(amounts(&ledger), (100, 0));
}

#[tokio::test]
async fn a_refusal_is_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = with(&folder, 100).await;
    rejected(&ledger.make(debit("much", 101)).await, "insufficient funds");
    let (from, to) = (account(Side::B, 0), account(Side::A, 0));
    let credit = |cents| Move { transfer: "in".into(), step: Step::Credit, undo: false, from, to, cents };
    ledger.make(credit(50)).await.unwrap();
    rejected(&ledger.make(debit("much", 101)).await, "insufficient funds");
    // Nothing to undo, and it does not count as something.
    assert_eq!(ledger.make(undo("much", 101)).await, Ok(()));
    assert_eq!(amounts(&ledger), (150, 0));
    let nobody = Move { from: account(Side::A, 9), ..debit("nobody", 1) };
    rejected(&ledger.make(nobody).await, "there is no account");
}

#[tokio::test]
async fn an_id_that_is_used_anew_for_something_else_moves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = with(&folder, 100).await;
    ledger.make(debit("t", 30)).await.unwrap();
    ledger.make(settle("t", 30)).await.unwrap();
    rejected(&ledger.make(debit("t", 31)).await, "an earlier transfer had this id");
    let elsewhere = Move { to: account(Side::B, 1), ..debit("t", 30) };
    rejected(&ledger.make(elsewhere).await, "an earlier transfer had this id");
    assert_eq!(amounts(&ledger), (70, 0));
}

#[tokio::test]
async fn an_account_is_opened_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = with(&folder, 100).await;
    ledger.make(debit("t", 30)).await.unwrap();
    let id = account(Side::A, 0);
    // As it is now: the opening is what was asked for.
    match ledger.open_account(id, 100).await.unwrap() {
        Opened::Is(account) => assert_eq!((account.balance_cents, account.version), (70, 2)),
        Opened::Other => panic!("it is the same"),
    }
    assert_eq!(ledger.open_account(id, 70).await, Ok(Opened::Other));
    let other = ledger.open_account(account(Side::B, 0), 1).await;
    assert!(matches!(&other, Err(Refused::Unknown(why)) if why.contains("check the addresses")), "{other:?}");
}

#[tokio::test]
async fn the_folder_of_the_other_participant_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let error = Ledger::open(&folder.path().join("a"), Side::B, KEPT).unwrap_err();
    assert!(matches!(error, OpenError::Format { .. }), "{error}");
    assert!(error.to_string().contains("aqueduct-accounts 1 b"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_debits_at_once_as_many_succeed_as_there_is_money_for() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = with(&folder, 100).await;
    let mut debits = JoinSet::new();
    for at in 0..64 {
        let ledger = ledger.clone();
        debits.spawn(async move { ledger.make(debit(&format!("t-{at}"), 10)).await });
    }
    let made = debits.join_all().await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 10);
    assert_eq!(amounts(&ledger), (0, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_before_it_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (reached, at_gate) = mpsc::channel();
    let (gate, opened) = mpsc::channel::<()>();
    let sync = Box::new(move |batch: fjall::OwnedWriteBatch| {
        reached.send(()).unwrap();
        opened.recv().unwrap();
        Ok(batch.commit()?)
    });
    let ledger = Ledger::open_with(&folder.path().join("a"), (Side::A, KEPT), sync).unwrap();
    let opening = {
        let ledger = ledger.clone();
        task::spawn("opening", async move { ledger.open_account(account(Side::A, 0), 1).await })
    };
    let at_gate = tokio::task::spawn_blocking(move || {
        at_gate.recv().unwrap();
        at_gate
    });
    let at_gate = at_gate.await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!opening.is_finished(), "answered before the commit");
    assert_eq!(ledger.account(account(Side::A, 0)), Ok(None), "shown before the commit");
    gate.send(()).unwrap();
    assert!(matches!(opening.await.unwrap(), Ok(Opened::Is(_))));
    drop((gate, at_gate));
}

#[tokio::test]
async fn a_disk_that_fails_is_told_and_nothing_more_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&broken);
    let sync = Box::new(move |batch: fjall::OwnedWriteBatch| {
        if switch.load(Relaxed) {
            return Err("no space left on device".into());
        }
        Ok(batch.commit()?)
    });
    let ledger = Ledger::open_with(&folder.path().join("a"), (Side::A, KEPT), sync).unwrap();
    ledger.open_account(account(Side::A, 0), 100).await.unwrap();
    broken.store(true, Relaxed);
    for _ in 0..2 {
        let made = ledger.make(debit("t", 30)).await;
        assert!(matches!(&made, Err(Refused::Unknown(_))), "{made:?}");
    }
    assert_eq!(ledger.failed().await, "no space left on device");
    drop(ledger);
    let ledger = open(&folder);
    assert_eq!(amounts(&ledger), (100, 0));
}
