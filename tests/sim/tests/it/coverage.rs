//! What the seeds reach: a simulation that never comes to a place proves nothing about it.

use std::collections::BTreeMap;

use aqueduct_sim::history::{Answer, Event, Kind, What, Write};
use aqueduct_sim::run;

const SEEDS: u64 = 60;

/// Names for what an event shows.
fn names(event: &Event) -> Vec<&'static str> {
    let name = match &event.what {
        What::Read { answer, token, .. } => {
            let answer = match answer {
                Answer::Unmarked(Some(_)) => "a row",
                Answer::Unmarked(None) => "no row",
                Answer::Marked(..) => "a stale row",
                Answer::Refused(_) => "a refusal",
            };
            return if token.is_some() { vec![answer, "a token"] } else { vec![answer] };
        }
        What::Committed { prepared: Some(_), .. } => "a distributed commit",
        What::Committed { writes, .. } => match writes.as_slice() {
            [Write::Table(_)] => "an emptied table",
            [Write::Row { tombstone: true, .. }] => "a deletion",
            [Write::Row { .. }] => "a write",
            [Write::Row { tombstone: true, .. }, _] => "another key",
            _ => "a big transaction",
        },
        What::Published(told) if matches!(told.as_slice(), [Write::Table(_), ..]) => "a bump",
        What::Served { kind: Kind::Live, .. } => "a row in the second level",
        What::Served { kind: Kind::Negative, .. } => "no row in the second level",
        What::Stored { fill: Some(_), .. } => "a fill",
        What::Stored { fill: None, .. } => "a floor",
        What::Granted { .. } => "a lease",
        What::Released { .. } => "a lease that is given back",
        What::Owed(_) => "floors that are let go",
        What::Paid(_) => "an epoch for them",
        What::Saved { source: 1, .. } => "a second database",
        What::Note(text) if text.starts_with("rolled back") => "a distributed rollback",
        What::Note(text) if text.contains("missed") => "a gap",
        What::Note(text) if text.contains("was replaced") => "a replaced master that answers",
        What::Fault(text) if text.contains("is dead, 0 ") => "a failover without loss",
        What::Fault(text) if text.contains("is dead") => "a failover with loss",
        What::Fault(text) if text.starts_with("KillCdc") && text.contains("Binlog") => "a purged binlog",
        What::Fault(text) if text.starts_with("KillCdc") && text.contains("Checkpoint") => {
            "a lost checkpoint"
        }
        What::Fault(text) => {
            let all =
                ["KillCdc", "StopCdc", "Handover", "RedisDown", "RedisSlow", "BusDown", "BusReset", "Deaf"];
            let rest = ["KillInstance", "StoreDown", "Lag", "Replaced"];
            return all.into_iter().chain(rest).filter(|name| text.starts_with(name)).collect();
        }
        _ => return Vec::new(),
    };
    vec![name]
}

#[test]
fn the_seeds_come_everywhere() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..SEEDS {
        for name in run(seed, None).history.iter().flat_map(names) {
            *seen.entry(name).or_default() += 1;
        }
    }
    println!("{seen:#?}");
    assert_eq!(seen.len(), 40, "{seen:#?}");
}
