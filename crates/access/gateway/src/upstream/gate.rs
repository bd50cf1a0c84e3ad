//! How many requests an upstream gets at once, and who waits for a place: one bound for the whole gateway.
//!
//! The bound is exact: a share for each worker would refuse on one while another has room, since the kernel spreads
//! connections unevenly, and would round small bounds up. It costs a compare-and-swap a request, and a short lock when a
//! place is given back; upstreams without a bound pay neither.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{Families, GateMetrics};
use crate::options;

/// The places of an upstream, for all workers.
#[derive(Debug)]
struct Places {
    most: usize,
    free: Arc<Semaphore>,
    /// Requests that wait.
    queued: AtomicUsize,
}

/// The places of all upstreams that have a bound, by name. They outlive a reload that leaves the bound as it is, so that
/// what is in flight goes on to count.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<HashMap<String, Weak<Places>>>);

impl Gates {
    /// A worker's gate to the upstream, if it has a bound.
    pub(crate) fn gate(
        &self,
        name: &str,
        options: &options::Upstream,
        families: &Families,
    ) -> Option<Rc<Gate>> {
        let most = options.max_concurrency?.min(Semaphore::MAX_PERMITS);
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = places.get(name).and_then(Weak::upgrade).filter(|places| places.most == most);
        let known = known.unwrap_or_else(|| {
            places.retain(|_, places| places.strong_count() > 0);
            let free = Arc::new(Semaphore::new(most));
            let made = Arc::new(Places { most, free, queued: AtomicUsize::new(0) });
            places.insert(name.to_owned(), Arc::downgrade(&made));
            made
        });
        let (max_queue, queue_timeout) = (options.max_queue, options.queue_timeout);
        Some(Rc::new(Gate { places: known, max_queue, queue_timeout, metrics: families.gate(name) }))
    }
}

/// The way to an upstream's places, as one worker sees it.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Arc<Places>,
    max_queue: usize,
    queue_timeout: Duration,
    metrics: GateMetrics,
}

/// Why there was no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// As many wait as may.
    QueueFull,
    /// It waited for as long as it may.
    QueueTimeout,
}

impl Gate {
    /// A place, if one is free and nobody waits for it.
    pub(crate) fn try_enter(self: &Rc<Self>) -> Option<Permit> {
        let place = Arc::clone(&self.places.free).try_acquire_owned().ok()?;
        Some(self.permit(place))
    }

    /// Waits for a place, first come, first served. Dropping the future leaves the queue.
    pub(crate) async fn enter(self: &Rc<Self>) -> Result<Permit, NoPlace> {
        let queued = Queued::join(self).ok_or(NoPlace::QueueFull)?;
        let place = Arc::clone(&self.places.free).acquire_owned();
        let place = tokio::time::timeout(self.queue_timeout, place).await;
        drop(queued);
        match place {
            Ok(Ok(place)) => Ok(self.permit(place)),
            // Places are never closed: there is only the time.
            Ok(Err(_)) | Err(_) => Err(NoPlace::QueueTimeout),
        }
    }

    fn permit(self: &Rc<Self>, place: OwnedSemaphorePermit) -> Permit {
        self.metrics.in_flight.inc();
        Permit { _place: place, gate: Rc::clone(self) }
    }
}

/// A request in the queue.
struct Queued<'a> {
    gate: &'a Gate,
    since: tokio::time::Instant,
}

impl<'a> Queued<'a> {
    fn join(gate: &'a Gate) -> Option<Self> {
        let room = |queued: usize| (queued < gate.max_queue).then_some(queued + 1);
        gate.places.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        gate.metrics.queued.inc();
        Some(Self { gate, since: tokio::time::Instant::now() })
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.gate.places.queued.fetch_sub(1, Ordering::Relaxed);
        self.gate.metrics.queued.dec();
        self.gate.metrics.queue_time.observe_duration(self.since.elapsed());
    }
}

/// A request's place. Whoever waits first gets it when this is dropped, on whichever worker.
#[derive(Debug)]
pub(crate) struct Permit {
    _place: OwnedSemaphorePermit,
    gate: Rc<Gate>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.metrics.in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aqueduct_telemetry::metrics::Registry;

    fn bound(most: usize) -> options::Upstream {
        options::Upstream { max_concurrency: Some(most), ..options::Upstream::new(Vec::new()) }
    }

    #[test]
    fn workers_and_configurations_with_the_same_bound_share_the_places() {
        let families = Families::register(&Registry::new());
        let gates = Gates::default();
        let gate = |name, options: &_| gates.gate(name, options, &families);
        assert!(gate("x", &options::Upstream::new(Vec::new())).is_none(), "no bound, no gate");
        let one = gate("x", &bound(2)).unwrap();
        let other = gate("x", &options::Upstream { max_queue: 3, ..bound(2) }).unwrap();
        let permits = [one.try_enter().unwrap(), other.try_enter().unwrap()];
        assert!(one.try_enter().is_none() && other.try_enter().is_none());
        assert!(gate("y", &bound(2)).unwrap().try_enter().is_some(), "another upstream's are its own");
        assert!(gate("x", &bound(3)).unwrap().try_enter().is_some(), "another bound is another one");
        drop(permits);
        assert!(one.try_enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_goes_before_whoever_comes() {
        let families = Families::register(&Registry::new());
        let gate = Gates::default().gate("x", &bound(1), &families).unwrap();
        let permit = gate.try_enter().unwrap();
        let mut waiting = std::pin::pin!(gate.enter());
        assert!(futures_now(waiting.as_mut()).is_none());
        drop(permit);
        assert!(gate.try_enter().is_none(), "the place is taken by the one that waits");
        assert!(futures_now(waiting.as_mut()).is_some_and(|permit| permit.is_ok()));
    }

    /// What a future has, without waiting.
    fn futures_now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
