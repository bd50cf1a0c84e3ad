//! One load under way, and the place where those who wait for it find its outcome.

use crate::{answer::Loaded, clock::Nanos, error::Error};
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio::sync::Notify;

/// What a load brought: shared by all who waited.
pub(crate) type Outcome<V, E> = Result<Loaded<V>, Error<E>>;

/// What is true when a load begins, recorded before the loader is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Departure {
    /// Its place among the loads of its stripe.
    pub(crate) ticket: u64,
    /// The cache's epoch.
    pub(crate) epoch: u32,
    /// The least version that may be answered.
    pub(crate) floor: u64,
    pub(crate) began: Nanos,
    /// Whether every change announced before it is known, or was visible when it began. What is announced can be invisible to a
    /// SELECT for some milliseconds; only a floor tells.
    pub(crate) sighted: bool,
}

/// One load under way. At most one per key is in its stripe's table, from before its loader is called until its
/// result has been stored or refused.
#[derive(Debug)]
pub(crate) struct Flight<V, E> {
    pub(crate) departure: Departure,
    /// The version a result must have to be kept: 0 until a fence, `u64::MAX` after one of unknown version. Written
    /// and read under the stripe's lock, which orders it; atomic only because a flight is shared.
    fence: AtomicU64,
    outcome: OnceLock<Outcome<V, E>>,
    landed: Notify,
}

impl<V: Clone, E> Flight<V, E> {
    pub(crate) fn new(departure: Departure) -> Self {
        Self { departure, fence: AtomicU64::new(0), outcome: OnceLock::new(), landed: Notify::new() }
    }

    /// Notes that something newer was committed, unless that was known when the load began. Under the stripe's lock.
    pub(crate) fn fence(&self, version: u64) {
        let needed = if version == 0 { u64::MAX } else { version };
        if needed > self.departure.floor {
            self.fence.fetch_max(needed, Relaxed);
        }
    }

    /// True when a fence came since the load began: callers that arrive now may not have its result, except when
    /// its version shows that it read after the commit. Under the stripe's lock.
    pub(crate) fn is_fenced(&self) -> bool {
        self.fence.load(Relaxed) != 0
    }

    /// The version from which the result may be kept. Under the stripe's lock.
    pub(crate) fn needed(&self) -> u64 {
        self.fence.load(Relaxed)
    }

    /// Publishes the outcome and wakes all who wait.
    pub(crate) fn land(&self, outcome: Outcome<V, E>) {
        // Set once, by the one `Landing` of this flight.
        drop(self.outcome.set(outcome));
        self.landed.notify_waiters();
    }

    /// Waits for the outcome.
    pub(crate) async fn outcome(&self) -> Outcome<V, E> {
        loop {
            // Created before the look, so that a landing in between is not missed.
            let landed = self.landed.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            landed.await;
        }
    }
}
