//! `CreateOrder`: checks it, mints its id, and answers once it is on disk.

use std::time::Duration;

use aqueduct_fsm::Code as _;
use aqueduct_ids::{IdError, Route};
use tonic::Response;

use super::Orders;
use crate::order;
use crate::proto::shop::{CreateOrderRequest, Order};
use crate::refuse::Refusal;
use crate::store::NewOrder;
use crate::validate;

pub(crate) async fn handle(orders: &Orders, request: CreateOrderRequest) -> Result<Response<Order>, Refusal> {
    let total_cents = validate::create(&request)?;
    // By the user, so that all orders of a user live on one shard and a list asks one shard only.
    let route = Route::of_hash(request.user_id.cast_unsigned());
    let id = orders.ids.next_id(route).map_err(unminted)?;
    let CreateOrderRequest { user_id, items, note } = request;
    let mut order = Order { user_id, items, note, total_cents, ..Order::default() };
    let new = NewOrder::new(&order);
    let created = orders.fsm.create(id.get(), new).await.map_err(|error| super::unwritten(&error))?;
    order.id = id.as_i64();
    order::show(&mut order, created.state.code(), created.version);
    Ok(Response::new(order))
}

fn unminted(error: IdError) -> Refusal {
    let retry_after = match error {
        IdError::ClockBehind { by } => by,
        IdError::NotReserved => Duration::from_millis(500),
        IdError::TimeExhausted | IdError::Closed => Duration::from_secs(1),
    };
    Refusal::Unavailable { why: error.to_string(), retry_after }
}
