//! The runner: claims what is due, drives it, renews the leases, forgets what ended long ago. One future, no tasks.

use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::millis;
use crate::coordinator::Coordinator;
use crate::drive::Drive;
use crate::error::StoreError;
use crate::executor::Executor;
use crate::log::{Event, Row};
use crate::owned::{Broken, adopt};
use crate::shared::Shared;
use crate::store::{Change, Store};
use crate::view::Status;

/// The most sagas of one claim.
const MOST_CLAIMED: usize = 256;
/// How often figures are taken and what ended is forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// The most sagas forgotten in one go.
const MOST_FORGOTTEN: usize = 500;

impl<S: Store> Coordinator<S> {
    /// Runs sagas until `shutdown` resolves and the calls that are under way by then are answered and noted.
    ///
    /// Several may run at once, also in one process: a runner is one future, and so one thread's work at a time. To drop
    /// it is as good as a crash: nothing is lost.
    ///
    /// # Errors
    /// When the store has failed for good: end the process, a restart reads what is true.
    pub async fn run(
        &self,
        executor: impl Executor,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let (closing, closed) = (AtomicBool::new(false), Notify::new());
        let runner = Runner { shared, closing: &closing, closed: &closed };
        let _present = Present::new(shared);
        // On the heap: together they are bigger than a future should be.
        let mut drives = Box::pin(runner.drive(&executor));
        let mut upkeep = Box::pin(runner.upkeep());
        let mut shutdown = pin!(shutdown);
        let ended = loop {
            tokio::select! {
                biased;
                end = &mut drives => break end,
                error = &mut upkeep => break Err(error),
                () = &mut shutdown, if !closing.load(Relaxed) => {
                    closing.store(true, Relaxed);
                    closed.notify_one();
                }
            }
        };
        if ended.is_ok() {
            runner.give_back().await;
        }
        ended
    }
}

/// Counts the runners, so that submitters know whether there is one.
struct Present<'a, S: Store>(&'a Shared<S>);

impl<'a, S: Store> Present<'a, S> {
    fn new(shared: &'a Shared<S>) -> Self {
        shared.runners.fetch_add(1, Relaxed);
        Self(shared)
    }
}

impl<S: Store> Drop for Present<'_, S> {
    fn drop(&mut self) {
        self.0.runners.fetch_sub(1, Relaxed);
    }
}

struct Runner<'a, S: Store> {
    shared: &'a Shared<S>,
    /// Nothing new is begun.
    closing: &'a AtomicBool,
    closed: &'a Notify,
}

