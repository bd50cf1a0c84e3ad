//! The ring alone: what is numbered, what is kept, what a position reads.

use bytes::Bytes;

use super::*;

fn record(payload: usize) -> Arc<Record> {
    Arc::new(Record {
        topic: "t".into(),
        key: Bytes::new(),
        source: "s".into(),
        epoch: 1,
        seq: 0,
        headers: Vec::new(),
        payload: Bytes::from(vec![0; payload]),
    })
}

fn batch(payloads: &[usize]) -> Vec<Arc<Record>> {
    payloads.iter().copied().map(record).collect()
}

fn seq(delivery: Option<Delivery>) -> Option<u64> {
    match delivery {
        Some(Delivery::Record(record)) => Some(record.seq),
        Some(Delivery::Gap { .. }) | None => None,
    }
}

#[test]
fn the_oldest_records_go_when_there_are_too_many() {
    let mut ring = Ring::new(3, usize::MAX);
    assert_eq!(ring.append(&mut batch(&[0, 0])), 1..3);
    let mut more = batch(&[0, 0, 0]);
    assert_eq!(ring.append(&mut more), 3..6);
    assert_eq!(more.iter().map(|gone| gone.seq).collect::<Vec<_>>(), [1, 2]);

    let mut position = 1;
    assert_eq!(ring.read(&mut position), Some(Delivery::Gap { missed: 2 }));
    assert_eq!([(); 4].map(|()| seq(ring.read(&mut position))), [Some(3), Some(4), Some(5), None]);
    assert_eq!(ring.missed(), 2);
}

#[test]
fn the_oldest_records_go_when_they_are_too_large() {
    let mut ring = Ring::new(100, 3 * record(1000).size());
    ring.append(&mut batch(&[1000, 1000, 1000]));
    assert_eq!(ring.held().0, 3);
    ring.append(&mut batch(&[1]));
    assert_eq!(ring.held(), (3, 2 * record(1000).size() + record(1).size()));
}

#[test]
fn a_record_beyond_the_capacity_is_a_gap_and_the_next_one_is_read() {
    let mut ring = Ring::new(100, 2000);
    ring.append(&mut batch(&[1, 5000]));
    assert_eq!(ring.held(), (0, 0));
    let mut position = 1;
    assert_eq!(ring.read(&mut position), Some(Delivery::Gap { missed: 2 }));
    ring.append(&mut batch(&[1]));
    assert_eq!(seq(ring.read(&mut position)), Some(3));
}

#[test]
fn a_batch_beyond_the_capacity_keeps_its_end() {
    let mut ring = Ring::new(2, usize::MAX);
    ring.append(&mut batch(&[0; 10]));
    let mut position = 1;
    assert_eq!(ring.read(&mut position), Some(Delivery::Gap { missed: 8 }));
    assert_eq!(seq(ring.read(&mut position)), Some(9));
}

#[test]
fn headers_keys_and_payloads_count() {
    let empty = record(0).size();
    let full = Record {
        key: Bytes::from_static(b"four"),
        headers: vec![crate::Header { name: "n".into(), value: Bytes::from_static(b"v") }],
        ..Arc::unwrap_or_clone(record(10))
    };
    assert_eq!(full.size(), empty + 4 + 10 + 2 + size_of::<crate::Header>());
}
