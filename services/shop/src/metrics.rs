//! Rate, errors and duration of each method, counted at the call, with the log line of one that failed through no fault
//! of its caller; and the figures of cache, fsm and bus, read at a scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aqueduct_cache::Watermarks;
use aqueduct_cache::l2::{self, TierStats};
use aqueduct_fsm::GroupStats;
use aqueduct_runtime::context::Context;
use aqueduct_shards::ServerStats;
use aqueduct_telemetry::metrics::{Buckets, Histogram, HistogramSnapshot, Registry, Snapshot};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::bank::Bank;
use crate::book::Book;
use crate::cluster::relay::Relayed;
use crate::orders::Orders;
use crate::refuse::Refusal;
use crate::sharded::Sharded;

/// The codes of gRPC by number, as they are written in labels.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The figures of all methods.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) create: Method,
    pub(crate) get: Method,
    pub(crate) list: Method,
    pub(crate) pay: Method,
    pub(crate) ship: Method,
    pub(crate) complete: Method,
    pub(crate) watch: Method,
    pub(crate) create_account: Method,
    pub(crate) get_account: Method,
    pub(crate) create_transfer: Method,
    pub(crate) get_transfer: Method,
}

/// The figures of one method.
#[derive(Debug)]
pub(crate) struct Method {
    name: &'static str,
    seconds: Histogram,
    codes: [AtomicU64; CODES.len()],
}

impl Metrics {
    /// Metrics that `registry` shows.
    pub(crate) fn new(registry: &Registry) -> Arc<Self> {
        let help = "Time to answer, of a stream its beginning";
        let seconds = registry.histograms("shop_request_duration_seconds", help, &Buckets::SECONDS);
        let method = |name| Method {
            name,
            seconds: seconds.with(&[("method", name)]),
            codes: [const { AtomicU64::new(0) }; CODES.len()],
        };
        let metrics = Arc::new(Self {
            create: method("CreateOrder"),
            get: method("GetOrder"),
            list: method("ListOrders"),
            pay: method("PayOrder"),
            ship: method("ShipOrder"),
            complete: method("CompleteOrder"),
            watch: method("WatchOrder"),
            create_account: method("CreateAccount"),
            get_account: method("GetAccount"),
            create_transfer: method("CreateTransfer"),
            get_transfer: method("GetTransfer"),
        });
        let shown = Arc::clone(&metrics);
        registry.collect(move |snapshot| {
            let series = shown.all().into_iter().flat_map(Method::answered);
            snapshot.counters("shop_requests", "Requests by method and gRPC code", series);
        });
        metrics
    }

    fn all(&self) -> [&Method; 11] {
        let Self { create, get, list, pay, ship, complete, watch, .. } = self;
        let Self { create_account, get_account, create_transfer, get_transfer, .. } = self;
        [
            create,
            get,
            list,
            pay,
            ship,
            complete,
            watch,
            create_account,
            get_account,
            create_transfer,
            get_transfer,
        ]
    }
}

impl Method {
    /// The codes answered so far and how often; those that never were are left out.
    fn answered(&self) -> impl Iterator<Item = ([(&'static str, &'static str); 2], u64)> {
        CODES.iter().zip(&self.codes).filter_map(|(code, count)| {
            let count = count.load(Relaxed);
            (count > 0).then_some(([("method", self.name), ("code", *code)], count))
        })
    }
}

/// One call, from its arrival to its answer. Dropped before the answer, it counts as what its client will see.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    method: &'a Method,
    context: Context,
    began: Instant,
    code: Option<Code>,
}

impl<'a> Call<'a> {
    pub(crate) fn begin(method: &'a Method, context: Context) -> Self {
        Self { method, context, began: Instant::now(), code: None }
    }

    /// The answer, counted and, where the fault is on this side, logged.
    pub(crate) fn end<T>(mut self, answer: Result<T, Refusal>) -> Result<T, Status> {
        self.code = Some(Code::Ok);
        answer.map_err(|refusal| {
            self.log(&refusal);
            let status = Status::from(refusal);
            self.code = Some(status.code());
            status
        })
    }

