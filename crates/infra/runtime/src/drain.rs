//! Stopping without losing work: everyone learns that a drain started, and the one who asked learns when nothing is
//! in flight any more, or how much was left at the deadline.
//!
//! **The rule that makes it exact:** whoever may take further guards holds one. An accept loop holds a guard until it
//! has stopped accepting, a connection holds one until it is closed; then "no guards" once seen stays true.
//!
//! Each worker has a slot of its own ([`Drain::per_worker`]), so that counting a request touches no memory shared
//! between cores.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A drain that has not started, with a first slot.
pub fn channel() -> (DrainHandle, Drain) {
    let shared = Arc::new(Shared::default());
    let drain = Drain { slot: Slot::register(&shared) };
    (DrainHandle { shared }, drain)
}

#[derive(Debug, Default)]
struct Shared {
    started: AtomicBool,
    /// Wakes the one who drains, whenever a slot became empty.
    idle: Notify,
    slots: Mutex<Vec<Arc<Slot>>>,
}

impl Shared {
    /// The number of guards held. Exact under the module's rule; otherwise a guard that is taken while this counts
    /// may be missed.
    fn in_flight(&self) -> usize {
        self.slots().iter().map(|slot| slot.in_flight.load(SeqCst)).sum()
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the users of one worker share. Aligned so that two never share a cache line (128: lines are fetched in pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
    in_flight: AtomicUsize,
    /// Wakes those who wait for the start. One a slot: its waiters' list is then locked by one thread only.
    start: Notify,
    shared: Arc<Shared>,
}

impl Slot {
    fn register(shared: &Arc<Shared>) -> Arc<Self> {
        let slot = Arc::new(Self {
            in_flight: AtomicUsize::new(0),
            start: Notify::new(),
            shared: Arc::clone(shared),
        });
        shared.slots().push(Arc::clone(&slot));
        slot
    }
}

/// The side of those who work. Clones share a slot.
#[derive(Debug, Clone)]
pub struct Drain {
    slot: Arc<Slot>,
}

impl Drain {
    /// The same drain with a slot of its own. Call it once for each worker, never for each connection: slots are kept
    /// as long as the drain.
    #[must_use]
    pub fn per_worker(&self) -> Self {
        Self { slot: Slot::register(&self.slot.shared) }
    }

    /// Whether the drain started. One read of memory that is never written before.
    pub fn is_started(&self) -> bool {
        self.slot.shared.started.load(SeqCst)
    }

    /// Resolves once the drain started, at once if it has already.
    pub async fn started(&self) {
        let mut start = std::pin::pin!(self.slot.start.notified());
        // First into the list of waiters, then look: a start in between is seen by one of the two.
        start.as_mut().enable();
        if !self.is_started() {
            start.await;
        }
    }

    /// Counts one piece of work as in flight until the guard is dropped. Guards can still be taken after the start: a
    /// request that a client had already sent is served.
    pub fn guard(&self) -> Guard {
        self.slot.in_flight.fetch_add(1, SeqCst);
        Guard { slot: Arc::clone(&self.slot) }
    }
}

/// One piece of work in flight.
#[derive(Debug)]
#[must_use = "the work counts as done as soon as the guard is dropped"]
pub struct Guard {
    slot: Arc<Slot>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let before = self.slot.in_flight.fetch_sub(1, SeqCst);
        // Count first, then look at the flag; the drain sets the flag first and then counts. One of the two sees the
        // other, since all four are sequentially consistent.
        if before == 1 && self.slot.shared.started.load(SeqCst) {
            self.slot.shared.idle.notify_one();
        }
    }
}

/// The side of the one who stops the process.
#[derive(Debug)]
pub struct DrainHandle {
    shared: Arc<Shared>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// The guards still held when the time was over; zero when everything finished.
    pub left: usize,
}

impl DrainHandle {
    /// Starts the drain and returns at once. Starting again does nothing.
    pub fn start(&self) {
        self.shared.started.store(true, SeqCst);
        for slot in self.shared.slots().iter() {
            slot.start.notify_waiters();
        }
    }

    /// Starts the drain and waits until no guard is held, at most for `timeout`. May be called again, for instance
    /// after the work that was left has been cancelled.
    pub async fn drain(&self, timeout: Duration) -> Drained {
        self.start();
        // A time-out needs no special case: what is left is counted in either way.
        let idle = async {
            while self.shared.in_flight() != 0 {
                // A wake-up since the count is kept as a permit.
                self.shared.idle.notified().await;
            }
        };
        match tokio::time::timeout(timeout, idle).await {
            Ok(()) => Drained { left: 0 },
            Err(_) => Drained { left: self.shared.in_flight() },
        }
    }

    /// The number of guards held now.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight()
    }
}

#[cfg(test)]
mod tests {
    use super::{Drained, channel};
    use std::time::Duration;
    use tokio::time::Instant;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn an_idle_drain_ends_at_once() {
        let (handle, drain) = channel();
        let begin = Instant::now();
        assert_eq!(handle.drain(LONG).await, Drained { left: 0 });
        drain.started().await;
        assert!(drain.per_worker().is_started());
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_limit_reports_what_is_left() {
        let (handle, drain) = channel();
        let worker = drain.per_worker();
        let guards = [drain.guard(), worker.guard(), worker.clone().guard()];
        let begin = Instant::now();
        assert_eq!(handle.drain(Duration::from_secs(2)).await, Drained { left: 3 });
        assert_eq!(begin.elapsed(), Duration::from_secs(2));
        drop(guards);
        assert_eq!(handle.drain(LONG).await, Drained { left: 0 });
        assert_eq!(begin.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_wake_and_their_guards_are_awaited() {
        let (handle, drain) = channel();
        let waiters: Vec<_> = (0..10)
            .map(|slot| {
                let drain = if slot % 2 == 0 { drain.clone() } else { drain.per_worker() };
                let guard = drain.guard();
                crate::task::spawn("waiter", async move {
                    drain.started().await;
                    tokio::time::sleep(Duration::from_secs(slot)).await;
                    drop(guard);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let begin = Instant::now();
        assert_eq!(handle.drain(LONG).await, Drained { left: 0 });
        assert_eq!(begin.elapsed(), Duration::from_secs(9));
        for waiter in waiters {
            waiter.await.unwrap();
        }
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        for _ in 0..500 {
            let (handle, drain) = channel();
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let drain = drain.per_worker();
                    let guard = drain.guard();
                    std::thread::spawn(move || {
                        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                        runtime.block_on(drain.started());
                        drop(guard);
                    })
                })
                .collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            assert_eq!(runtime.block_on(handle.drain(LONG)), Drained { left: 0 });
            for thread in threads {
                thread.join().unwrap();
            }
        }
    }
}
