//! `aqueduct id`: what an ID says of itself.

use std::io::Write as _;

use anstyle::AnsiColor;
use anyhow::anyhow;
use aqueduct_ids::{Id, Layout, Parts};
use aqueduct_runtime::clock;
use serde_json::json;

use crate::cli::{DecodeArgs, IdArgs, IdCommand, Profile};
use crate::failure::Failure;

/// Explains IDs; nothing is started.
pub(crate) fn run(args: &IdArgs) -> Result<(), Failure> {
    let IdCommand::Decode(args) = &args.command;
    // All are read before the first is shown: what cannot be used is the whole answer.
    let ids = args.ids.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>();
    let ids = ids.map_err(|why| Failure::usage(anyhow!(why)))?;
    let shown: Vec<String> = ids.iter().map(|id| show(*id, args)).collect();
    let between = if args.json { "" } else { "\n" };
    // `aqueduct id decode … | head -1` is no error.
    drop(anstream::stdout().write_all(shown.join(between).as_bytes()));
    Ok(())
}

/// A decimal number as the shop's JSON shows it, in quotes or not.
fn parse(text: &str) -> Result<Id, String> {
    let digits = text.trim().trim_matches('"');
    let wanted = "the number of an ID is wanted, 0 to 9223372036854775807";
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is no ID: {wanted}"));
    }
    digits
        .parse()
        .ok()
        .and_then(Id::new)
        .ok_or_else(|| format!("{digits} is no ID: it needs more than 63 bits; {wanted}"))
}

fn show(id: Id, args: &DecodeArgs) -> String {
    let (name, layout) = match args.layout {
        Profile::Default => ("default", Layout::DEFAULT),
        Profile::Seed => ("seed", Layout::SEED),
    };
    let Parts { time_ms, route, worker, sequence } = layout.decode(id);
    let unix_ms = args.epoch.saturating_add(time_ms);
    let time = String::from_utf8_lossy(&clock::rfc3339(unix_ms)).into_owned();
    if args.json {
        let object = json!({
            // As a string, as protobuf's JSON mapping has int64: JavaScript's numbers end at 2^53.
            "id": id.to_string(),
            "time": time,
            "unixMs": unix_ms.to_string(),
            "shard": route.shard(),
            "table": route.table(),
            "worker": worker,
            "sequence": sequence,
            "layout": name,
        });
        return format!("{object}\n");
    }
    let cyan = AnsiColor::Cyan.on_default();
    let rows = [
        ("id", id.to_string()),
        ("time", format!("{time} ({time_ms} ms after the epoch)")),
        ("shard", route.shard().to_string()),
        ("table", route.table().to_string()),
        ("worker", format!("{worker} of 0 to {}", layout.max_worker())),
        ("sequence", format!("{sequence} in its millisecond")),
    ];
    let lines: Vec<_> =
        rows.iter().map(|(what, value)| format!("{cyan}{what:<8}{cyan:#}  {value}\n")).collect();
    lines.concat()
}