    /// The answer to a call that never came to its handler.
    pub(crate) fn refuse(self, refusal: Refusal) -> Status {
        self.end::<()>(Err(refusal)).err().unwrap_or_else(|| Status::internal("it was not refused"))
    }

    fn log(&self, refusal: &Refusal) {
        if let Refusal::Broken(why) = refusal {
            let trace = self.context.trace_id_hex();
            let trace = str::from_utf8(&trace).unwrap_or_default();
            tracing::error!(method = self.method.name, trace, why, "request failed");
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let code = self.code.unwrap_or_else(|| {
            let late = self.context.deadline.is_some_and(|deadline| deadline <= now);
            if late { Code::DeadlineExceeded } else { Code::Cancelled }
        });
        self.method.codes[code as usize].fetch_add(1, Relaxed);
        self.method.seconds.observe_duration(now - self.began);
    }
}

/// Shows the figures of the parts at each scrape, for as long as the shop is open.
pub(crate) fn collect(registry: &Registry, orders: &Arc<Orders>) {
    // The registry outlives the shop, and must not keep its folder locked.
    let orders = Arc::downgrade(orders);
    registry.collect(move |snapshot| {
        if let Some(orders) = orders.upgrade() {
            collect_cache(snapshot, &orders.cache.stats());
            match &*orders.book {
                Book::Embedded(store) => collect_fsm(snapshot, &store.fsm.stats()),
                Book::Sharded(shards) => {
                    collect_sharded(snapshot, shards);
                    let audit = orders.auditor.total();
                    let results = [
                        ([("result", "compared")], audit.compared),
                        ([("result", "differs")], audit.differing),
                        ([("result", "repaired")], audit.repaired),
                        ([("result", "unreadable")], audit.unreadable),
                    ];
                    snapshot.counters(
                        "shop_audits",
                        "Orders compared with the database, and cached copies of either level that differed",
                        results,
                    );
                }
            }
            if let Some(bus) = &orders.bus {
                collect_bus(snapshot, &bus.stats());
            }
            snapshot.gauge("shop_watches", "Streams of WatchOrder that are open", orders.watchers.alive());
        }
    });
}

/// Shows the figures of the sagas, which are a second old at most, for as long as the shop is open.
pub(crate) fn collect_sagas(registry: &Registry, bank: &Arc<Bank>) {
    let bank = Arc::downgrade(bank);
    registry.collect(move |snapshot| {
        let Some(now) = bank.upgrade().map(|bank| bank.sagas.snapshot()) else { return };
        let open = [
            ([("status", "running")], now.running),
            ([("status", "compensating")], now.compensating),
            ([("status", "parked")], now.parked),
        ];
        snapshot.gauges("saga_open", "Sagas that have not ended, by where they stand", open);
        let oldest = now.oldest.unwrap_or_default().as_secs_f64();
        let help = "Age of the oldest saga that has not ended, 0 if there is none";
        snapshot.gauge("saga_oldest_seconds", help, oldest);
        let help = "Sagas that this process works on, waiting ones aside";
        snapshot.gauge("saga_in_flight", help, now.in_flight);
        snapshot.counter("saga_submitted", "Sagas taken", now.submitted);
        snapshot.counter("saga_sends", "Calls to participants that were begun", now.sends);
        let help = "Calls among these that were not the first of their kind";
        snapshot.counter("saga_retries", help, now.retries);
        let ended =
            [([("status", "completed")], now.completed), ([("status", "compensated")], now.compensated)];
        snapshot.counters("saga_ended", "Sagas that this process brought to their end", ended);
        snapshot.counter("saga_parkings", "Times that a saga was parked", now.parkings);
        snapshot.counter("saga_lost", "Times that another coordinator had taken a saga over", now.lost);
    });
}

fn collect_cache(snapshot: &mut Snapshot<'_, '_>, stats: &aqueduct_cache::Stats) {
    let reads = [
        ([("answer", "hit")], stats.hits),
        ([("answer", "negative")], stats.negative_hits),
        ([("answer", "stale")], stats.stale),
        ([("answer", "miss")], stats.misses),
    ];
    snapshot.counters("cache_reads", "Reads of the L1 by how they were answered", reads);
    snapshot.counter("cache_loads", "Loads begun, refreshes included", stats.loads);
    snapshot.counter("cache_load_errors", "Loads that brought nothing usable", stats.load_errors);
    snapshot.counter("cache_refreshes", "Loads begun to refresh a stale entry", stats.refreshes);
    snapshot.counter(
        "cache_refused_fills",
        "Loads not kept, since a change came in between",
        stats.refused_fills,
    );
    snapshot.counter("cache_fences", "Changes announced to the L1", stats.fences);
    snapshot.counter("cache_evictions", "Entries that had to make room", stats.evictions);
    snapshot.gauge("cache_entries", "Entries held in the L1", stats.entries);
    snapshot.gauge("cache_bytes", "Memory charged for the entries of the L1", stats.bytes);
}

fn collect_fsm(snapshot: &mut Snapshot<'_, '_>, stats: &aqueduct_fsm::Stats) {
    let changes = [([("kind", "create")], stats.creates), ([("kind", "transition")], stats.transitions)];
    snapshot.counters("fsm_changes", "Changes made durable", changes);
    snapshot.counter("fsm_commits", "Batches made durable", stats.commits);
    snapshot.counter("fsm_busy", "Changes refused for want of room", stats.busy);
    snapshot.counter("fsm_failed", "Changes refused since the store has failed", stats.failed);
    snapshot.gauge("fsm_queued", "Changes that wait for the committer", stats.queued);
    snapshot.gauge(
        "fsm_waiting",
        "Callers that wait for a change of the same order",
        u64::from(stats.waiting),
    );
    powers_of_two(snapshot, "fsm_batch_size", "Changes a commit", &stats.batch_size, 1.0);
    powers_of_two(snapshot, "fsm_sync_seconds", "Time to make a commit durable", &stats.apply_micros, 1e6);
}

fn collect_sharded(snapshot: &mut Snapshot<'_, '_>, orders: &Sharded) {
    let committers = orders.stats();
    let sum = |figure: fn(&GroupStats) -> u64| committers.iter().map(figure).sum::<u64>();
    let changes = [
        ([("kind", "create")], sum(|s| s.creates)),
        ([("kind", "transition")], sum(|s| s.transitions)),
        ([("kind", "repeated")], sum(|s| s.repeated)),
    ];
    snapshot.counters("shop_changes", "Changes committed in the shards, and repeated events", changes);
    snapshot.counter(
        "shop_change_retries",
        "Changes that were put off to another transaction",
        sum(|s| s.retried),
    );
    let aborted = sum(|s| s.aborted);
    snapshot.counter(
        "shop_changes_aborted",
        "Changes given up since others had the order at each attempt",
        aborted,
    );
    snapshot.counter(
        "shop_changes_refused",
        "Changes that a database refused by themselves",
        sum(|s| s.refused),
    );
    snapshot.counter("shop_batches_split", "Transactions halved to find those", sum(|s| s.split));
    snapshot.counter("shop_changes_busy", "Changes refused for want of room", sum(|s| s.busy));
    let outcomes =
        [([("outcome", "resolved")], sum(|s| s.resolved)), ([("outcome", "unknown")], sum(|s| s.unknown))];
    snapshot.counters("shop_broken_commits", "Changes whose outcome had to be read back", outcomes);
    let pending: usize = committers.iter().map(|s| s.pending).sum();
    snapshot.gauge("shop_changes_pending", "Changes that wait or are under way", pending);
    let sizes = merged(committers.iter().map(|s| &s.batch_size));
    powers_of_two(snapshot, "shop_batch_size", "Changes a transaction", &sizes, 1.0);
    let times = merged(committers.iter().map(|s| &s.commit_micros));
    powers_of_two(
        snapshot,
        "shop_batch_seconds",
        "Time from a transaction's beginning to its end",
        &times,
        1e6,
    );
    if let Some(tiers) = orders.tiers() {
        collect_level2(snapshot, &tiers.stats(), &tiers.commands());
    }
    collect_servers(snapshot, &orders.shards.stats());
}

/// The second level: how loads were answered, and the commands to Redis.
fn collect_level2(snapshot: &mut Snapshot<'_, '_>, loads: &TierStats, commands: &l2::Stats) {
    let answers = [
        ([("answer", "hit")], loads.hits),
        ([("answer", "stale")], loads.stale),
        ([("answer", "primary")], loads.reads),
    ];
    snapshot.counters("cache_l2_loads", "Loads by what answered them", answers);
    let passed = [
        ([("reason", "not_current")], loads.not_current),
        ([("reason", "down")], loads.down),
        ([("reason", "impatient")], loads.impatient),
        ([("reason", "overloaded")], loads.overloaded),
    ];
    snapshot.counters("cache_l2_bypassed", "Loads that passed the second level by, and why", passed);
    snapshot.counter("cache_l2_leases", "Leases granted, each for one load of the primary", loads.leases);
    snapshot.counter("cache_l2_waits", "Times the load of another process was waited for", loads.waits);
    snapshot.counter("cache_l2_fills", "Rows stored", loads.fills);
    snapshot.counter(
        "cache_l2_refused_fills",
        "Rows not stored, since a change came in between",
        loads.refused,
    );
    snapshot.counter("cache_l2_behind", "Reads of the primary that were behind what is known", loads.behind);
    snapshot.counter("redis_commands", "Commands sent, a pipeline as one", commands.commands);
    snapshot.counter("redis_slow_commands", "Commands logged as slow", commands.slow);
    snapshot.counter("redis_failed_commands", "Commands that failed or came too late", commands.failed);
    snapshot.counter("redis_poisoned", "Entries removed since their bytes are none", commands.poisoned);
    snapshot.counter("redis_stamped", "Entries of another master or of before a failover", commands.stamped);
}

/// The relays of the outboxes in this process.
pub(crate) fn collect_relay(registry: &Registry, relayed: Arc<Relayed>) {
    registry.collect(move |snapshot| {
        let (published, taken) = (relayed.published.load(Relaxed), relayed.taken.load(Relaxed));
        snapshot.counter("shop_outbox_published", "Order events brought to the bus", published);
        snapshot.counter(
            "shop_outbox_taken",
            "Times this process began to bring an outbox to the bus",
            taken,
        );
        let help = "Order events that wait in the outboxes which this process brings to the bus";
        snapshot.gauge("shop_outbox_backlog", help, relayed.backlog());
    });
}

/// How far behind this process is, by source.
pub(crate) fn collect_lag(registry: &Registry, watermarks: Watermarks, sources: Vec<String>) {
    registry.collect(move |snapshot| {
        let lag = |number: usize, level: fn(&Watermarks, usize) -> Option<Duration>| {
            level(&watermarks, number).map_or(f64::INFINITY, |lag| lag.as_secs_f64())
        };
        let lags = sources.iter().enumerate().flat_map(|(number, source)| {
            [
                ([("source", source.as_str()), ("level", "l1")], lag(number, Watermarks::lag)),
                ([("source", source.as_str()), ("level", "l2")], lag(number, Watermarks::l2_lag)),
            ]
        });
        snapshot.gauges("cache_lag_seconds", "How far a level may be behind its source at most", lags);
    });
}

/// The figures of each database server, by shard.
fn collect_servers(snapshot: &mut Snapshot<'_, '_>, servers: &[ServerStats]) {
    type Figure = fn(&ServerStats) -> u64;
    let shards: Vec<String> = servers.iter().map(|server| server.shard.to_string()).collect();
    let labels = || {
        shards
            .iter()
            .zip(servers)
            .map(|(shard, s)| [("shard", shard.as_str()), ("server", s.server.as_str())])
    };
    let counters: [(&str, &str, Figure); 9] = [
        ("mysql_statements", "Statements sent", |s| s.statements),
        ("mysql_slow_statements", "Statements logged as slow", |s| s.slow),
        ("mysql_commits", "Transactions committed", |s| s.commits),
        ("mysql_deadlines", "Statements given up at their deadline", |s| s.deadlines),
        ("mysql_pool_exhausted", "Callers that found no free connection in time", |s| s.exhausted),
        ("mysql_replica_reads", "Reads answered as a replica", |s| s.replica_reads),
        ("mysql_primary_reads", "Reads answered as the primary", |s| s.primary_reads),
        ("mysql_replica_behind", "Reads that a replica was too far behind for", |s| s.behind),
        ("mysql_promotions", "Times a server became the primary, the start included", |s| s.promotions),
    ];
    for (name, help, figure) in counters {
        snapshot.counters(name, help, labels().zip(servers.iter().map(figure)));
    }
    snapshot.gauges(
        "mysql_connections",
        "Open connections",
        labels().zip(servers.iter().map(|s| s.idle + s.taken)),
    );
}

fn collect_bus(snapshot: &mut Snapshot<'_, '_>, stats: &aqueduct_bus::Stats) {
    snapshot.counter("bus_published", "Records published", stats.published);
    snapshot.counter("bus_missed", "Records that readers missed", stats.missed);
    snapshot.gauge("bus_held_records", "Records held for slow readers", stats.held_records);
    snapshot.gauge("bus_held_bytes", "Memory held for slow readers", stats.held_bytes);
}

/// The sum of histograms.
fn merged<'a>(all: impl Iterator<Item = &'a aqueduct_fsm::Histogram>) -> aqueduct_fsm::Histogram {
    let mut sum = aqueduct_fsm::Histogram { buckets: [0; aqueduct_fsm::BUCKETS], sum: 0 };
    for one in all {
        sum.sum += one.sum;
        for (bucket, count) in sum.buckets.iter_mut().zip(&one.buckets) {
            *bucket += count;
        }
    }
    sum
}

