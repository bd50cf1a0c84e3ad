//! The sagas that this process has claimed: whose leases are to be renewed, and what was dropped unfinished.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::id::SagaId;

/// All that are held. An id is there once: if this process claims a saga that an older call of it still thinks to have, it is
/// the later claim that counts.
#[derive(Debug, Default)]
pub(crate) struct HeldList {
    lists: Mutex<Lists>,
    /// Something was dropped.
    pub(crate) notify: Notify,
}

#[derive(Debug, Default)]
struct Lists {
    held: HashMap<SagaId, u64, foldhash::fast::RandomState>,
    dropped: Vec<(SagaId, u64)>,
}

impl HeldList {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().held.len()
    }

    /// Whose leases are to be renewed.
    pub(crate) fn all(&self) -> Vec<(SagaId, u64)> {
        self.lock().held.iter().map(|(id, epoch)| (id.clone(), *epoch)).collect()
    }

    /// What nobody works on though it was claimed.
    pub(crate) fn take_dropped(&self) -> Vec<(SagaId, u64)> {
        std::mem::take(&mut self.lock().dropped)
    }
}

/// A saga that is claimed, and a place among those under way. Dropped in the middle of something (a caller that went away, a
/// runner that ended), it is made due again at once rather than when its lease ends.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: SagaId,
    pub(crate) epoch: u64,
    list: Arc<HeldList>,
    /// It is in the list.
    listed: bool,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl Held {
    pub(crate) fn new(list: &Arc<HeldList>, id: &SagaId, epoch: u64, place: OwnedSemaphorePermit) -> Self {
        Self { id: id.clone(), epoch, list: Arc::clone(list), listed: false, over: false, _place: place }
    }

    /// It is claimed: from here on its lease is to be renewed. Before that, the same saga may be in the list by right.
    pub(crate) fn list(mut self) -> Self {
        self.list.lock().held.insert(self.id.clone(), self.epoch);
        self.listed = true;
        self
    }

    /// What is to be done with it is done.
    pub(crate) fn let_go(mut self) {
        self.over = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut lists = self.list.lock();
        let own = lists.held.get(&self.id) == Some(&self.epoch);
        if own && self.listed {
            lists.held.remove(&self.id);
        }
        if !self.over && (self.listed || !own) {
            lists.dropped.push((self.id.clone(), self.epoch));
            self.list.notify.notify_one();
        }
    }
}
