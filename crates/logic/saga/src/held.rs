//! The sagas that this process has claimed: whose leases are to be renewed, and what was dropped unfinished.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::id::SagaId;
use crate::view::Millis;

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
    held: HashMap<SagaId, Lease, foldhash::fast::RandomState>,
    dropped: Vec<(SagaId, u64)>,
}

/// A claim and its end, as the store has them.
#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: u64,
    until: Millis,
}

impl HeldList {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().held.len()
    }

    /// Somebody in this process works on it.
    pub(crate) fn has(&self, id: &SagaId) -> bool {
        self.lock().held.contains_key(id)
    }

    /// Whose leases end before this.
    pub(crate) fn ending(&self, before: Millis) -> Vec<(SagaId, u64)> {
        let lists = self.lock();
        let ending = lists.held.iter().filter(|(_, lease)| lease.until < before);
        ending.map(|(id, lease)| (id.clone(), lease.epoch)).collect()
    }

    /// Their leases end at this time now.
    pub(crate) fn renewed(&self, held: &[(SagaId, u64)], until: Millis) {
        let mut lists = self.lock();
        for (id, epoch) in held {
            if let Some(lease) = lists.held.get_mut(id).filter(|lease| lease.epoch == *epoch) {
                lease.until = until;
            }
        }
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

    /// It is claimed until then: from here on its lease is to be renewed. Before that, the same saga may be in the list by
    /// right.
    pub(crate) fn list(mut self, until: Millis) -> Self {
        self.list.lock().held.insert(self.id.clone(), Lease { epoch: self.epoch, until });
        self.listed = true;
        self
    }

    /// When its lease ends after the next transition: as before, while more than half of it is left. Stores keep sagas in the
    /// order of these times, and most sagas end before theirs: to move them there with each transition is work for nothing.
    pub(crate) fn lease_end(&self, now: Millis, lease: Millis) -> Millis {
        let mut lists = self.list.lock();
        match lists.held.get_mut(&self.id).filter(|held| held.epoch == self.epoch) {
            Some(held) => {
                if held.until < now.saturating_add(lease / 2) {
                    held.until = now.saturating_add(lease);
                }
                held.until
            }
            None => now.saturating_add(lease),
        }
    }

    /// What is to be done with it is done.
    pub(crate) fn let_go(mut self) {
        self.over = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut lists = self.list.lock();
        let own = lists.held.get(&self.id).is_some_and(|lease| lease.epoch == self.epoch);
        if own && self.listed {
            lists.held.remove(&self.id);
        }
        if !self.over && (self.listed || !own) {
            lists.dropped.push((self.id.clone(), self.epoch));
            self.list.notify.notify_one();
        }
    }
}
