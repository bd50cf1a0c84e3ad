//! `ListOrders`: order, pages and tokens.

use aqueduct_shop::proto::shop::order_service_client::OrderServiceClient;
use aqueduct_shop::proto::shop::{ListOrdersRequest, ListOrdersResponse};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::kit::{self, Calls as _};

async fn page(
    orders: &mut OrderServiceClient<Channel>,
    user_id: i64,
    page_size: i32,
    page_token: &str,
) -> Result<ListOrdersResponse, Status> {
    let request = ListOrdersRequest { user_id, page_size, page_token: page_token.into() };
    Ok(orders.list_orders(request).await?.into_inner())
}

#[tokio::test]
async fn pages_are_newest_first_and_survive_inserts() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let mut expect = Vec::new();
    for _ in 0..10 {
        expect.push(orders.new_order(1).await.id);
        orders.new_order(2).await;
    }
    expect.reverse();
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let answer = page(&mut orders, 1, 3, &token).await.unwrap();
        seen.extend(answer.orders.iter().map(|order| order.id));
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
        assert_eq!(answer.orders.len(), 3);
        // Newer than everything shown so far: neither seen in this walk, nor shifting it.
        orders.new_order(1).await;
    }
    assert_eq!(seen, expect);
    shop.stop().await;
}

#[tokio::test]
async fn the_last_page_has_no_token_even_when_it_is_full() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    for _ in 0..4 {
        orders.new_order(1).await;
    }
    let first = page(&mut orders, 1, 2, "").await.unwrap();
    let second = page(&mut orders, 1, 2, &first.next_page_token).await.unwrap();
    assert_eq!((second.orders.len(), second.next_page_token.as_str()), (2, ""));
    let all = page(&mut orders, 1, 0, "").await.unwrap();
    assert_eq!((all.orders.len(), all.next_page_token.as_str()), (4, ""));
    let nobody = page(&mut orders, 77, 0, "").await.unwrap();
    assert_eq!(nobody, ListOrdersResponse::default());
    shop.stop().await;
}

#[tokio::test]
async fn a_list_shows_the_state_of_each_order_as_committed() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    let created = orders.new_order(1).await;
    let paid = orders.new_order(1).await.id;
    let paid = orders.pay(paid, "").await.unwrap();
    let answer = page(&mut orders, 1, 0, "").await.unwrap();
    assert_eq!(answer.orders, [paid, created]);
    shop.stop().await;
}

#[tokio::test]
async fn foreign_and_broken_tokens_and_wrong_fields_are_named() {
    let shop = kit::start();
    let mut orders = shop.orders().await;
    for _ in 0..2 {
        orders.new_order(1).await;
    }
    let token = page(&mut orders, 1, 1, "").await.unwrap().next_page_token;
    for (user, size, token, field) in [
        (2, 1, token.as_str(), "pageToken"),
        (1, 1, "garbage", "pageToken"),
        (1, 1, &format!("{token}A"), "pageToken"),
        (0, 1, "", "userId"),
        (1, -1, "", "pageSize"),
    ] {
        let status = page(&mut orders, user, size, token).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let faults = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(faults.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(), [field]);
    }
    shop.stop().await;
}
