use bytes::Bytes;

use super::*;
use crate::plan::{Definition, Kind, PlanStep};

fn all() -> Row {
    let spot = Spot { step: 1, op: Op::Execute };
    let undo = Spot { step: 300, op: Op::Compensate };
    let text = || "warum".to_owned();
    let steps = vec![
        PlanStep::new("debit", Kind::Compensable, "http://a", r#"{"n":1.10}"#),
        PlanStep::new("hold", Kind::Compensable, "", "").together(),
        PlanStep::new("credit", Kind::Pivot, "x", Bytes::new()),
        PlanStep::new("tell", Kind::Retriable, "x", vec![0xff, 0]),
    ];
    let typed = Definition::Typed { name: "transfer".into(), hash: [7; 32], input: "{}".into() };
    let context = vec![("trace".into(), "00-1".into()), (String::new(), String::new())];
    let created = |definition, deadline_at| Event::Created {
        plan: Plan { definition, steps: steps.clone(), fingerprint: [9; 32] },
        context: context.clone(),
        deadline_at,
    };
    let events = vec![
        created(Definition::Dynamic, None),
        created(typed, Some(0)),
        Event::Sent { spot, attempt: u32::MAX },
        Event::Done { spot, output: Bytes::from_static(b"\0\x01") },
        Event::Rejected { spot: undo, reason: text() },
        Event::Unknown { spot, attempt: 9, failures: 8, reason: String::new(), retry_at: u64::MAX },
        Event::Withdrawn { spot },
        Event::Turned { reason: text() },
        Event::Completed,
        Event::Compensated,
        Event::Parked { spot: Some(undo), reason: text() },
        Event::Parked { spot: None, reason: text() },
        Event::Retried { actor: text() },
        Event::Skipped { actor: text() },
        Event::Abandoned { actor: text() },
    ];
    Row { at: 1_764_244_800_000, epoch: 3, prev: 7, events }
}

#[test]
fn rows_come_back_as_they_were() {
    let row = all();
    assert_eq!(Row::decode(&row.encode()), Ok(row));
    let empty = Row { at: 0, epoch: 0, prev: 0, events: Vec::new() };
    assert_eq!(Row::decode(&empty.encode()), Ok(empty));
}

/// The format is on disks: a change of it is a new version.
#[test]
fn the_bytes_are_these() {
    let row = Row {
        at: 300,
        epoch: 2,
        prev: 5,
        events: vec![Event::Sent { spot: Spot { step: 1, op: Op::Compensate }, attempt: 4 }],
    };
    let bytes = row.encode();
    assert_eq!(bytes[..bytes.len() - 8], [1, 0xac, 2, 2, 5, 1, 2, 3, 4]);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let bytes = all().encode();
    for at in 0..bytes.len() {
        assert_eq!(Row::decode(&bytes[..at]), Err(DamagedRow));
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(Row::decode(&flipped), Err(DamagedRow), "byte {at}, bit {bit}");
        }
    }
}

/// A checksum is no proof: what bears one and is nonsense is an error, not a panic and not a big allocation.
#[test]
fn nonsense_with_a_checksum_is_damaged() {
    let sealed = |body: &[u8]| [body, &crate::wire::checksum(body).to_le_bytes()].concat();
    for body in [
        &[][..],
        &[2, 0, 0, 0, 0],
        &[1, 0, 0, 0, 1, 99],
        &[1, 0, 0, 0, 1],
        &[1, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[1, 0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[1, 0, 0, 0, 1, 7, 1, 0xff],
    ] {
        assert_eq!(Row::decode(&sealed(body)), Err(DamagedRow), "{body:?}");
    }
}

/// Attempts that go on and on: the first ones are kept, and the last failure.
#[test]
fn a_tail_of_attempts_does_not_grow() {
    use super::tail::Tail;
    let call = Spot { step: 0, op: Op::Execute };
    let unknown = |spot, attempt| Event::Unknown {
        spot,
        attempt,
        failures: attempt,
        reason: String::new(),
        retry_at: 0,
    };
    let (mut tail, mut log, mut seq) = (Tail::default(), vec![(1, 0)], 1);
    let mut write = |log: &mut Vec<(u64, u64)>, events: &[Event]| {
        let place = tail.place(seq, events);
        log.retain(|(row, _)| !place.drops.contains(row));
        seq += 1;
        log.push((seq, place.prev));
        tail.push(seq, events, &place);
    };
    for attempt in 1..1000 {
        write(&mut log, &[Event::Sent { spot: call, attempt }]);
        write(&mut log, &[unknown(call, attempt)]);
        assert!(log.len() <= 23, "{}", log.len());
    }
    assert_eq!(log[..4], [(1, 0), (2, 1), (3, 2), (4, 3)]);
    assert_eq!(log[21], (1999, 21), "the last failure comes behind the first twenty");
    let prevs: Vec<_> = log.iter().map(|(_, prev)| *prev).skip(1).collect();
    let rows: Vec<_> = log.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(prevs, rows[..rows.len() - 1], "a chain");
    // Something else ends it, and what comes then is counted anew.
    write(&mut log, &[Event::Done { spot: call, output: Bytes::new() }]);
    let other = Spot { step: 1, op: Op::Execute };
    for attempt in 1..=10 {
        write(&mut log, &[Event::Sent { spot: other, attempt }]);
        write(&mut log, &[unknown(other, attempt)]);
    }
    assert_eq!(log.len(), 22 + 1 + 20);
}
