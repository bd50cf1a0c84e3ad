//! What the calls answer when all is well, and what they promise each other.

use aqueduct_runtime::task;
use aqueduct_shop::proto::shop::order::Status;
use aqueduct_shop::proto::shop::{CompleteOrderRequest, CreateOrderRequest, ShipOrderRequest};
use tokio::task::JoinSet;
use tonic::Code;

use crate::kit::{self, Calls as _, item};

#[tokio::test]
async fn an_order_goes_from_created_to_completed() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let request = CreateOrderRequest {
        user_id: 7,
        items: vec![item("tea", 2, 450), item("cup", 1, 1_200)],
        note: "ring twice".into(),
    };
    let created = orders.create_order(request.clone()).await.unwrap().into_inner();
    assert_eq!((created.status(), created.version), (Status::Created, 1));
    assert_eq!((created.user_id, created.total_cents), (7, 2_100));
    assert_eq!((&created.items, created.note.as_str()), (&request.items, "ring twice"));
    assert_eq!(orders.read(created.id).await.unwrap(), created);

    let id = created.id;
    let at = |status: Status, version| {
        let mut order = created.clone();
        (order.status, order.version) = (status.into(), version);
        order
    };
    assert_eq!(orders.pay(id, "").await.unwrap(), at(Status::Paid, 2));
    assert_eq!(orders.read(id).await.unwrap(), at(Status::Paid, 2));
    let ship = ShipOrderRequest { id, event_id: String::new() };
    assert_eq!(orders.ship_order(ship).await.unwrap().into_inner(), at(Status::Shipped, 3));
    let complete = CompleteOrderRequest { id, event_id: String::new() };
    assert_eq!(orders.complete_order(complete).await.unwrap().into_inner(), at(Status::Completed, 4));
    assert_eq!(orders.read(id).await.unwrap(), at(Status::Completed, 4));
    shop.stop().await;
}

#[tokio::test]
async fn the_orders_of_a_user_share_a_route_and_their_ids_grow() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let mut last = 0;
    for _ in 0..20 {
        let id = orders.new_order(99).await.id;
        assert!(id > last);
        assert!(last == 0 || (id >> 15) & 63 == (last >> 15) & 63, "another shard or table");
        last = id;
    }
    shop.stop().await;
}

#[tokio::test]
async fn a_repeated_event_changes_nothing_and_answers_with_the_order_as_it_is() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let id = orders.new_order(1).await.id;
    let paid = orders.pay(id, "charge-1").await.unwrap();
    assert_eq!(orders.pay(id, "charge-1").await.unwrap(), paid);

    let ship = ShipOrderRequest { id, event_id: "parcel-1".into() };
    let shipped = orders.ship_order(ship.clone()).await.unwrap().into_inner();
    assert_eq!(orders.ship_order(ship).await.unwrap().into_inner(), shipped);
    // A very late repetition of the first event: the order as it is, not as it was.
    assert_eq!(orders.pay(id, "charge-1").await.unwrap(), shipped);
    // Another payment is another event.
    assert_eq!(orders.pay(id, "charge-2").await.unwrap_err().code(), Code::FailedPrecondition);
    // The same event id on another order is another event too.
    let other = orders.new_order(1).await.id;
    assert_eq!(orders.pay(other, "charge-1").await.unwrap().version, 2);
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_payments_at_once_one_succeeds() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let id = orders.new_order(1).await.id;
    let mut payments = JoinSet::new();
    for at in 0..64 {
        let mut orders = orders.clone();
        payments.spawn(async move { orders.pay(id, &format!("charge-{at}")).await });
    }
    let outcomes = payments.join_all().await;
    let (paid, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(paid.len(), 1);
    assert!(refused.iter().all(|r| r.as_ref().unwrap_err().code() == Code::FailedPrecondition));
    assert_eq!(orders.read(id).await.unwrap().version, 2);
    shop.stop().await;
}

/// Readers hammer an order before, while and after it is paid, so that the cache always has it or is loading it; whoever
/// paid must never read it as it was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_after_a_payment_never_shows_it_unpaid() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    for _ in 0..50 {
        let id = orders.new_order(1).await.id;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (mut orders, stopped) = (orders.clone(), stopped.clone());
                task::spawn("reader", async move {
                    let mut newest = 0;
                    while !*stopped.borrow() {
                        let version = orders.read(id).await.unwrap().version;
                        assert!(version >= newest, "version {version} after {newest}");
                        newest = version;
                    }
                })
            })
            .collect();
        assert_eq!(orders.read(id).await.unwrap().version, 1);
        orders.pay(id, "").await.unwrap();
        for _ in 0..10 {
            assert_eq!(orders.read(id).await.unwrap().status(), Status::Paid);
        }
        stop.send(true).unwrap();
        for reader in readers {
            reader.await.unwrap();
        }
    }
    shop.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let created = orders.new_order(3).await;
    let paid = orders.new_order(3).await.id;
    let paid = orders.pay(paid, "charge-1").await.unwrap();

    let shop = kit::start_in(shop.stop().await);
    let mut orders = shop.orders().await;
    assert_eq!(orders.read(created.id).await.unwrap(), created);
    assert_eq!(orders.read(paid.id).await.unwrap(), paid);
    assert_eq!(orders.pay(paid.id, "charge-1").await.unwrap(), paid);
    assert_eq!(orders.pay(paid.id, "charge-2").await.unwrap_err().code(), Code::FailedPrecondition);
    let next = orders.new_order(3).await;
    assert!(next.id > paid.id);
    shop.stop().await;
}
