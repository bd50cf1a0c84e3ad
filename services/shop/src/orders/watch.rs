//! `WatchOrder`: the order now, and again at each change, until nothing more can change.

use std::collections::VecDeque;
use std::future::pending;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_fsm::Word;
use aqueduct_runtime::context::Context;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Response, Status};

use super::{Orders, get};
use crate::book::Book;
use crate::order;
use crate::proto::shop::Order;
use crate::refuse::Refusal;
use crate::vitals::Vitals;
use crate::watchers::{News, Subscription};

/// A change is visible some milliseconds after it was announced: up to 13 were measured. The pause doubles up to the last.
const VISIBLE_AFTER: Duration = Duration::from_millis(4);
const VISIBLE_AT_LAST: Duration = Duration::from_millis(512);

/// The answers to one watcher.
pub(crate) type Changes = Pin<Box<dyn Stream<Item = Result<Order, Status>> + Send>>;

pub(crate) async fn handle(
    orders: &Arc<Orders>,
    id: i64,
    context: Context,
) -> Result<Response<Changes>, Refusal> {
    // Here and not in the stream, so that an unknown id is the answer and not the end of a stream.
    let (order, subscription) = begin(orders, id).await?;
    let now = stream::iter([Ok(order.clone())]);
    let watch = Watch {
        orders: Arc::clone(orders),
        vitals: orders.monitor.subscribe(),
        deadline: context.deadline,
        order,
        subscription,
        later: VecDeque::new(),
        failed: false,
    };
    let later = stream::unfold(watch, |mut watch| async move {
        let item = watch.next().await?;
        Some((item.map_err(Status::from), watch))
    });
    Ok(Response::new(Box::pin(now.chain(later))))
}

/// Subscribes and then reads: what changes in between is seen twice rather than not at all.
///
/// From the shards it reads through the cache: a change is announced some milliseconds before the database shows it, and one that
/// was announced just before the subscription is told by nobody again. The cache knows it, and answers nothing older.
async fn begin(orders: &Orders, id: i64) -> Result<(Order, Subscription), Refusal> {
    let subscription =
        orders.watchers.subscribe(id).ok_or(Refusal::Busy("too many orders are being watched"))?;
    let order = match &*orders.book {
        Book::Embedded(_) => orders.book.order(id).await?,
        Book::Sharded(_) => get::cached(orders, id).await?.value.map(|order| Order::clone(&order)),
    };
    Ok((order.ok_or(Refusal::NotFound(id))?, subscription))
}

struct Watch {
    orders: Arc<Orders>,
    vitals: watch::Receiver<Vitals>,
    deadline: Option<Instant>,
    /// As it was last shown.
    order: Order,
    subscription: Subscription,
    /// Read, and not shown yet.
    later: VecDeque<Word>,
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
        let changed = change(&self.orders, &mut self.order, &mut self.subscription, &mut self.later);
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

/// Waits until `order` is newer than it was.
async fn change(
    orders: &Orders,
    order: &mut Order,
    subscription: &mut Subscription,
    later: &mut VecDeque<Word>,
) -> Result<(), Refusal> {
    let shown = order.version;
    while order.version == shown {
        if let Some(word) = later.pop_front() {
            if word.version().cast_signed() > shown {
                order::show(order, word.state(), word.version());
            }
            continue;
        }
        match subscription.next().await {
            Some(news) if news.version().cast_signed() <= shown => {}
            Some(News::Word(word)) => order::show(order, word.state(), word.version()),
            Some(News::Version(version)) => {
                *later = words(orders, order.id, shown.cast_unsigned()..version).await?;
            }
            None => {
                let (now, anew) = begin(orders, order.id).await?;
                *subscription = anew;
                if now.version > shown {
                    *order = now;
                }
            }
        }
    }
    Ok(())
}

/// What an order became after the version at the range's start, up to that at its end at least: it was announced, but may not be
/// visible yet.
async fn words(orders: &Orders, id: i64, versions: Range<u64>) -> Result<VecDeque<Word>, Refusal> {
    let mut pause = VISIBLE_AFTER;
    loop {
        let words = orders.book.words_after(id, versions.start).await?;
        if words.last().is_some_and(|word| word.version() >= versions.end) {
            return Ok(words.into());
        }
        if pause > VISIBLE_AT_LAST {
            let why = "the database does not show a change that it has announced".into();
            return Err(Refusal::Unavailable { why, retry_after: Duration::from_secs(1) });
        }
        sleep(pause).await;
        pause *= 2;
    }
}
