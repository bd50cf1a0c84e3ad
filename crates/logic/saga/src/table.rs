//! The headers of a store that lives in one process: which sagas are due, and whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::id::SagaId;
use crate::store::{Change, Figures, Header};
use crate::view::{Filter, Millis, Status, Summary};

/// Headers by their ids, and by when they are due.
#[derive(Debug, Default)]
pub(crate) struct Table {
    headers: BTreeMap<SagaId, Header>,
    due: BTreeSet<(Millis, SagaId)>,
    /// Those that have not ended, oldest first.
    open: BTreeSet<(Millis, SagaId)>,
    running: u64,
    compensating: u64,
    parked: u64,
}

/// How a change fits what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fit {
    /// This is the header after it.
    Next(Header),
    /// A change with this number, of this epoch, was the last one: the same one, if it has the same row.
    Last,
    /// Somebody else has the saga.
    Lost,
}

impl Table {
    pub(crate) fn get(&self, id: &SagaId) -> Option<&Header> {
        self.headers.get(id)
    }

    /// Puts a header in the place of what is there.
    pub(crate) fn put(&mut self, header: Header) {
        let id = header.summary.id.clone();
        self.remove(&id);
        if let Some(at) = header.due_at {
            self.due.insert((at, id.clone()));
        }
        if !header.summary.status.is_terminal() {
            self.open.insert((header.summary.created_at, id.clone()));
        }
        if let Some(count) = self.count(header.summary.status) {
            *count += 1;
        }
        self.headers.insert(id, header);
    }

    pub(crate) fn remove(&mut self, id: &SagaId) {
        let Some(header) = self.headers.remove(id) else { return };
        if let Some(at) = header.due_at {
            self.due.remove(&(at, id.clone()));
        }
        self.open.remove(&(header.summary.created_at, id.clone()));
        if let Some(count) = self.count(header.summary.status) {
            *count -= 1;
        }
    }

    fn count(&mut self, status: Status) -> Option<&mut u64> {
        match status {
            Status::Running => Some(&mut self.running),
            Status::Compensating => Some(&mut self.compensating),
            Status::Parked => Some(&mut self.parked),
            _ => None,
        }
    }

    /// Whether a change may be made, and to what it leads.
    pub(crate) fn fit(&self, change: &Change) -> Fit {
        let Some(header) = self.headers.get(&change.id).filter(|header| header.epoch == change.epoch) else {
            return Fit::Lost;
        };
        if header.seq == change.seq + 1 {
            return Fit::Last;
        }
        if header.seq != change.seq || header.summary.status.is_terminal() {
            return Fit::Lost;
        }
        let summary = Summary {
            status: change.status,
            reason: change.reason.clone(),
            finished_at: change.finished_at,
            ..header.summary.clone()
        };
        Fit::Next(Header { summary, seq: change.seq + 1, due_at: change.due_at, ..header.clone() })
    }

    /// Claims what is due at `now`: a higher epoch, and due again at `until`.
    pub(crate) fn claim(&mut self, now: Millis, until: Millis, most: usize) -> Vec<Header> {
        let due: Vec<_> = self.due.iter().take_while(|(at, _)| *at <= now).take(most).cloned().collect();
        let claimed = due.into_iter().filter_map(|(_, id)| {
            let header = self.headers.get(&id)?;
            let header = Header { epoch: header.epoch + 1, due_at: Some(until), ..header.clone() };
            self.put(header.clone());
            Some(header)
        });
        claimed.collect()
    }

    /// Moves what still has this epoch.
    pub(crate) fn renew(&mut self, id: &SagaId, epoch: u64, due_at: Millis) {
        let held = self.headers.get(id).filter(|header| header.epoch == epoch && header.due_at.is_some());
        if let Some(header) = held.cloned() {
            self.put(Header { due_at: Some(due_at), ..header });
        }
    }

    pub(crate) fn next_due(&self) -> Millis {
        self.due.first().map_or(Millis::MAX, |(at, _)| *at)
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            running: self.running,
            compensating: self.compensating,
            parked: self.parked,
            oldest: self.open.first().map(|(at, _)| *at),
        }
    }

    /// Those that a filter wants, in order.
    pub(crate) fn list(&self, filter: &Filter) -> Vec<Summary> {
        let from = filter.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let wanted = filter.wanted();
        let summaries = self.headers.range((from, Bound::Unbounded)).map(|(_, header)| &header.summary);
        let fits = summaries.filter(|summary| wanted.is_none_or(|status| status == summary.status));
        fits.take(filter.limit).cloned().collect()
    }

    /// The ids of those that ended before `before`.
    pub(crate) fn ended(&self, before: Millis, most: usize) -> Vec<SagaId> {
        let ended =
            self.headers.values().filter(|header| header.summary.finished_at.is_some_and(|at| at < before));
        ended.take(most).map(|header| header.summary.id.clone()).collect()
    }
}
