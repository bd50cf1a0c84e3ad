//! The committer of a database: takes what waits, makes one transaction of it, answers each change its own outcome.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::database::{Database, Done, Fault, GroupError, Locking, Transaction as _};
use super::decide::{Asked, Verdict, What, decide};
use super::options::GroupOptions;
use super::stats::count;
use super::{GroupOutcome, Shared};
use crate::machine::Machine;

/// Pauses stop doubling after so many.
const DOUBLINGS: u32 = 4;

/// What the queue carries.
pub(super) enum Message<M: Machine, D: Database> {
    Request(Request<M, D>),
    /// Take nothing more; commit what waits; end.
    Close,
}

/// A change, whom to answer, and what came of it so far. Dropped, it tells its caller that it is gone.
pub(super) struct Request<M: Machine, D: Database> {
    asked: Asked<D::Body>,
    reply: oneshot::Sender<GroupOutcome<M, D>>,
    _room: OwnedSemaphorePermit,
    /// Attempts that failed.
    failed: u32,
    /// Until when its outcome is looked for after a lost reply, and what was said of that.
    doubt: Option<(Instant, Arc<D::Error>)>,
}

impl<M: Machine, D: Database> Request<M, D> {
    pub(super) fn new(
        asked: Asked<D::Body>,
        reply: oneshot::Sender<GroupOutcome<M, D>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self { asked, reply, _room: room, failed: 0, doubt: None }
    }

    fn answer(self, outcome: GroupOutcome<M, D>) {
        // Who went away has nobody to tell.
        self.reply.send(outcome).unwrap_or_default();
    }
}

/// Why a change must wait for another attempt.
enum Why<E> {
    Conflict,
    Away(Arc<E>),
    Unknown(Arc<E>),
}

impl<E> Clone for Why<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Conflict => Self::Conflict,
            Self::Away(error) => Self::Away(Arc::clone(error)),
            Self::Unknown(error) => Self::Unknown(Arc::clone(error)),
        }
    }
}

/// Changes for another attempt, and why.
type PutOff<M, D> = Vec<(Request<M, D>, Why<<D as Database>::Error>)>;
/// The verdicts of a batch that is committed, in its order.
type Committed<M, D> = (
    Vec<Verdict<<M as Machine>::State, <D as Database>::Extra, Arc<<D as Database>::Error>>>,
    <D as Database>::Receipt,
);

pub(super) struct Committer<M: Machine, D: Database> {
    database: D,
    queue: mpsc::Receiver<Message<M, D>>,
    closed: bool,
    options: GroupOptions,
    shared: Arc<Shared>,
    /// What is tried again, and when.
    later: Vec<(Instant, Request<M, D>)>,
    random: u64,
}

/// However it ends.
impl<M: Machine, D: Database> Drop for Committer<M, D> {
    fn drop(&mut self) {
        self.shared.ended.set(()).unwrap_or_default();
    }
}

impl<M: Machine, D: Database> Committer<M, D> {
    pub(super) fn new(
        database: D,
        queue: mpsc::Receiver<Message<M, D>>,
        options: GroupOptions,
        shared: Arc<Shared>,
    ) -> Self {
        let random = options.seed;
        Self { database, queue, closed: false, options, shared, later: Vec::new(), random }
    }

