//! `PayOrder`, `ShipOrder`, `CompleteOrder`: one event on one order, answered once it is durable.

use aqueduct_fsm::EventId;
use tonic::Response;

use super::Orders;
use crate::caller::Caller;
use crate::order::Event;
use crate::proto::shop::Order;
use crate::refuse::Refusal;
use crate::validate;

pub(crate) async fn handle(
    orders: &Orders,
    id: i64,
    event: Event,
    event_id: &str,
    caller: &Caller,
) -> Result<Response<Order>, Refusal> {
    let event_id = match event_id {
        "" => None,
        text => {
            Some(EventId::new(text).ok_or_else(|| validate::invalid("eventId", "must be at most 64 bytes"))?)
        }
    };
    let written = orders.book.transition(id, event, event_id).await?;
    Ok(caller.answer_to_write(written))
}
