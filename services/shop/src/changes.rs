//! The changes of orders on the bus, of this process or of many: how one is written, and how a task follows them.
//!
//! A record on the topic `shop.orders` has the order's id as its key and its new word as the payload, both big-endian.
//! Whoever has missed some is told so, since only he knows what follows from it.

use std::sync::Arc;

use aqueduct_bus::{Closed, Delivery, Draft, Log, Reader, Record};
use aqueduct_fsm::Word;
use bytes::{BufMut as _, BytesMut};

/// The name of the topic.
const TOPIC: &str = "shop.orders";
/// How many deliveries are taken from the bus at once.
const BATCH: usize = 256;

/// One order and what it has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) order: i64,
    pub(crate) word: Word,
}

/// Writes changes to a bus.
#[derive(Debug)]
pub(crate) struct Publisher {
    bus: Log,
    topic: Arc<str>,
}

impl Publisher {
    pub(crate) fn new(bus: Log) -> Self {
        Self { bus, topic: TOPIC.into() }
    }

    /// Publishes a batch under one lock. Never waits.
    pub(crate) fn publish(&self, changes: impl ExactSizeIterator<Item = Change>) -> Result<(), Closed> {
        // One buffer for the whole batch: its records leave the bus together, so none keeps it longer than the rest.
        let mut buffer = BytesMut::with_capacity(16 * changes.len());
        self.bus.publish_all(changes.map(|change| {
            buffer.put_i64(change.order);
            let key = buffer.split().freeze();
            buffer.put_u64(change.word.bits());
            Draft { topic: self.topic.clone(), key, headers: Vec::new(), payload: buffer.split().freeze() }
        }))?;
        Ok(())
    }
}

/// Calls `on` for every change, in order, until the bus is closed; with `None` where some were missed.
pub(crate) async fn follow(mut bus: Reader, mut on: impl FnMut(Option<Change>)) {
    let mut deliveries = Vec::with_capacity(BATCH);
    while bus.recv_many(&mut deliveries, BATCH).await > 0 {
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Record(record) if &*record.topic != TOPIC => {}
                // A record that cannot be read is a change that was missed.
                Delivery::Record(record) => on(read(&record)),
                Delivery::Gap { missed } => {
                    tracing::warn!(missed, "changes of orders were missed on the bus");
                    on(None);
                }
            }
        }
    }
}

/// A change for a bus of any kind.
pub(crate) fn draft(change: Change) -> Draft {
    Draft::new(TOPIC, change.order.to_be_bytes().to_vec(), change.word.bits().to_be_bytes().to_vec())
}

/// The change in a record; `None` if it holds something else.
pub(crate) fn read(record: &Record) -> Option<Change> {
    if &*record.topic != TOPIC {
        return None;
    }
    let order = i64::from_be_bytes(record.key[..].try_into().ok()?);
    let word = u64::from_be_bytes(record.payload[..].try_into().ok()?);
    Some(Change { order, word: Word::from_bits(word)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(order: i64, version: u64) -> Change {
        Change { order, word: Word::new(1, version).unwrap() }
    }

    async fn all(reader: Reader) -> Vec<Option<Change>> {
        let mut seen = Vec::new();
        follow(reader, |change| seen.push(change)).await;
        seen
    }

    #[tokio::test]
    async fn a_follower_sees_what_was_published_and_what_it_missed() {
        let bus = Log::new(aqueduct_bus::Options { capacity_records: 2, ..Default::default() });
        let reader = bus.subscribe();
        let changes = [1, 2, 3].map(|order| change(order, 1));
        Publisher::new(bus.clone()).publish(changes.into_iter()).unwrap();
        bus.close();
        assert_eq!(all(reader).await, [None, Some(change(2, 1)), Some(change(3, 1))]);
    }

    #[tokio::test]
    async fn other_topics_are_passed_over_and_damage_counts_as_missed() {
        let bus = Log::new(aqueduct_bus::Options::default());
        let reader = bus.subscribe();
        bus.publish(Draft::new("shop.others", vec![1], vec![2])).unwrap();
        bus.publish(Draft::new(TOPIC, vec![1], vec![2])).unwrap();
        bus.close();
        assert_eq!(all(reader).await, [None]);
    }
}
