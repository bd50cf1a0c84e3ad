//! How calls end, and how long they take.

use aqueduct_saga::{Op, Outcome};
use aqueduct_telemetry::metrics::{Buckets, Counter, Histogram, Registry};
use tokio::time::Instant;

const OPS: [Op; 2] = [Op::Execute, Op::Compensate];
const OUTCOMES: [&str; 5] = ["done", "rejected", "unknown", "broken", CUT];
/// It took too long, or its answer was no longer wanted.
const CUT: &str = "cut";

/// The figures of all calls.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    /// By operation and outcome.
    calls: Vec<(Op, &'static str, Counter)>,
    seconds: Histogram,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let calls = registry.counters("saga_calls", "Calls to participants, by how they ended");
        let seconds = registry.histograms("saga_call_duration_seconds", "Time of a call", &Buckets::SECONDS);
        let pairs = OPS.into_iter().flat_map(|op| OUTCOMES.map(|outcome| (op, outcome)));
        let calls = pairs
            .map(|(op, outcome)| (op, outcome, calls.with(&[("op", op.as_str()), ("outcome", outcome)])));
        Self { calls: calls.collect(), seconds: seconds.with(&[]) }
    }
}

/// A call under way. One that is dropped was cut.
pub(super) struct Pending<'a> {
    metrics: &'a Metrics,
    op: Op,
    since: Instant,
    outcome: &'static str,
}

impl<'a> Pending<'a> {
    pub(super) fn begin(metrics: &'a Metrics, op: Op) -> Self {
        Self { metrics, op, since: Instant::now(), outcome: CUT }
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
        let mut calls = self.metrics.calls.iter();
        if let Some((.., calls)) = calls.find(|(op, outcome, _)| (*op, *outcome) == (self.op, self.outcome)) {
            calls.inc();
        }
        self.metrics.seconds.observe_duration(self.since.elapsed());
    }
}
