//! How calls end, and how long they take.

use aqueduct_saga::{Op, Outcome};
use aqueduct_telemetry::metrics::{Buckets, Counters, Histogram, Registry};
use tokio::time::Instant;

/// The figures of all calls.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    calls: Counters,
    seconds: Histogram,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let calls = registry.counters("saga_calls", "Calls to participants, by how they ended");
        let seconds = registry.histograms("saga_call_duration_seconds", "Time of a call", &Buckets::SECONDS);
        Self { calls, seconds: seconds.with(&[]) }
    }
}

/// A call under way. One that is dropped was cut: it took too long, or its answer was no longer wanted.
pub(super) struct Pending<'a> {
    metrics: &'a Metrics,
    op: Op,
    since: Instant,
    outcome: &'static str,
}

impl<'a> Pending<'a> {
    pub(super) fn begin(metrics: &'a Metrics, op: Op) -> Self {
        Self { metrics, op, since: Instant::now(), outcome: "cut" }
    }

    pub(super) fn end(mut self, outcome: &Outcome) {
        self.outcome = match outcome {
            Outcome::Done(_) => "done",
            Outcome::Rejected(_) => "rejected",
            Outcome::Unknown(_) => "unknown",
            Outcome::Broken(_) => "broken",
        };
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let labels = [("op", self.op.as_str()), ("outcome", self.outcome)];
        self.metrics.calls.with(&labels).inc();
        self.metrics.seconds.observe_duration(self.since.elapsed());
    }
}
