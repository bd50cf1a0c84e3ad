//! `GetOrder`: one order, from the cache.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_cache::{Error, Loaded};
use tonic::Response;
use tonic::metadata::MetadataValue;

use super::Orders;
use crate::proto::shop::{GetOrderRequest, Order};
use crate::refuse::Refusal;
use crate::store::ReadError;

/// In the initial metadata of a stale answer: for how long it may have been out of date, in milliseconds.
pub(crate) const AGE_HEADER: &str = "x-aqueduct-age-ms";

pub(crate) async fn handle(orders: &Orders, request: &GetOrderRequest) -> Result<Response<Order>, Refusal> {
    let id = request.id;
    // No order was ever minted such an id; asking the cache would only fill it with the knowledge.
    if id < 1 {
        return Err(Refusal::NotFound(id));
    }
    let load = || {
        let tables = orders.tables.clone();
        // A few microseconds, mostly from memory: handing it to a blocking thread would cost more than it takes.
        async move {
            let order = tables.order(id)?;
            Ok(Loaded::new(order.as_ref().map_or(0, version), order.map(Arc::new)))
        }
    };
    let answer = orders.cache.get(&id, load).await.map_err(refusal)?;
    let order = answer.value.ok_or(Refusal::NotFound(id))?;
    let mut response = Response::new(Order::clone(&order));
    if let Some(age) = answer.age {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        response.metadata_mut().insert(AGE_HEADER, MetadataValue::from(age));
    }
    Ok(response)
}

fn version(order: &Order) -> u64 {
    order.version.unsigned_abs()
}

fn refusal(error: Error<ReadError>) -> Refusal {
    match error {
        Error::Load(error) => Refusal::Broken(error.to_string()),
        Error::Overloaded { .. } => Refusal::Busy("too many orders are being read"),
        // None of these passes in the time of a request, except by luck.
        Error::TimedOut(_) | Error::Behind { .. } | Error::Panicked | Error::Dropped => {
            Refusal::Unavailable { why: error.to_string(), retry_after: Duration::from_secs(1) }
        }
    }
}
