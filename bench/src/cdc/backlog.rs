//! A capture that begins far behind.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aqueduct_kit::process::within;
use aqueduct_kit::{Client, until};
use tokio::time::Instant;

use super::site::Site;
use crate::progress;

/// How long it took.
pub(super) struct Caught {
    pub(super) rows: u64,
    pub(super) on_bus: Duration,
    pub(super) in_level2: Duration,
    /// Floors that were let go, since Redis was too slow for the bus.
    pub(super) let_go: u64,
}

pub(super) fn measure(site: &Site, rows: u64, per_transaction: u64) -> Result<Caught> {
    // It must have a checkpoint to be behind of.
    let mut capture = site.capture()?;
    capture.terminate()?;
    capture.wait_exit(within(60)).map_err(std::io::Error::other)?;
    let bar = progress::bar(rows).with_message("rows written");
    let transactions = rows.div_ceil(per_transaction);
    let mut written = 0;
    // Some at a time, so that there is progress to be shown.
    for some in (0..transactions).collect::<Vec<_>>().chunks(200) {
        let mut sql = String::from("USE shop;");
        for transaction in some {
            let first = 1_000_000 + transaction * per_transaction;
            let last = (first + per_transaction - 1).min(1_000_000 + rows - 1);
            let insert =
                ["INSERT INTO orders (id, version) SELECT seq, 1 FROM seq_", &first.to_string(), "_to_"];
            sql.extend(insert);
            sql.extend([&last.to_string(), ";"]);
            written += last - first + 1;
        }
        site.mariadb.sql(&sql).context("write the backlog")?;
        bar.set_position(written);
    }
    bar.finish_and_clear();

    let start = Instant::now();
    let _capture = site.capture()?;
    let bar = progress::bar(rows).with_message("rows told");
    let reached = |metric: &str| {
        let mut client = Client::new(site.admin.address());
        let look = || {
            let value = figure(&mut client, metric).unwrap_or_default();
            bar.set_position(value);
            (value >= rows).then(|| start.elapsed())
        };
        until(within(3600), look).with_context(|| format!("{metric} did not reach {rows} in an hour"))
    };
    let on_bus = reached("aqueduct_cdc_changes_total")?;
    // Written, or let go for an epoch of their table.
    let in_level2 = reached("aqueduct_cdc_floors_")?;
    bar.finish_and_clear();
    let mut client = Client::new(site.admin.address());
    let let_go = figure(&mut client, "aqueduct_cdc_floors_let_go_total").unwrap_or_default();
    Ok(Caught { rows, on_bus, in_level2, let_go })
}

/// The sum of a metric over its labels.
fn figure(client: &mut Client, metric: &str) -> Option<u64> {
    let page = client.get("/metrics").ok()?;
    let text = page.text();
    let lines = text.lines().filter(|line| line.starts_with(metric));
    Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}
