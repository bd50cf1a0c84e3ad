//! The heartbeat of this process: its row in a source, written again and again through the primary, whichever server that is.

use std::time::Duration;

use aqueduct_cdc::follow::Beats;
use aqueduct_runtime::clock;
use aqueduct_shards::{Error, Shards, Token};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::sharded::recent::Recent;

/// The rows of processes that did not beat for so long are removed.
const FORGET: Duration = Duration::from_hours(24);
/// How long one beat may take at least.
const WITHIN: Duration = Duration::from_secs(1);

/// Beats `every` so often, in the database of the first of `held`, the shards of one server, for as long as it is polled. Each beat is told to
/// `beats` before it is sent, and to `recent` when it is committed.
pub(super) async fn run(
    shards: Shards,
    (held, recent): (Vec<u8>, Recent),
    instance: u64,
    every: Duration,
    beats: Beats,
) {
    let Some(shard) = held.first().copied() else { return };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A time at first, so that it is above those of the process before.
    let mut beat = clock::now_unix_ms();
    let (mut tidied, mut failing) = (false, false);
    loop {
        ticks.tick().await;
        beat += 1;
        let now = Instant::now();
        let within = Some(now + (every * 4).max(WITHIN));
        beats.sent(beat, now);
        let sql = "INSERT INTO aqueduct_heartbeat (instance, beat) VALUES (?, ?) ON DUPLICATE KEY UPDATE beat = VALUES(beat)";
        match write(&shards, shard, (sql, (instance, beat)), within).await {
            Ok(token) => {
                recent.beat(&held, &token, now);
                failing = false;
            }
            Err(error) if !failing => {
                tracing::warn!(%error, "a heartbeat could not be written; trying again");
                failing = true;
            }
            Err(_) => {}
        }
        if !tidied && !failing {
            let old = beat.saturating_sub(u64::try_from(FORGET.as_millis()).unwrap_or(u64::MAX));
            let sql = "DELETE FROM aqueduct_heartbeat WHERE instance <> ? AND beat < ?";
            tidied = write(&shards, shard, (sql, (instance, old)), within).await.is_ok();
        }
    }
}

async fn write(
    shards: &Shards,
    shard: u8,
    (sql, values): (&str, (u64, u64)),
    within: Option<Instant>,
) -> Result<Token, Error> {
    let mut write = shards.write(shard, within).await?;
    write.exec(sql, values).await?;
    write.commit().await
}
