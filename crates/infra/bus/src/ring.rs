//! The bounded memory of a log: its newest records, by their sequence numbers. Plain data, locked by its owner.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::record::{Delivery, Record};

/// The number of the first record.
pub(crate) const FIRST_SEQ: u64 = 1;

#[derive(Debug)]
pub(crate) struct Ring {
    /// Consecutive, the last one numbered `next_seq - 1`.
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    next_seq: u64,
    missed: u64,
    capacity_records: usize,
    capacity_bytes: usize,
}

impl Ring {
    pub(crate) fn new(capacity_records: usize, capacity_bytes: usize) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            next_seq: FIRST_SEQ,
            missed: 0,
            capacity_records,
            capacity_bytes,
        }
    }

    /// Numbers the records and takes them in. Leaves in `batch` those that had to go, for the caller to drop
    /// outside the lock: that frees memory, and may run code of the payloads' owners.
    pub(crate) fn append(&mut self, batch: &mut Vec<Arc<Record>>) -> Range<u64> {
        let first = self.next_seq;
        for mut record in batch.drain(..) {
            // Nobody else holds it yet, so this never clones.
            Arc::make_mut(&mut record).seq = self.next_seq;
            self.next_seq += 1;
            self.bytes += record.size();
            self.records.push_back(record);
        }
        while self.records.len() > self.capacity_records || self.bytes > self.capacity_bytes {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= oldest.size();
            batch.push(oldest);
        }
        first..self.next_seq
    }

    /// Numbers `count` records that nobody reads.
    pub(crate) fn skip(&mut self, count: u64) -> Range<u64> {
        debug_assert!(self.records.is_empty(), "records are kept for readers only");
        let first = self.next_seq;
        self.next_seq += count;
        first..self.next_seq
    }

    /// What comes next for a reader at `position`, which is moved past it; `None` when nothing does yet.
    pub(crate) fn read(&mut self, position: &mut u64) -> Option<Delivery> {
        let oldest = self.next_seq - self.records.len() as u64;
        if *position < oldest {
            let missed = oldest - *position;
            self.missed += missed;
            *position = oldest;
            return Some(Delivery::Gap { missed });
        }
        let record = self.records.get(usize::try_from(*position - oldest).ok()?)?;
        *position += 1;
        Some(Delivery::Record(Arc::clone(record)))
    }

    /// Forgets all records; the caller drops them.
    pub(crate) fn clear(&mut self) -> VecDeque<Arc<Record>> {
        self.bytes = 0;
        std::mem::take(&mut self.records)
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Records missed by all readers together.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// Records and bytes held.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.records.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests;
