//! The one task of this process that changes the accounts of a shard: what queued up becomes one transaction, and is answered when that is
//! committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aqueduct_saga::barrier::batch::{self, Batch, Found};
use aqueduct_shards::{Error, Shards, Write};
use tokio::sync::mpsc::Receiver;

use super::batch::Accounts;
use super::sql;
use crate::ledger::request::{Done, Request};

/// The most requests of one transaction.
const MOST: usize = 256;
/// How long an account that another process has is waited for. Other committers have it for a few milliseconds.
const LOCK: Duration = Duration::from_millis(250);
/// How long everything else may take; a session of the shards has a limit of its own.
const WITHIN: Duration = Duration::from_secs(5);
/// So often a transaction is tried that others were in the way of; all but the first pass over what is locked.
const TRIES: usize = 3;

pub(super) struct Committer {
    pub(super) shards: Shards,
    pub(super) shard: u8,
    pub(super) queue: Receiver<Request>,
}

impl Committer {
    /// Until nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut requests = Vec::new();
        while self.queue.recv_many(&mut requests, MOST).await > 0 {
            requests.retain(|request| !request.is_abandoned());
            if !requests.is_empty() {
                self.commit(std::mem::take(&mut requests)).await;
            }
        }
    }

    async fn commit(&self, requests: Vec<Request>) {
        let mut batches = vec![requests];
        while let Some(mut requests) = batches.pop() {
            match self.persist(&requests).await {
                Ok(answers) => {
                    requests.into_iter().zip(answers).for_each(|(request, done)| request.answer(done));
                }
                // One of them is in the way: the others must not suffer for it.
                Err(error) if requests.len() > 1 && is_of_one(&error) => {
                    let half = requests.split_off(requests.len() / 2);
                    batches.extend([half, requests]);
                }
                Err(error) => {
                    tracing::debug!(shard = self.shard, %error, "accounts are not changed");
                    for request in requests {
                        let done = request.unknown(&error.to_string());
                        request.answer(done);
                    }
                }
            }
        }
    }

    async fn persist(&self, requests: &[Request]) -> Result<Vec<Done>, Error> {
        let mut tries = 1;
        loop {
            match self.attempt(requests, tries > 1).await {
                Err(Error::Conflict { .. } | Error::Duplicate { .. }) if tries < TRIES => tries += 1,
                ended => return ended,
            }
        }
    }

    /// One transaction. After an error nobody knows whether it was made: whoever asks again is told by the barrier.
    async fn attempt(&self, requests: &[Request], skip: bool) -> Result<Vec<Done>, Error> {
        let mut write = self.shards.write_read_committed(self.shard, None).await?;
        let made = make(&mut write, requests, skip).await;
        match made {
            Ok((answers, true)) => write.commit().await.map(|_| answers),
            Ok((answers, false)) => write.rollback().await.map(|()| answers),
            Err(error) => {
                // A connection that breaks now undoes it as well.
                drop(write.rollback().await);
                Err(error)
            }
        }
    }
}

/// Whether one request may be the reason.
fn is_of_one(error: &Error) -> bool {
    matches!(
        error,
        Error::Conflict { .. } | Error::Duplicate { .. } | Error::Statement { .. } | Error::Row { .. }
    )
}

/// Locks, decides and writes; with `false` where there was nothing to write.
async fn make(write: &mut Write, requests: &[Request], skip: bool) -> Result<(Vec<Done>, bool), Error> {
    let ids: BTreeSet<i64> = requests.iter().map(Request::account).collect();
    let lock = [sql::lock(ids.iter().copied(), skip)];
    let found = write.run_all::<sql::Columns>(&lock, LOCK).await.map_err(|error| match error {
        // The limit of this statement; that of the session is far behind it.
        Error::Deadline { server } => {
            Error::Conflict { server, message: "an account is locked for too long".to_owned() }
        }
        error => error,
    })?;
    let found: BTreeMap<_, _> = found.into_iter().flat_map(|(rows, _)| rows).map(sql::row).collect();
    let missing: Vec<i64> = ids.iter().copied().filter(|id| !found.contains_key(id)).collect();
    let mut locked = BTreeSet::new();
    if skip && !missing.is_empty() {
        let present = [sql::present(missing.into_iter())];
        let present = write.run_all::<i64>(&present, WITHIN).await?;
        locked = present.into_iter().flat_map(|(ids, _)| ids).collect();
    }
    let mut barrier = known(write, requests).await?;
    let mut accounts = Accounts::new(found, locked);
    let answers = requests.iter().map(|request| accounts.make(&mut barrier, request)).collect();
    let writes = accounts.writes(&barrier);
    if !writes.is_empty() {
        write.run_all::<u8>(&writes, WITHIN).await?;
    }
    Ok((answers, !writes.is_empty()))
}

/// What the barrier knows of these requests; read when their accounts are locked, so that it is all there is.
async fn known(write: &mut Write, requests: &[Request]) -> Result<Batch, Error> {
    let transfers: BTreeSet<&str> = requests
        .iter()
        .filter_map(|request| match request {
            Request::Move(step, _) => Some(step.transfer.as_str()),
            Request::Open { .. } => None,
        })
        .collect();
    if transfers.is_empty() {
        return Ok(Batch::default());
    }
    let found = write.run_all::<Found>(&[batch::select(transfers)], WITHIN).await?;
    Ok(Batch::new(found.into_iter().flat_map(|(rows, _)| rows)))
}