/// A histogram of the fsm, whose bounds are powers of two of a unit of which `units` make one base unit.
#[expect(clippy::cast_precision_loss, reason = "a metric page shows 15 digits at most")]
fn powers_of_two(
    snapshot: &mut Snapshot<'_, '_>,
    name: &str,
    help: &str,
    histogram: &aqueduct_fsm::Histogram,
    units: f64,
) {
    let bounds = (0..aqueduct_fsm::BUCKETS).filter_map(aqueduct_fsm::Histogram::bound);
    let bounds: Vec<f64> = bounds.map(|bound| bound as f64 / units).collect();
    let sum = histogram.sum as f64 / units;
    snapshot.histogram(name, help, HistogramSnapshot { bounds: &bounds, counts: &histogram.buckets, sum });
}

#[cfg(test)]
mod tests {
    use aqueduct_telemetry::metrics::Format;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_end_of_a_call_is_counted_once_under_its_code() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let context = Context::new_root(false);
        let begin = || Call::begin(&metrics.get, context);
        assert!(begin().end(Ok(())).is_ok());
        assert!(begin().end::<()>(Err(Refusal::NotFound(1))).is_err());
        drop(begin());
        let deadline = Some(Instant::now() + Duration::from_secs(1));
        let late = Call::begin(&metrics.get, context.with_deadline(deadline));
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(late);

        let page = registry.encode(Format::default());
        for (code, count) in [("OK", 1), ("NOT_FOUND", 1), ("CANCELLED", 1), ("DEADLINE_EXCEEDED", 1)] {
            let line = format!(r#"aqueduct_shop_requests_total{{method="GetOrder",code="{code}"}} {count}"#);
            assert!(page.contains(&line), "{line} in {page}");
        }
        let count = r#"aqueduct_shop_request_duration_seconds_count{method="GetOrder"} 4"#;
        assert!(page.contains(count), "{page}");
    }

    #[test]
    fn the_codes_are_in_the_order_of_their_numbers() {
        for (number, name) in (0..).zip(CODES) {
            let name = name.replace('_', "");
            let code = format!("{:?}", Code::from_i32(number)).to_uppercase();
            assert_eq!(code, name);
        }
    }
}
