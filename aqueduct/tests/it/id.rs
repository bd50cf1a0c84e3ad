//! `aqueduct id decode`: what an ID says of itself, and what is no ID.

use aqueduct_kit::Scratch;
use serde_json::{Value, json};

use crate::kit::{Ended, Up, place, run};

/// Minted on 2025-03-01 at 08:30:00.125 UTC on shard 2, table 13, by worker 5, as the 18th of its millisecond.
const ID: &str = "77071594554819857";

fn decode(args: &[&str]) -> Ended {
    let scratch = Scratch::new("id");
    run(scratch.path(), &[&["id", "decode"], args].concat())
}

#[test]
fn an_id_is_explained() {
    let ended = decode(&[ID]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let expect = "\
id        77071594554819857
time      2025-03-01T08:30:00.125Z (36750600125 ms after the epoch)
shard     2
table     13
worker    5 of 0 to 127
sequence  17 in its millisecond
";
    assert_eq!(ended.stdout, expect);
}

#[test]
fn several_are_one_json_object_a_line() {
    let ended = decode(&[ID, "0", "--json", "--layout", "seed", "--epoch", "1000"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expect = json!({
        "id": "0", "time": "1970-01-01T00:00:01.000Z", "unixMs": "1000", "shard": 0, "table": 0,
        "worker": 0, "sequence": 0, "layout": "seed",
    });
    assert_eq!(lines[1], expect);
    // The route does not depend on the layout.
    assert_eq!((lines[0]["shard"].as_u64(), lines[0]["table"].as_u64()), (Some(2), Some(13)));
    assert_eq!((lines[0]["worker"].as_u64(), lines[0]["sequence"].as_u64()), (Some(0), Some(0x511)));
}

#[test]
fn what_is_no_id_is_told_in_one_line() {
    let check = |text: &str, expect: &str| {
        let ended = decode(&[ID, text]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{text}");
        assert!(ended.reason().contains(expect), "{text}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    };
    check("tea", "`tea` is no ID: the number of an ID is wanted");
    check("", "`` is no ID");
    check("-1", "`-1` is no ID");
    check("1e3", "`1e3` is no ID");
    check("0x10", "`0x10` is no ID");
    check("9223372036854775808", "more than 63 bits");
    check("99999999999999999999999", "more than 63 bits");
    assert_eq!(decode(&["9223372036854775807"]).code, Some(0));
}

#[test]
fn the_help_has_examples() {
    let scratch = Scratch::new("id");
    for args in [&["id", "--help"][..], &["id", "decode", "--help"]] {
        let ended = run(scratch.path(), args);
        assert!(
            ended.code == Some(0) && ended.stdout.contains("Examples:\n  aqueduct id decode"),
            "{ended:?}"
        );
    }
}

/// What the shop mints is read back with the defaults.
#[test]
fn an_orders_id_says_when_it_was_placed() {
    let scratch = Scratch::new("id-up");
    let up = Up::start(&scratch, &[]);
    let before = aqueduct_runtime::clock::now_unix_ms();
    let id = place(&mut up.edge());
    let after = aqueduct_runtime::clock::now_unix_ms();
    assert_eq!(up.stop(), Some(0));
    let decoded: Value = serde_json::from_str(&decode(&[&id, "--json"]).stdout).unwrap();
    let minted: u64 = decoded["unixMs"].as_str().unwrap().parse().unwrap();
    // IDs may run ahead of the clock by a second.
    assert!((before..=after + 1000).contains(&minted), "{before} {decoded} {after}");
    assert_eq!(decoded["worker"], 0);
}
