//! `PayOrder`, `ShipOrder`, `CompleteOrder`: one event on one order, answered once it is on disk.

use aqueduct_fsm::{Code as _, Error, EventId};
use tonic::Response;

use super::{Orders, key};
use crate::order::{self, Event, State};
use crate::proto::shop::Order;
use crate::refuse::Refusal;
use crate::validate;

pub(crate) async fn handle(
    orders: &Orders,
    id: i64,
    event: Event,
    event_id: &str,
) -> Result<Response<Order>, Refusal> {
    let event_id = match event_id {
        "" => None,
        text => {
            Some(EventId::new(text).ok_or_else(|| validate::invalid("eventId", "must be at most 64 bytes"))?)
        }
    };
    let refused = |error| refusal(error, id, event);
    let applied = orders.fsm.transition(key(id)?, event, event_id).await.map_err(refused)?;
    // The body never changes, so it may be read after the commit; the state is the one that was committed, not the one
    // that is there by now.
    let mut order = orders.tables.body(id)?;
    order::show(&mut order, applied.state.code(), applied.version);
    Ok(Response::new(order))
}

fn refusal(error: Error<State>, id: i64, event: Event) -> Refusal {
    match error {
        Error::NotFound => Refusal::NotFound(id),
        Error::Illegal { state, version } => Refusal::Illegal { id, state, version, event },
        Error::EventReused { .. } => validate::invalid("eventId", "was used for another event of this order"),
        other => super::unwritten(&other),
    }
}
