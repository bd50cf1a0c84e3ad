//! Who waits for the end of a saga that this process works on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::id::SagaId;

/// Waiters by saga.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<HashMap<SagaId, Arc<Notify>>>);

/// One that waits; it is forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    waiters: &'a Waiters,
    id: SagaId,
    pub(crate) notify: Arc<Notify>,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, HashMap<SagaId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait(&self, id: &SagaId) -> Waiter<'_> {
        let notify = Arc::clone(self.lock().entry(id.clone()).or_default());
        Waiter { waiters: self, id: id.clone(), notify }
    }

    /// The saga has changed for good.
    pub(crate) fn tell(&self, id: &SagaId) {
        if let Some(notify) = self.lock().get(id) {
            notify.notify_waiters();
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiters = self.waiters.lock();
        // This one's and the map's.
        if Arc::strong_count(&self.notify) <= 2 {
            waiters.remove(&self.id);
        }
    }
}
