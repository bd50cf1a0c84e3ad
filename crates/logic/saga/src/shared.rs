//! What callers and runners of one coordinator share: nothing that is not in rows, but for figures and who waits.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::clock::millis;
use crate::held::HeldList;
use crate::options::Options;
use crate::owned::Owned;
use crate::store::{Figures, Store};
use crate::view::Millis;
use crate::waiters::Waiters;

/// Sagas that are claimed and wait for their first transition.
const ARRIVALS: usize = 512;

#[derive(Debug)]
pub(crate) struct Shared<S: Store> {
    pub(crate) store: S,
    pub(crate) options: Options,
    pub(crate) waiters: Waiters,
    /// Something may be due earlier than was thought.
    pub(crate) nudge: Notify,
    pub(crate) ready: AtomicBool,
    pub(crate) counters: Counters,
    pub(crate) figures: Mutex<Figures>,
    /// How many sagas may be under way.
    pub(crate) room: Arc<Semaphore>,
    /// How many sagas may be claimed whose first transition is not written: to claim more than the store takes is to renew their leases for
    /// nothing, and to keep them from other coordinators.
    pub(crate) arrivals: Arc<Semaphore>,
    pub(crate) runners: AtomicUsize,
    /// Sagas that are held, for whichever runner takes them.
    pub(crate) handed: Mutex<VecDeque<Owned>>,
    pub(crate) handed_over: Notify,
    pub(crate) held: Arc<HeldList>,
}

/// Since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) submitted: AtomicU64,
    pub(crate) sends: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) compensated: AtomicU64,
    pub(crate) parked: AtomicU64,
    pub(crate) lost: AtomicU64,
}

/// What a coordinator does, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Sagas on their way forward, in the store.
    pub running: u64,
    /// Sagas being undone, in the store.
    pub compensating: u64,
    /// Sagas that wait for somebody's decision, in the store.
    pub parked: u64,
    /// The age of the oldest of all these.
    pub oldest: Option<Duration>,
    /// Sagas that this process works on at this moment, waiting ones aside.
    pub in_flight: u64,
    /// Since the start of this process: sagas that were taken.
    pub submitted: u64,
    /// Calls that were made.
    pub sends: u64,
    /// Calls among these that were not the first of their kind.
    pub retries: u64,
    /// Sagas that were completed by this process.
    pub completed: u64,
    /// Sagas that were compensated by it.
    pub compensated: u64,
    /// Times that it parked a saga.
    pub parkings: u64,
    /// Times that somebody else had a saga that this process thought to have.
    pub lost: u64,
}

impl<S: Store> Shared<S> {
    pub(crate) fn new(store: S, options: Options) -> Self {
        Self {
            room: Arc::new(Semaphore::new(options.in_flight)),
            arrivals: Arc::new(Semaphore::new(ARRIVALS)),
            store,
            options,
            waiters: Waiters::default(),
            nudge: Notify::new(),
            ready: AtomicBool::new(false),
            counters: Counters::default(),
            figures: Mutex::default(),
            runners: AtomicUsize::new(0),
            handed: Mutex::default(),
            handed_over: Notify::new(),
            held: Arc::default(),
        }
    }

    /// When a lease that is taken now ends.
    pub(crate) fn lease_end(&self) -> Millis {
        self.store.now().saturating_add(millis(self.options.lease))
    }

    /// Gives a saga to whichever runner takes it first.
    pub(crate) fn hand_over(&self, owned: Owned) {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).push_back(owned);
        self.handed_over.notify_one();
    }

    pub(crate) fn take(&self) -> Option<Owned> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let figures = *self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.store.now();
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let counters = &self.counters;
        Snapshot {
            running: figures.running,
            compensating: figures.compensating,
            parked: figures.parked,
            oldest: figures.oldest.map(|at| Duration::from_millis(now.saturating_sub(at))),
            in_flight: self.held.len() as u64,
            submitted: count(&counters.submitted),
            sends: count(&counters.sends),
            retries: count(&counters.retries),
            completed: count(&counters.completed),
            compensated: count(&counters.compensated),
            parkings: count(&counters.parked),
            lost: count(&counters.lost),
        }
    }
}
