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
    let typed = Definition::Typed { name: "transfer".into(), hash: [7; 32] };
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
        Event::Unknown { spot, reason: String::new(), retry_at: u64::MAX },
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
    Row { at: 1_764_244_800_000, epoch: 3, events }
}

#[test]
fn rows_come_back_as_they_were() {
    let row = all();
    assert_eq!(Row::decode(&row.encode()), Ok(row));
    let empty = Row { at: 0, epoch: 0, events: Vec::new() };
    assert_eq!(Row::decode(&empty.encode()), Ok(empty));
}

/// The format is on disks: a change of it is a new version.
#[test]
fn the_bytes_are_these() {
    let row = Row {
        at: 300,
        epoch: 2,
        events: vec![Event::Sent { spot: Spot { step: 1, op: Op::Compensate }, attempt: 4 }],
    };
    let bytes = row.encode();
    assert_eq!(bytes[..bytes.len() - 8], [1, 0xac, 2, 2, 1, 2, 3, 4]);
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
        &[2, 0, 0, 0],
        &[1, 0, 0, 1, 99],
        &[1, 0, 0, 1],
        &[1, 0, 0, 0, 0],
        &[1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[1, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[1, 0, 0, 1, 7, 1, 0xff],
    ] {
        assert_eq!(Row::decode(&sealed(body)), Err(DamagedRow), "{body:?}");
    }
}
