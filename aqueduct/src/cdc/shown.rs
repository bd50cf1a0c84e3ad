//! What is shown of a source: checks for the probes, figures for the metrics.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_bus::jetstream::Bus;
use aqueduct_cdc::Progress;
use aqueduct_cdc::feed::Gauge;
use aqueduct_runtime::{clock, task};
use aqueduct_telemetry::health::{Check, OnFailure};
use tokio::time::interval;

use crate::process::Process;

/// How often the checks are set.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// From here on a source is too far behind to be of use.
const TOO_FAR: u64 = 10;

/// The reader and the feed of the moment.
type Now = Arc<Mutex<Option<(Progress, Gauge)>>>;

/// Whether a capture has checks of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    Here,
    /// The process has checks of the same servers already.
    Elsewhere,
}

/// One source's figures. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Shown(Now);

struct Asked {
    mysql: Check,
    redis: Option<Check>,
    bus: Check,
    cdc: Check,
}

impl Shown {
    pub(super) fn new(source: &str, level2: bool, bus: Bus, (process, checks): (&Process, Checks)) -> Self {
        let now = Now::default();
        collect(process, source.to_owned(), Arc::clone(&now));
        if checks == Checks::Elsewhere {
            return Self(now);
        }
        let check = |what: &str| process.health.check(&format!("{what}/{source}"), OnFailure::Degraded);
        let checks = Asked {
            mysql: check("mysql"),
            redis: level2.then(|| check("redis")),
            bus: check("bus"),
            cdc: check("cdc"),
        };
        task::spawn("cdc-checks", watch(Arc::clone(&now), bus, checks));
        Self(now)
    }

    /// From now on these count.
    pub(super) fn follow(&self, progress: Progress, gauge: Gauge) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((progress, gauge));
    }
}

fn of(now: &Now) -> Option<(Progress, Gauge)> {
    now.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Seconds between what was read last and the present; 0 when there is nothing to read.
fn lag(progress: &Progress) -> u64 {
    progress.written().map_or(0, |written| clock::since_epoch().as_secs().saturating_sub(written))
}

async fn watch(now: Now, bus: Bus, checks: Asked) {
    let mut ticks = interval(CHECK_EVERY);
    loop {
        ticks.tick().await;
        checks.bus.set(bus.connected(), if bus.connected() { "" } else { "no connection" });
        let Some((progress, gauge)) = of(&now) else { continue };
        let stats = gauge.stats();
        let sends = progress.connected();
        checks.mysql.set(sends, if sends { "" } else { "the binlog does not come" });
        if let Some(redis) = &checks.redis {
            let waits = format!("{} floors wait", stats.queue);
            redis.set(!stats.failing, if stats.failing { waits } else { String::new() });
        }
        let lag = lag(&progress);
        checks.cdc.set(sends && lag < TOO_FAR, format!("lag {lag} s"));
    }
}

fn collect(process: &Process, source: String, now: Now) {
    process.registry.collect(move |snapshot| {
        let Some((progress, gauge)) = of(&now) else { return };
        let stats = gauge.stats();
        let of = |value: u64| [([("source", source.as_str())], value)];
        snapshot.counters("cdc_events", "Events read from the binlog", of(progress.events()));
        snapshot.counters("cdc_reconnects", "Times that the binlog broke off", of(progress.reconnects()));
        snapshot.gauges("cdc_lag_seconds", "Age of what was read last", of(lag(&progress)));
        snapshot.counters("cdc_transactions", "Transactions taken", of(stats.transactions));
        snapshot.counters(
            "cdc_settled",
            "Transactions that the bus and the second level have",
            of(stats.settled),
        );
        snapshot.counters("cdc_changes", "Changed rows told", of(stats.changes));
        snapshot.counters("cdc_beats", "Heartbeats told", of(stats.beats));
        snapshot.counters("cdc_records", "Records that the bus acknowledged", of(stats.records));
        snapshot.counters("cdc_floors", "Floors that the second level acknowledged", of(stats.floors));
        snapshot.counters(
            "cdc_floors_let_go",
            "Floors let go while the second level was away",
            of(stats.let_go),
        );
        snapshot.counters(
            "cdc_level2_failures",
            "Attempts that the second level did not acknowledge",
            of(stats.failures),
        );
        snapshot.gauges("cdc_queue", "Floors that wait for the second level", of(stats.queue));
        snapshot.gauges("cdc_pending_tables", "Tables whose epoch must still be raised", of(stats.pending));
        let bumps = stats
            .bumps
            .iter()
            .map(|(reason, count)| ([("source", source.as_str()), ("reason", *reason)], *count));
        snapshot.counters("cdc_bumps", "Times that whole tables were invalidated", bumps);
    });
}