impl<S: Store> Runner<'_, S> {
    /// Drives what is handed over; ends when closing and nothing is under way.
    async fn drive(&self, executor: &impl Executor) -> Result<(), StoreError> {
        let drive = Drive { shared: self.shared, executor, closing: self.closing };
        let mut drives = FuturesUnordered::new();
        loop {
            if !self.closing.load(Relaxed) {
                drives.extend(std::iter::from_fn(|| self.shared.take()).map(|owned| drive.run(owned)));
            } else if drives.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(end) = drives.next() => end?,
                () = self.shared.handed_over.notified() => {}
                () = self.closed.notified() => {}
            }
        }
    }

    /// What goes on beside; ends with the store only.
    async fn upkeep(&self) -> StoreError {
        tokio::select! {
                biased;
            error = self.feed() => error,
            error = self.renew() => error,
            error = self.tidy() => error,
        }
    }

    /// Claims what is due, whenever something may be.
    async fn feed(&self) -> StoreError {
        let shared = self.shared;
        let mut look_at = Instant::now();
        loop {
            if self.closing.load(Relaxed) {
                std::future::pending::<()>().await;
            }
            let now = shared.store.now();
            if Instant::now() >= look_at || shared.store.next_due() <= now {
                match self.claim().await {
                    // There may be more.
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error @ StoreError::Failed(_)) => return error,
                    Err(error) => tracing::warn!(%error, "cannot claim sagas; trying again"),
                }
                look_at = Instant::now() + shared.options.poll;
            }
            let due = shared.store.next_due().saturating_sub(shared.store.now());
            // At least a millisecond: a store that errs is not asked without end.
            let due = Instant::now() + Duration::from_millis(due.clamp(1, millis(shared.options.poll)));
            tokio::select! {
                biased;
                () = shared.nudge.notified() => {}
                () = shared.held.notify.notified() => {}
                () = sleep_until(look_at.min(due)) => {}
            }
        }
    }

    /// One claim. True when there may be more.
    async fn claim(&self) -> Result<bool, StoreError> {
        let shared = self.shared;
        let dropped = shared.held.take_dropped();
        if !dropped.is_empty() {
            shared.store.renew(dropped, shared.store.now()).await?;
        }
        let (room, arrivals) = (&shared.room, &shared.arrivals);
        let Ok(arrival) = Arc::clone(arrivals).acquire_owned().await else { return Ok(false) };
        let Ok(place) = Arc::clone(room).acquire_owned().await else { return Ok(false) };
        let mut places = vec![(place, arrival)];
        while places.len() < MOST_CLAIMED {
            let Ok(arrival) = Arc::clone(arrivals).try_acquire_owned() else { break };
            let Ok(place) = Arc::clone(room).try_acquire_owned() else { break };
            places.push((place, arrival));
        }
        let most = places.len();
        let claimed = shared.store.claim(most, shared.options.lease).await?;
        shared.ready.store(true, Relaxed);
        let more = claimed.len() == most;
        for (stored, place) in claimed.into_iter().zip(places) {
            match adopt(shared, stored, place) {
                Ok(owned) => shared.hand_over(owned),
                Err(broken) => park(shared, broken).await?,
            }
        }
        Ok(more)
    }

    /// Renews leases when half of them is over. It looks often enough to try again when that fails.
    async fn renew(&self) -> StoreError {
        let shared = self.shared;
        loop {
            sleep(shared.options.lease / 6).await;
            let ending =
                shared.held.ending(shared.store.now().saturating_add(millis(shared.options.lease) / 2));
            if ending.is_empty() {
                continue;
            }
            let until = shared.lease_end();
            match shared.store.renew(ending.clone(), until).await {
                Ok(()) => shared.held.renewed(&ending, until),
                Err(error @ StoreError::Failed(_)) => return error,
                Err(error) => tracing::warn!(%error, "cannot renew leases; trying again"),
            }
        }
    }

    /// Takes figures, and forgets what ended long ago.
    async fn tidy(&self) -> StoreError {
        loop {
            match self.tidy_once().await {
                Ok(()) => {}
                Err(error @ StoreError::Failed(_)) => return error,
                Err(error) => tracing::debug!(%error, "cannot tidy up; trying again"),
            }
            sleep(TIDY_EVERY).await;
        }
    }

    async fn tidy_once(&self) -> Result<(), StoreError> {
        let shared = self.shared;
        let figures = shared.store.figures().await?;
        *shared.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
        let before = shared.store.now().saturating_sub(millis(shared.options.retention));
        while shared.store.forget(before, MOST_FORGOTTEN).await? == MOST_FORGOTTEN {}
        Ok(())
    }

    /// What was claimed and not begun is for others, at once.
    async fn give_back(&self) {
        if self.shared.runners.load(Relaxed) == 1 {
            while let Some(owned) = self.shared.take() {
                drop(owned);
            }
        }
        let dropped = self.shared.held.take_dropped();
        if !dropped.is_empty() {
            // If this fails, they are due when their leases end.
            self.shared.store.renew(dropped, self.shared.store.now()).await.unwrap_or_default();
        }
    }
}

/// Parks a saga whose log makes no sense.
async fn park<S: Store>(shared: &Shared<S>, broken: Box<Broken>) -> Result<(), StoreError> {
    let Broken { held, header } = *broken;
    let reason = "its log is damaged".to_owned();
    let event = Event::Parked { spot: None, reason: reason.clone() };
    let (at, prev) = (shared.store.now(), header.seq);
    let row = Row { at, epoch: held.epoch, prev, events: vec![event] }.encode();
    let change = Change {
        id: held.id.clone(),
        epoch: held.epoch,
        seq: header.seq,
        row,
        drops: Vec::new(),
        status: Status::Parked,
        reason,
        due_at: None,
        finished_at: None,
    };
    tracing::error!(saga = %held.id, "its log is damaged: parked");
    shared.counters.parked.fetch_add(1, Relaxed);
    let parked = shared.store.append(change).await;
    // If it was not stored, it is tried again after the lease.
    held.let_go();
    parked.map(drop)
}
