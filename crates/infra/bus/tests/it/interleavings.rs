//! Random interleavings of publishing, subscribing, reading and leaving, against a model that forgets nothing.

use aqueduct_bus::{Delivery, Draft, Log, Options, Reader};
use proptest::prelude::*;

use super::take;

const RECORDS: usize = 10;
/// Room for a few large records, so that now the count and now the bytes decide what is kept.
const BYTES: usize = 4000;

#[derive(Clone, Debug)]
enum Event {
    Publish(Vec<usize>),
    Subscribe,
    Read { reader: usize, count: usize },
    Leave { reader: usize },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => prop::collection::vec(prop_oneof![0..50_usize, 500..2500_usize, Just(5000)], 0..8).prop_map(Event::Publish),
        2 => Just(Event::Subscribe),
        4 => (0..4_usize, 1..12_usize).prop_map(|(reader, count)| Event::Read { reader, count }),
        1 => (0..4_usize).prop_map(|reader| Event::Leave { reader }),
    ]
}

/// What the log should do, computed the slow way.
#[derive(Default)]
struct Model {
    /// Sizes of all records ever published, by `seq - 1`.
    sizes: Vec<usize>,
    /// Records below this are gone.
    oldest: usize,
    missed: u64,
}

impl Model {
    fn publish(&mut self, sizes: &[usize], read: bool) {
        self.sizes.extend(sizes);
        if !read {
            self.oldest = self.sizes.len();
        }
        while self.sizes.len() - self.oldest > RECORDS || self.held_bytes() > BYTES {
            self.oldest += 1;
        }
    }

    fn held_bytes(&self) -> usize {
        self.sizes[self.oldest..].iter().sum()
    }

    /// The next delivery of a reader at `position` (0-based): a record's seq, or a gap.
    fn read(&mut self, position: &mut usize) -> Option<Result<u64, u64>> {
        if *position < self.oldest {
            let missed = (self.oldest - *position) as u64;
            *position = self.oldest;
            self.missed += missed;
            return Some(Err(missed));
        }
        (*position < self.sizes.len()).then(|| {
            *position += 1;
            Ok(*position as u64)
        })
    }
}

/// What the payload of a record is filled with.
fn mark(seq: u64) -> u8 {
    seq.to_le_bytes()[0]
}

fn as_model(delivery: Delivery) -> Result<u64, u64> {
    match delivery {
        Delivery::Record(record) => {
            assert!(record.payload.iter().all(|byte| *byte == mark(record.seq)), "another record's payload");
            Ok(record.seq)
        }
        Delivery::Gap { missed } => Err(missed),
    }
}

proptest! {
    #[test]
    fn readers_miss_nothing_silently(events in prop::collection::vec(event(), 1..80)) {
        let log = Log::new(Options { capacity_records: RECORDS, capacity_bytes: BYTES, ..Options::default() });
        // The fixed part of a record's size is learnt from a log.
        let overhead = {
            let log = Log::new(Options::default());
            let _reader = log.subscribe();
            log.publish(Draft::default()).unwrap();
            log.stats().held_bytes
        };
        let mut model = Model::default();
        let mut readers: Vec<(Reader, usize)> = Vec::new();
        for event in events {
            match event {
                Event::Publish(payloads) => {
                    let next = model.sizes.len() as u64 + 1;
                    let drafts = payloads.iter().enumerate().map(|(nth, len)| {
                        Draft { payload: vec![mark(next + nth as u64); *len].into(), ..Draft::default() }
                    });
                    let seqs = log.publish_all(drafts).unwrap();
                    prop_assert_eq!(seqs, next..next + payloads.len() as u64);
                    let sizes: Vec<_> = payloads.iter().map(|len| len + overhead).collect();
                    model.publish(&sizes, !readers.is_empty());
                }
                Event::Subscribe => readers.push((log.subscribe(), model.sizes.len())),
                Event::Read { reader, count } => {
                    let Some((reader, position)) = readers.get_mut(reader) else { continue };
                    for _ in 0..count {
                        prop_assert_eq!(take(reader).map(as_model), model.read(position));
                    }
                    prop_assert_eq!(reader.lag(), (model.sizes.len() - *position) as u64);
                }
                Event::Leave { reader } if reader < readers.len() => {
                    readers.swap_remove(reader);
                    model.publish(&[], !readers.is_empty());
                }
                Event::Leave { .. } => {}
            }
            let stats = log.stats();
            prop_assert_eq!(stats.held_records, model.sizes.len() - model.oldest);
            prop_assert_eq!(stats.held_bytes, model.held_bytes());
            prop_assert_eq!((stats.readers, stats.missed), (readers.len(), model.missed));
        }
    }
}
