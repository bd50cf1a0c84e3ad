//! Accounts and transfers, both participants in the shop's process.

use std::collections::HashMap;

use aqueduct_shop::Side;
use aqueduct_shop::proto::shop::transfer::Status;
use aqueduct_shop::proto::shop::{CreateTransferRequest, GetTransferRequest};
use tokio::task::JoinSet;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::kit::{self, Bank, account_of};

/// An account of each participant.
fn pair() -> (i64, i64) {
    (account_of(Side::A, 0), account_of(Side::B, 0))
}

async fn balances(bank: &mut Bank, (one, other): (i64, i64)) -> (i64, i64) {
    let (one, other) = (bank.account(one).await.unwrap(), bank.account(other).await.unwrap());
    assert_eq!((one.held_cents, other.held_cents), (0, 0), "at rest nothing is held");
    (one.balance_cents, other.balance_cents)
}

#[tokio::test]
async fn money_moves_and_the_timeline_tells_how() {
    let shop = kit::start();
    let (mut bank, (from, to)) = (shop.bank().await, pair());
    bank.open(from, 100).await.unwrap();
    bank.open(to, 5).await.unwrap();
    let moved = bank.transfer("t-1", (from, to), 30).await.unwrap();
    assert_eq!((moved.status(), moved.reason.as_str()), (Status::Completed, ""));
    assert_eq!((moved.from, moved.to, moved.amount_cents), (from, to, 30));
    assert!(moved.finished_at.is_some() && moved.created_at.is_some());
    let line = |event: &aqueduct_shop::proto::shop::TransferEvent| format!("{} {}", event.what, event.step);
    let timeline: Vec<_> = moved.timeline.iter().map(line).collect();
    let expect = [
        "CREATED ",
        "SENT debit",
        "DONE debit",
        "SENT credit",
        "DONE credit",
        "SENT settle",
        "DONE settle",
        "COMPLETED ",
    ];
    assert_eq!(timeline, expect);
    assert_eq!(balances(&mut bank, (from, to)).await, (70, 35));

    let read = bank.transfers.get_transfer(GetTransferRequest { transfer_id: "t-1".into() }).await.unwrap();
    assert_eq!(read.into_inner(), moved);
    // Over a restart, and in the other direction.
    let shop = kit::start_in(shop.stop().await);
    let mut bank = shop.bank().await;
    assert_eq!(bank.transfer("t-1", (from, to), 30).await.unwrap(), moved);
    assert_eq!(bank.transfer("t-2", (to, from), 35).await.unwrap().status(), Status::Completed);
    assert_eq!(balances(&mut bank, (from, to)).await, (105, 0));
    shop.stop().await;
}

#[tokio::test]
async fn ids_are_chosen_where_the_client_chooses_none() {
    let shop = kit::start();
    let mut bank = shop.bank().await;
    let (one, other) = (bank.open(0, 10).await.unwrap(), bank.open(0, 10).await.unwrap());
    assert!(one.id > 0 && other.id > 0 && one.id != other.id);
    assert_eq!((one.balance_cents, one.version), (10, 1));
    let pair = (one.id, other.id);
    let (first, second) =
        (bank.transfer("", pair, 1).await.unwrap(), bank.transfer("", pair, 1).await.unwrap());
    assert_ne!(first.transfer_id, second.transfer_id);
    assert_eq!(balances(&mut bank, pair).await, (8, 12));
    shop.stop().await;
}

