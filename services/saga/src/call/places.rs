//! How many connections one participant has at a time. After a restart thousands of sagas want to call it at once, and it may be
//! that it was the one who could not keep up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::uri::Authority;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Participants beyond this are forgotten when nobody calls them.
const MOST_KNOWN: usize = 1024;

/// The places of all participants.
#[derive(Debug, Clone)]
pub(super) struct Places {
    most: usize,
    of: Arc<Mutex<HashMap<Authority, Arc<Semaphore>>>>,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self { most, of: Arc::default() }
    }

    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// A place at this participant, in the order in which they are asked for; `None` when there is none in time.
    pub(super) async fn take(
        &self,
        participant: &Authority,
        within: Duration,
    ) -> Option<OwnedSemaphorePermit> {
        let place = self.of(participant).acquire_owned();
        timeout(within, place).await.ok()?.ok()
    }

    fn of(&self, participant: &Authority) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if of.len() > MOST_KNOWN && !of.contains_key(participant) {
            of.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = of.entry(participant.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.most)));
        Arc::clone(places)
    }
}
