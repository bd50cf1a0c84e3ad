//! `GetOrder`: one order, from the cache.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_cache::{Answer, Error};
use tonic::Response;
use tonic::metadata::MetadataValue;

use super::Orders;
use crate::caller::Caller;
use crate::proto::shop::{GetOrderRequest, Order};
use crate::refuse::Refusal;
use crate::store::ReadError;

/// In the initial metadata of a stale answer: for how long it may have been out of date, in milliseconds.
pub(crate) const AGE_HEADER: &str = "x-aqueduct-age-ms";

pub(crate) async fn handle(
    orders: &Orders,
    request: &GetOrderRequest,
    caller: &Caller,
) -> Result<Response<Order>, Refusal> {
    let id = request.id;
    // No order was ever minted such an id; asking the cache would only fill it with the knowledge.
    if id < 1 {
        return Err(Refusal::NotFound(id));
    }
    // What he wrote elsewhere may not have been announced here yet.
    if let Some(order) = orders.book.order_after(id, &caller.token, caller.deadline()).await {
        return order?.map(Response::new).ok_or(Refusal::NotFound(id));
    }
    orders.auditor.note(&id);
    let answer = cached(orders, id).await?;
    let order = answer.value.ok_or(Refusal::NotFound(id))?;
    let mut response = Response::new(Order::clone(&order));
    if let Some(age) = answer.age {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        response.metadata_mut().insert(AGE_HEADER, MetadataValue::from(age));
    }
    Ok(response)
}

/// The order through the cache.
pub(crate) async fn cached(orders: &Orders, id: i64) -> Result<Answer<Arc<Order>>, Refusal> {
    let load = |ask| {
        let book = Arc::clone(&orders.book);
        async move { book.load(id, ask).await }
    };
    orders.cache.get_with(&id, load).await.map_err(refusal)
}

fn refusal(error: Error<ReadError>) -> Refusal {
    match error {
        Error::Load(error) => error.as_ref().into(),
        Error::Overloaded { .. } => Refusal::Busy("too many orders are being read"),
        // None of these passes in the time of a request, except by luck.
        Error::TimedOut(_) | Error::Behind { .. } | Error::Panicked | Error::Dropped => {
            Refusal::Unavailable { why: error.to_string(), retry_after: Duration::from_secs(1) }
        }
    }
}
