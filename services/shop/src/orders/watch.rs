//! `WatchOrder`: the order now, and again at each change, until nothing more can change.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use aqueduct_runtime::context::Context;

use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::{Response, Status};

use super::Orders;
use crate::order;
use crate::proto::shop::Order;
use crate::refuse::Refusal;
use crate::vitals::Vitals;
use crate::watchers::Subscription;

/// The answers to one watcher.
pub(crate) type Changes = Pin<Box<dyn Stream<Item = Result<Order, Status>> + Send>>;

pub(crate) fn handle(orders: &Arc<Orders>, id: i64, context: Context) -> Result<Response<Changes>, Refusal> {
    // Here and not in the stream, so that an unknown id is the answer and not the end of a stream.
    let (order, subscription) = begin(orders, id)?;
    let now = stream::iter([Ok(order.clone())]);
    let watch = Watch {
        orders: Arc::clone(orders),
        vitals: orders.monitor.subscribe(),
        deadline: context.deadline,
        order,
        subscription,
        failed: false,
    };
    let later = stream::unfold(watch, |mut watch| async move {
        let item = watch.next().await?;
        Some((item.map_err(Status::from), watch))
    });
    Ok(Response::new(Box::pin(now.chain(later))))
}

/// Subscribes and then reads: what changes in between is seen twice rather than not at all.
fn begin(orders: &Orders, id: i64) -> Result<(Order, Subscription), Refusal> {
    let subscription =
        orders.watchers.subscribe(id).ok_or(Refusal::Busy("too many orders are being watched"))?;
    let order = orders.tables.order(id)?.ok_or(Refusal::NotFound(id))?;
    Ok((order, subscription))
}

struct Watch {
    orders: Arc<Orders>,
    vitals: watch::Receiver<Vitals>,
    deadline: Option<Instant>,
    /// As it was last shown.
    order: Order,
    subscription: Subscription,
    failed: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Order, Refusal>> {
        if self.failed || order::is_final(&self.order) {
            return None;
        }
        let deadline = self.deadline;
        let late = async move {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        let changed = change(&self.orders, &mut self.order, &mut self.subscription);
        let item = tokio::select! {
            biased; // A change that has arrived is told, also when the server stops.
            changed = changed => changed.map(|()| self.order.clone()),
            // An open stream would hold up the drain.
            _ = self.vitals.wait_for(Vitals::ending) => Err(Refusal::stopping()),
            () = late => Err(Refusal::DeadlineExceeded),
        };
        self.failed = item.is_err();
        Some(item)
    }
}

/// Waits until `order` is newer than it was. Cancel-safe: the two waits are.
async fn change(orders: &Orders, order: &mut Order, subscription: &mut Subscription) -> Result<(), Refusal> {
    let shown = order.version;
    while order.version == shown {
        match subscription.next().await {
            Some(word) if word.version().cast_signed() <= shown => {}
            Some(word) => order::show(order, word.state(), word.version()),
            None => {
                let (now, anew) = begin(orders, order.id)?;
                *subscription = anew;
                if now.version > shown {
                    *order = now;
                }
            }
        }
    }
    Ok(())
}
