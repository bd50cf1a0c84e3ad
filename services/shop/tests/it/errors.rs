//! What the calls answer when something is wrong: the code, and the details a program can act on.

use aqueduct_shop::proto::shop::{CreateOrderRequest, ShipOrderRequest, WatchOrderRequest};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::kit::{self, Calls as _, item};

#[tokio::test]
async fn every_invalid_field_is_named_as_in_json() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let request = CreateOrderRequest {
        user_id: -4,
        items: vec![item("tea", 1, 1), item("", 0, -1)],
        note: "x".repeat(2_001),
    };
    let status = orders.create_order(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "userId must be 1 or more (and 4 more)");
    let faults = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["userId", "items[1].sku", "items[1].quantity", "items[1].priceCents", "note"]);
    shop.stop().await;
}

#[tokio::test]
async fn an_unknown_order_is_not_found_by_any_call() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    for id in [0, -1, 1, i64::MAX, i64::MIN] {
        let watch = orders.watch_order(WatchOrderRequest { id }).await.map(drop).unwrap_err();
        for status in [orders.read(id).await.unwrap_err(), orders.pay(id, "").await.unwrap_err(), watch] {
            assert_eq!(status.code(), Code::NotFound, "{id}: {status:?}");
            let resource = status.get_details_resource_info().unwrap();
            assert_eq!(resource.resource_type, "shop.v1.Order");
            assert_eq!(resource.resource_name, id.to_string());
        }
    }
    shop.stop().await;
}

#[tokio::test]
async fn an_illegal_transition_tells_the_current_state() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let id = orders.new_order(1).await.id;
    let ship = ShipOrderRequest { id, event_id: "parcel-1".into() };
    let status = orders.ship_order(ship.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), format!("order {id} is CREATED, which does not allow ship"));
    let violation = status.get_details_precondition_failure().unwrap().violations.remove(0);
    assert_eq!((violation.r#type.as_str(), violation.subject), ("ORDER_STATE", id.to_string()));
    assert!(violation.description.contains("CREATED"));
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("ILLEGAL_TRANSITION", "shop.v1"));
    assert_eq!(info.metadata["state"], "CREATED");
    assert_eq!(info.metadata["version"], "1");
    // A refused event is not remembered: it may be sent again when its time has come.
    orders.pay(id, "").await.unwrap();
    assert_eq!(orders.ship_order(ship).await.unwrap().into_inner().version, 3);
    shop.stop().await;
}

#[tokio::test]
async fn an_event_id_cannot_be_used_for_another_event() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let id = orders.new_order(1).await.id;
    orders.pay(id, "one").await.unwrap();
    let reused = orders.ship_order(ShipOrderRequest { id, event_id: "one".into() }).await.unwrap_err();
    let long = orders.pay(id, &"x".repeat(65)).await.unwrap_err();
    for status in [reused, long] {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "eventId");
    }
    assert_eq!(orders.read(id).await.unwrap().version, 2);
    shop.stop().await;
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let request = CreateOrderRequest { user_id: 1, items: vec![], note: "x".repeat(1 << 20) };
    assert_eq!(orders.create_order(request).await.unwrap_err().code(), Code::OutOfRange);
    shop.stop().await;
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let id = orders.new_order(1).await.id;
    let mut request = Request::new(WatchOrderRequest { id });
    request.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
    let mut changes = orders.watch_order(request).await.unwrap().into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().version, 1);
    let end = changes.message().await.unwrap_err();
    assert_eq!(end.code(), Code::DeadlineExceeded);
    shop.stop().await;
}
