//! A store in memory, for tests and examples: it loses everything with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, millis};
use crate::error::StoreError;
use crate::id::SagaId;
use crate::store::{Append, Change, Creation, Figures, New, Store, Stored};
use crate::table::{Fit, Table};
use crate::view::{Filter, Millis, Summary};

/// A store in memory. Its clones are the same store.
#[derive(Debug, Clone)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Inner {
    table: Table,
    logs: HashMap<SagaId, Vec<(u64, Vec<u8>)>>,
}

impl Memory {
    /// An empty store.
    pub fn new(clock: Clock) -> Self {
        Self { inner: Arc::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Memory {
    /// Puts other bytes in the place of a row of a log, as a bad disk would.
    pub(crate) fn damage(&self, id: &SagaId, seq: u64) {
        let mut inner = self.lock();
        let row = inner.logs.get_mut(id).and_then(|log| log.iter_mut().find(|row| row.0 == seq)).unwrap();
        row.1[0] ^= 1;
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Clock::system())
    }
}

impl Inner {
    fn stored(&self, id: &SagaId) -> Option<Stored> {
        let header = self.table.get(id)?.clone();
        Some(Stored { header, log: self.logs.get(id).cloned().unwrap_or_default() })
    }
}

impl Store for Memory {
    fn now(&self) -> Millis {
        self.clock.now()
    }

    async fn create(&self, new: New) -> Result<Creation, StoreError> {
        let mut inner = self.lock();
        let id = new.header.summary.id.clone();
        if let Some(header) = inner.table.get(&id) {
            return Ok(Creation::Exists(header.fingerprint));
        }
        inner.logs.insert(id, vec![(new.header.seq, new.row)]);
        inner.table.put(new.header);
        Ok(Creation::Created)
    }

    async fn append(&self, change: Change) -> Result<Append, StoreError> {
        let mut inner = self.lock();
        match inner.table.fit(&change) {
            Fit::Next(header) => {
                let log = inner.logs.entry(change.id).or_default();
                log.retain(|(seq, _)| !change.drops.contains(seq));
                log.push((header.seq, change.row));
                inner.table.put(header);
                Ok(Append::Applied)
            }
            Fit::Last => {
                let last = inner.logs.get(&change.id).and_then(|log| log.last());
                let same = last.is_some_and(|(_, row)| *row == change.row);
                Ok(if same { Append::Applied } else { Append::Lost })
            }
            Fit::Lost => Ok(Append::Lost),
        }
    }

    async fn claim(&self, most: usize, lease: Duration) -> Result<Vec<Stored>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let claimed = inner.table.claim(now, now.saturating_add(millis(lease)), most);
        Ok(claimed.iter().filter_map(|header| inner.stored(&header.summary.id)).collect())
    }

    fn next_due(&self) -> Millis {
        self.lock().table.next_due()
    }

    async fn renew(&self, held: Vec<(SagaId, u64)>, due_at: Millis) -> Result<(), StoreError> {
        let mut inner = self.lock();
        for (id, epoch) in held {
            inner.table.renew(&id, epoch, due_at);
        }
        Ok(())
    }

    async fn load(&self, id: &SagaId) -> Result<Option<Stored>, StoreError> {
        Ok(self.lock().stored(id))
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Summary>, StoreError> {
        Ok(self.lock().table.list(filter))
    }

    async fn forget(&self, before: Millis, most: usize) -> Result<usize, StoreError> {
        let mut inner = self.lock();
        let ended = inner.table.ended(before, most);
        for id in &ended {
            inner.table.remove(id);
            inner.logs.remove(id);
        }
        Ok(ended.len())
    }

    async fn figures(&self) -> Result<Figures, StoreError> {
        Ok(self.lock().table.figures())
    }
}
