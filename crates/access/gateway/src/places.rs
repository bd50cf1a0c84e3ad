//! The bound on client connections of one worker. It is that of the newest configuration: a lower one closes nothing, but
//! nobody is let in before there is a place. A worker that accepts from several sockets may go beyond it by one for each.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::edge::Edge;

/// The places that are taken.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: Cell<usize>,
    /// A place is free, or the bound is another one.
    changed: Notify,
}

impl Places {
    /// The bound may be another one now.
    pub(crate) fn look_again(&self) {
        self.changed.notify_waiters();
    }
}

/// One connection's place, counted among the connections.
#[derive(Debug)]
pub(crate) struct Place(Rc<Edge>);

impl Place {
    /// Waits until there is one.
    pub(crate) async fn free(edge: &Edge) {
        loop {
            let options = edge.options();
            if edge.places.taken.get() < options.per_worker(options.limits.connections) {
                return;
            }
            edge.places.changed.notified().await;
        }
    }

    /// Takes the place that is [`free`](Self::free).
    pub(crate) fn take(edge: &Rc<Edge>) -> Self {
        edge.places.taken.set(edge.places.taken.get() + 1);
        edge.metrics.connections.inc();
        Self(Rc::clone(edge))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self(edge) = self;
        edge.places.taken.set(edge.places.taken.get() - 1);
        edge.metrics.connections.dec();
        edge.places.changed.notify_waiters();
    }
}
