//! The accounts in the shards: each is a row in the shard that its id's hash names, next to the barrier's rows of the steps that changed it.
//!
//! Any process may change any account. In a process there is a committer a shard, which makes one transaction of what queued up;
//! between processes the rows' locks decide (`docs/adr/0015-transfers-on-the-shards.md`).

mod batch;
mod committer;
pub(crate) mod sql;

use std::sync::Arc;
use std::time::Duration;

use aqueduct_ids::Route;
use aqueduct_runtime::task::{self, Owned};
use aqueduct_shards::{Error, Freshness, SHARDS, Shards};
use tokio::sync::{mpsc, oneshot};

use super::request::Request;
use super::{Move, Opened, Refused};
use crate::proto::shop::Account;
use committer::Committer;

/// Requests that wait for a committer; beyond, who asks waits.
const QUEUE: usize = 8_192;
/// How often old rows of the barrier are looked for, and how many go at a time.
const FORGET_EVERY: Duration = Duration::from_secs(10);
const MOST_FORGOTTEN: u64 = 2_000;

/// The accounts in the shards. Cheap to clone; when the last clone is dropped its committers end.
#[derive(Debug, Clone)]
pub(crate) struct Ledgers {
    shards: Shards,
    queues: Arc<[mpsc::Sender<Request>]>,
}

impl Ledgers {
    /// With what works for it. Rows of the barrier are kept for `kept`.
    pub(crate) fn new(shards: &Shards, kept: Duration) -> (Self, Vec<Owned>) {
        let (mut queues, mut tasks) = (Vec::new(), Vec::new());
        for shard in 0..SHARDS {
            let (queue, requests) = mpsc::channel(QUEUE);
            let committer = Committer { shards: shards.clone(), shard, queue: requests };
            queues.push(queue);
            tasks.push(task::spawn("shop-accounts", committer.run()).into());
            tasks.push(task::spawn("shop-accounts-tidy", tidy(shards.clone(), shard, kept)).into());
        }
        (Self { shards: shards.clone(), queues: queues.into() }, tasks)
    }

    /// Opens an account, durably.
    pub(crate) async fn open_account(&self, id: i64, cents: i64) -> Result<Opened<Account>, Refused> {
        let opened = self.ask(id, |reply| Request::Open { id, cents, reply }).await?;
        Ok(match opened {
            Opened::Is(row) => Opened::Is(row.show(id)),
            Opened::Other => Opened::Other,
        })
    }

    /// The account as it is now.
    pub(crate) async fn account(&self, id: i64) -> Result<Option<Account>, Refused> {
        let read = async {
            let mut read = self.shards.read(shard_of(id), Freshness::Primary, None).await?;
            read.first::<sql::Columns>(sql::READ, (id,)).await
        };
        let found = read.await.map_err(|error| Refused::Unknown(error.to_string()))?;
        Ok(found.map(|columns| sql::row(columns).1.show(id)))
    }

    /// Makes a step of a transfer, or undoes it, durably and once.
    pub(crate) async fn make(&self, step: Move) -> Result<(), Refused> {
        self.ask(step.account(), |reply| Request::Move(step, reply)).await
    }

    async fn ask<T>(
        &self,
        account: i64,
        request: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Request,
    ) -> Result<T, Refused> {
        let ended = || Refused::Unknown("the shop is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        let queue = self.queues.get(usize::from(shard_of(account))).ok_or_else(ended)?;
        queue.send(request(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Where an account is. A hash and not the id's own route, since clients may choose ids, and those have none. It never changes.
fn shard_of(account: i64) -> u8 {
    Route::of_hash(account.cast_unsigned()).shard()
}

/// Removes what the barrier need not know any more, for as long as it is polled.
async fn tidy(shards: Shards, shard: u8, kept: Duration) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = forget(&shards, shard, kept).await {
            tracing::debug!(shard, %error, "old rows of the barrier stay for now");
        }
    }
}

async fn forget(shards: &Shards, shard: u8, kept: Duration) -> Result<(), Error> {
    loop {
        let mut write = shards.write_read_committed(shard, None).await?;
        let gone = write.exec(sql::FORGET, (kept.as_secs(), MOST_FORGOTTEN)).await?;
        write.commit().await?;
        if gone < MOST_FORGOTTEN {
            return Ok(());
        }
    }
}
