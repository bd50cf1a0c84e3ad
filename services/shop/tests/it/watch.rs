//! `WatchOrder`: every version once, in order.

use aqueduct_runtime::task;
use aqueduct_shop::proto::shop::order::Status;
use aqueduct_shop::proto::shop::{CompleteOrderRequest, Order, ShipOrderRequest, WatchOrderRequest};
use tonic::{Code, Streaming};

use crate::kit::{self, Calls as _};

async fn collect(mut changes: Streaming<Order>) -> Vec<(Status, i64)> {
    let mut seen = Vec::new();
    while let Some(order) = changes.message().await.unwrap() {
        seen.push((order.status(), order.version));
    }
    seen
}

const LIFE: [(Status, i64); 4] =
    [(Status::Created, 1), (Status::Paid, 2), (Status::Shipped, 3), (Status::Completed, 4)];

#[tokio::test]
async fn each_version_is_seen_once_and_the_stream_ends_with_the_last() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let id = orders.new_order(1).await.id;
    let watchers: Vec<_> = {
        let mut all = Vec::new();
        for _ in 0..8 {
            let changes = orders.watch_order(WatchOrderRequest { id }).await.unwrap().into_inner();
            all.push(task::spawn("watcher", collect(changes)));
        }
        all
    };
    orders.pay(id, "").await.unwrap();
    orders.pay(id, "").await.unwrap_err();
    orders.ship_order(ShipOrderRequest { id, event_id: String::new() }).await.unwrap();
    // Who comes late begins with what is, and sees the rest.
    let late = orders.watch_order(WatchOrderRequest { id }).await.unwrap().into_inner();
    let late = task::spawn("watcher", collect(late));
    orders.complete_order(CompleteOrderRequest { id, event_id: String::new() }).await.unwrap();
    for watcher in watchers {
        assert_eq!(watcher.await.unwrap(), LIFE);
    }
    let late = late.await.unwrap();
    assert_eq!(late, LIFE[2..]);
    // And a completed order is told once.
    let changes = orders.watch_order(WatchOrderRequest { id }).await.unwrap().into_inner();
    assert_eq!(collect(changes).await, LIFE[3..]);
    shop.stop().await;
}

#[tokio::test]
async fn a_drain_ends_the_streams_and_waits_for_nobody() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let id = orders.new_order(1).await.id;
    let mut changes = orders.watch_order(WatchOrderRequest { id }).await.unwrap().into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().version, 1);
    shop.stop().await;
    assert_eq!(changes.message().await.unwrap_err().code(), Code::Unavailable);
}
