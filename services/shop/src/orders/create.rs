//! `CreateOrder`: checks it, mints its id, and answers once it is on disk.

use std::time::Duration;

use aqueduct_ids::{Generator, Id, IdError, Route};
use tokio::time::{Instant, sleep};
use tonic::Response;

use super::Orders;
use crate::caller::Caller;
use crate::proto::shop::{CreateOrderRequest, Order};
use crate::refuse::Refusal;
use crate::validate;

/// How long a creation waits for the lease to be renewed. The renewal and the order go to the same disk: one that is
/// slow makes orders slow, and only one that is stuck makes them fail.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks. The lease sends no event, and a late renewal is rare.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(crate) async fn handle(
    orders: &Orders,
    request: CreateOrderRequest,
    caller: &Caller,
) -> Result<Response<Order>, Refusal> {
    let total_cents = validate::create(&request)?;
    // By the user, so that all orders of a user live on one shard and a list asks one shard only.
    let route = Route::of_hash(request.user_id.cast_unsigned());
    let id = mint(&orders.ids, route).await?;
    let CreateOrderRequest { user_id, items, note } = request;
    let order = Order { user_id, items, note, total_cents, ..Order::default() };
    let written = orders.book.create(id.as_i64(), order).await?;
    Ok(caller.answer_to_write(written))
}

/// A new id, when the lease allows it.
pub(crate) async fn mint(ids: &Generator, route: Route) -> Result<Id, Refusal> {
    let begin = Instant::now();
    loop {
        match ids.next_id(route) {
            Err(IdError::NotReserved) if begin.elapsed() < RENEWAL_PATIENCE => sleep(LOOK_EVERY).await,
            minted => return minted.map_err(unminted),
        }
    }
}

fn unminted(error: IdError) -> Refusal {
    let retry_after = match error {
        IdError::ClockBehind { by } => by,
        IdError::NotReserved => Duration::from_millis(500),
        IdError::TermEnded | IdError::TimeExhausted | IdError::Closed => Duration::from_secs(1),
    };
    Refusal::Unavailable { why: error.to_string(), retry_after }
}