#[tokio::test]
async fn one_key_is_one_account_and_one_transfer() {
    let shop = kit::start();
    let (mut bank, (from, to)) = (shop.bank().await, pair());
    for _ in 0..2 {
        assert_eq!(bank.open(from, 100).await.unwrap().balance_cents, 100);
    }
    bank.open(to, 0).await.unwrap();
    let status = bank.open(from, 101).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(status.get_details_resource_info().unwrap().resource_type, "shop.v1.Account");

    let moved = bank.transfer("t", (from, to), 30).await.unwrap();
    assert_eq!(bank.transfer("t", (from, to), 30).await.unwrap(), moved);
    for (pair, cents) in [((from, to), 31), ((to, from), 30), ((from, account_of(Side::B, 1)), 30)] {
        let status = bank.transfer("t", pair, cents).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
        let resource = status.get_details_resource_info().unwrap();
        assert_eq!(
            (resource.resource_type.as_str(), resource.resource_name.as_str()),
            ("shop.v1.Transfer", "t")
        );
    }
    assert_eq!(balances(&mut bank, (from, to)).await, (70, 30));
    shop.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_moves_nothing_and_says_why() {
    let shop = kit::start();
    let (mut bank, (a, b)) = (shop.bank().await, pair());
    let (full, nobody) = (account_of(Side::B, 1), account_of(Side::A, 7));
    bank.open(a, 100).await.unwrap();
    bank.open(b, 0).await.unwrap();
    bank.open(full, i64::MAX - 10).await.unwrap();
    let cases = [
        ((a, b), 101, "debit was rejected: account 1 has insufficient funds"),
        ((a, b), i64::MAX, "insufficient funds"),
        ((nobody, b), 1, "debit was rejected: there is no account"),
        ((a, nobody), 1, "credit was rejected: there is no account"),
        ((a, full), 11, "more than an int64 of cents holds"),
    ];
    for (at, (pair, cents, reason)) in cases.into_iter().enumerate() {
        let id = format!("bad-{at}");
        let ended = bank.transfer(&id, pair, cents).await.unwrap();
        assert_eq!(ended.status(), Status::Compensated, "{reason}");
        assert!(ended.reason.contains(reason), "{} is not {reason}", ended.reason);
        assert_eq!(balances(&mut bank, (a, b)).await, (100, 0), "{reason}");
    }
    assert_eq!(bank.account(full).await.unwrap().balance_cents, i64::MAX - 10);
    // Up to the brim.
    assert_eq!(bank.transfer("brim", (a, full), 10).await.unwrap().status(), Status::Completed);
    assert_eq!(bank.account(full).await.unwrap().balance_cents, i64::MAX);
    shop.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_field_by_field() {
    let shop = kit::start();
    let mut bank = shop.bank().await;
    let fields = |status: tonic::Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let faults = status.get_details_bad_request().unwrap().field_violations;
        faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(fields(bank.open(-1, -1).await.unwrap_err()), "id balanceCents");
    let cases = [
        ("t", (1, 2), 0, "amountCents"),
        ("t", (1, 2), -5, "amountCents"),
        ("t", (1, 1), 5, "to"),
        ("t", (0, -3), 5, "from to"),
        ("a b", (1, 2), 5, "transferId"),
    ];
    for (id, pair, cents, expect) in cases {
        assert_eq!(
            fields(bank.transfer(id, pair, cents).await.unwrap_err()),
            expect,
            "{id} {pair:?} {cents}"
        );
    }
    for id in [0, -1, 1, i64::MAX] {
        assert_eq!(bank.account(id).await.unwrap_err().code(), Code::NotFound);
    }
    for id in ["t", "", "a b"] {
        let read = bank.transfers.get_transfer(GetTransferRequest { transfer_id: id.into() }).await;
        assert_eq!(read.unwrap_err().code(), Code::NotFound, "{id}");
    }
    shop.stop().await;
}

#[tokio::test]
async fn a_client_that_would_wait_is_told_that_it_was_heard() {
    let shop = kit::start();
    let (mut bank, (from, to)) = (shop.bank().await, pair());
    bank.open(from, 100).await.unwrap();
    bank.open(to, 0).await.unwrap();
    let message = CreateTransferRequest { transfer_id: "t".into(), from, to, amount_cents: 1 };
    let plain = bank.transfers.create_transfer(message.clone()).await.unwrap();
    assert_eq!(plain.metadata().get("preference-applied"), None);
    let mut request = Request::new(message);
    request.metadata_mut().insert("prefer", "respond-async, wait=20".parse().unwrap());
    let waited = bank.transfers.create_transfer(request).await.unwrap();
    assert_eq!(waited.metadata().get("preference-applied").unwrap(), "wait=20");
    assert_eq!(waited.into_inner().status(), Status::Completed);
    let mut request = Request::new(GetTransferRequest { transfer_id: "t".into() });
    request.metadata_mut().insert("prefer", "wait=20".parse().unwrap());
    let read = bank.transfers.get_transfer(request).await.unwrap();
    assert_eq!(read.metadata().get("preference-applied").unwrap(), "wait=20");
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_transfers_of_one_account_as_many_succeed_as_there_is_money_for() {
    let shop = kit::start();
    let (mut bank, (from, to)) = (shop.bank().await, pair());
    bank.open(from, 100).await.unwrap();
    bank.open(to, 0).await.unwrap();
    let mut transfers = JoinSet::new();
    for at in 0..64 {
        let mut bank = bank.clone();
        transfers
            .spawn(async move { bank.transfer(&format!("t-{at}"), (from, to), 10).await.unwrap().status() });
    }
    let mut counts = HashMap::new();
    for status in transfers.join_all().await {
        *counts.entry(status.as_str_name()).or_insert(0) += 1;
    }
    assert_eq!(counts, HashMap::from([("COMPLETED", 10), ("COMPENSATED", 54)]));
    assert_eq!(balances(&mut bank, (from, to)).await, (0, 100));
    shop.stop().await;
}
