//! A reader: a position in the log, moved only at the instant a delivery is handed out.

use std::sync::Arc;

use crate::log::Shared;
use crate::record::Delivery;

/// Receives every record of a [`Log`](crate::Log) from the moment it subscribed, in order, or a gap where it was
/// too slow.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    position: u64,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, position: u64) -> Self {
        Self { shared, position }
    }

    /// The next delivery, or `None` when the log is closed and read to its end.
    ///
    /// Cancel-safe: a future dropped before it was ready has taken nothing. Sleeps until woken, without polling.
    pub async fn recv(&mut self) -> Option<Delivery> {
        // A reader that never runs dry must still let other tasks of its thread run, as tokio's channels do.
        tokio::task::coop::consume_budget().await;
        loop {
            // Made before looking, so that a record published between the look and the await wakes it (the
            // documentation of `Notified` promises that). No test can hit that window: keep the order.
            let woken = self.shared.wake.notified();
            {
                let mut state = self.shared.lock();
                if let Some(delivery) = state.ring.read(&mut self.position) {
                    return Some(delivery);
                }
                if state.closed {
                    return None;
                }
            }
            woken.await;
        }
    }

    /// Appends up to `limit` (at least one) deliveries to `into` under one lock and returns how many; waits for
    /// the first one only. 0 when the log is closed and read to its end. Cancel-safe, as [`recv`](Self::recv).
    pub async fn recv_many(&mut self, into: &mut Vec<Delivery>, limit: usize) -> usize {
        let Some(first) = self.recv().await else { return 0 };
        into.push(first);
        let mut taken = 1;
        let mut state = self.shared.lock();
        while taken < limit
            && let Some(delivery) = state.ring.read(&mut self.position)
        {
            into.push(delivery);
            taken += 1;
        }
        taken
    }

    /// The `seq` of the record that comes next, unless a gap does.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many records were published and not yet received.
    pub fn lag(&self) -> u64 {
        self.shared.lock().ring.next_seq() - self.position
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.readers -= 1;
        // The last reader takes the ring with it: records are kept for readers only.
        let unread = if state.readers == 0 { Some(state.ring.clear()) } else { None };
        drop(state);
        drop(unread);
    }
}