    pub(super) async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            self.commit(batch).await;
        }
    }

    /// Waits for changes, and takes all there are, up to `max_batch`. `None` when there will be none.
    ///
    /// It does not linger for more: while a batch is committed the next one fills by itself.
    async fn gather(&mut self) -> Option<Vec<Request<M, D>>> {
        let mut batch = Vec::new();
        loop {
            let now = Instant::now();
            let most = self.options.max_batch;
            batch.extend(
                self.later.extract_if(.., |(due, _)| *due <= now).take(most).map(|(_, request)| request),
            );
            while batch.len() < most {
                let Ok(message) = self.queue.try_recv() else { break };
                self.take(Some(message), &mut batch);
            }
            if !batch.is_empty() {
                return Some(batch);
            }
            let next = self.later.iter().map(|(due, _)| *due).min();
            match (next, self.closed) {
                (None, true) => return None,
                (Some(due), true) => tokio::time::sleep_until(due).await,
                (None, false) => {
                    let message = self.queue.recv().await;
                    self.take(message, &mut batch);
                }
                (Some(due), false) => {
                    if let Ok(message) = timeout_at(due, self.queue.recv()).await {
                        self.take(message, &mut batch);
                    }
                }
            }
        }
    }

    fn take(&mut self, message: Option<Message<M, D>>, batch: &mut Vec<Request<M, D>>) {
        match message {
            // Its caller has given it up.
            Some(Message::Request(request)) if request.reply.is_closed() => {}
            Some(Message::Request(request)) => batch.push(request),
            Some(Message::Close) => self.queue.close(),
            None => self.closed = true,
        }
    }

    /// Brings every change of the batch to its outcome, or puts it off.
    async fn commit(&mut self, batch: Vec<Request<M, D>>) {
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            let began = Instant::now();
            let fault = match self.attempt(&batch).await {
                Ok(committed) => {
                    self.shared.counters.committed(batch.len(), began.elapsed());
                    self.answer(batch, committed);
                    continue;
                }
                Err(fault) => fault,
            };
            let why = match fault {
                // Some row of it: halved until it is alone. The first half first, for the order of one entity's changes.
                Fault::Refused(_) | Fault::Moved(_) if batch.len() > 1 => {
                    count(&self.shared.counters.split);
                    let second = batch.split_off(batch.len() / 2);
                    batches.extend([second, batch]);
                    continue;
                }
                Fault::Refused(error) => {
                    let error = Arc::new(error);
                    for request in batch {
                        count(&self.shared.counters.refused);
                        request.answer(Err(GroupError::Refused(Arc::clone(&error))));
                    }
                    continue;
                }
                Fault::Conflict(_) | Fault::Moved(_) => Why::Conflict,
                Fault::Away(error) => Why::Away(Arc::new(error)),
                Fault::Unknown(error) => Why::Unknown(Arc::new(error)),
            };
            self.put_off(batch.into_iter().map(|request| (request, why.clone())).collect());
        }
    }

    /// One transaction for the whole batch.
    async fn attempt(&self, batch: &[Request<M, D>]) -> Result<Committed<M, D>, Fault<D::Error>> {
        let mut keys: Vec<u64> = batch.iter().map(|request| request.asked.key).collect();
        keys.sort_unstable();
        keys.dedup();
        // What met a lock before must not make others wait for it again.
        let again = batch.iter().any(|request| request.failed > 0);
        let locking = if again { Locking::Skip } else { Locking::Wait };
        let mut transaction = self.database.begin().await?;
        let decided = async {
            let found = transaction.lock(&keys, locking).await?;
            let (verdicts, writes) = decide::<M, _, _, _>(batch.iter().map(|request| &request.asked), found);
            if !writes.is_empty() {
                transaction.write(&writes).await?;
            }
            Ok(verdicts)
        };
        match decided.await {
            Ok(verdicts) => Ok((verdicts, transaction.commit().await?)),
            Err(fault) => {
                if !matches!(fault, Fault::Away(_) | Fault::Unknown(_)) {
                    transaction.rollback().await;
                }
                Err(fault)
            }
        }
    }

    /// The transaction is committed: caches are fenced, and then everybody is answered.
    fn answer(&mut self, batch: Vec<Request<M, D>>, (verdicts, receipt): Committed<M, D>) {
        for (request, verdict) in batch.iter().zip(&verdicts) {
            if let Verdict::Made { word, .. } = verdict {
                self.database.committed(request.asked.key, *word);
            }
        }
        let shared = Arc::clone(&self.shared);
        let counters = &shared.counters;
        let mut locked = Vec::new();
        for (request, verdict) in batch.into_iter().zip(verdicts) {
            if request.doubt.is_some() && !matches!(verdict, Verdict::Locked) {
                count(&counters.resolved);
            }
            match verdict {
                Verdict::Made { word, state, extra, repeated } => {
                    count(match request.asked.what {
                        _ if repeated => &counters.repeated,
                        What::Create(_) => &counters.creates,
                        What::Event(..) => &counters.transitions,
                    });
                    let (version, receipt) = (word.version(), receipt.clone());
                    request.answer(Ok(Done { state, version, extra, receipt, repeated }));
                }
                Verdict::Refused(error) => request.answer(Err(error)),
                Verdict::Locked => locked.push((request, Why::Conflict)),
            }
        }
        self.put_off(locked);
    }

    /// Puts changes off to another attempt, together and in their order, or gives them up.
    fn put_off(&mut self, batch: PutOff<M, D>) {
        let Some(failed) = batch.iter().map(|(request, _)| request.failed).max() else { return };
        let due = Instant::now() + self.pause(failed);
        for (request, why) in batch {
            if let Some(request) = self.give_up(request, why) {
                count(&self.shared.counters.retried);
                self.later.push((due, request));
            }
        }
    }

    /// The change, if it is to be tried again. Otherwise its caller is answered.
    fn give_up(&self, mut request: Request<M, D>, why: Why<D::Error>) -> Option<Request<M, D>> {
        let now = Instant::now();
        let counters = &self.shared.counters;
        if let Why::Unknown(error) = &why {
            request.asked.in_doubt = true;
            request.doubt.get_or_insert_with(|| (now + self.options.look, Arc::clone(error)));
            self.database.in_doubt(request.asked.key);
        }
        if request.reply.is_closed() {
            return None;
        }
        request.failed += 1;
        let error = match (&request.doubt, why) {
            (Some((until, _)), _) if now < *until => return Some(request),
            (None, _) if request.failed <= self.options.retries => return Some(request),
            (Some((_, error)), _) => {
                count(&counters.unknown);
                tracing::warn!(committer = self.shared.name, %error, "whether a change was committed is unknown");
                GroupError::Unknown(Arc::clone(error))
            }
            (None, Why::Conflict) => {
                count(&counters.aborted);
                GroupError::Aborted
            }
            (None, Why::Away(error) | Why::Unknown(error)) => {
                count(&counters.unavailable);
                GroupError::Unavailable(error)
            }
        };
        request.answer(Err(error));
        None
    }

    /// The pause after so many attempts that failed before: it doubles, less a random part of up to a half.
    fn pause(&mut self, failed: u32) -> Duration {
        let whole = self.options.backoff * 2_u32.pow(failed.min(DOUBLINGS));
        // SplitMix64 (Steele, Lea, Flood 2014): evenly spread will do.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = u32::try_from(mixed >> 48).unwrap_or_default();
        whole.saturating_sub(whole * part / (1 << 17))
    }
}
