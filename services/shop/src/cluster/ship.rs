//! The worker that ships what is paid: it hears of it from the bus, so that no request waits for it.
//!
//! All processes share the work, and it is done once: the event has one id an order. What nobody could do is told again, also to those who
//! start later.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_bus::jetstream::{Bus, Job};
use aqueduct_fsm::{Code as _, EventId};

use crate::changes;
use crate::order::{Event, State};
use crate::orders::Orders;
use crate::refuse::Refusal;

/// The name under which the processes share the work.
const NAME: &str = "ship";
/// The id of the event.
const EVENT_ID: &str = "shipped-since-paid";
/// When it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The pause until the bus is asked again for a place.
const PAUSE: Duration = Duration::from_millis(500);

/// Ships the paid orders of one shard, for as long as it is polled.
pub(super) async fn run(orders: Arc<Orders>, bus: Bus) {
    let mut worker = loop {
        match bus.worker(NAME).await {
            Ok(worker) => break worker,
            Err(error) => tracing::warn!(%error, "cannot ship what is paid yet; trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    loop {
        let job = worker.next().await;
        let paid = changes::read(&job.record).filter(|change| change.word.state() == State::Paid.code());
        match paid {
            None => job.done().await,
            Some(change) => ship(&orders, change.order, job).await,
        }
    }
}

async fn ship(orders: &Orders, id: i64, job: Job) {
    let shipped = orders.book.transition(id, Event::Ship, EventId::new(EVENT_ID)).await;
    match shipped {
        // Illegal: somebody has shipped it by a call, or it has gone on since.
        Ok(_) | Err(Refusal::Illegal { .. }) => job.done().await,
        Err(Refusal::NotFound(_)) => {
            tracing::error!(id, "a paid order that does not exist cannot be shipped");
            job.done().await;
        }
        Err(refusal) => {
            tracing::debug!(id, ?refusal, "a paid order is not shipped yet");
            job.again(AGAIN).await;
        }
    }
}
