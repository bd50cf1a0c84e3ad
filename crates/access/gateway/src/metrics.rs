//! What the gateway counts. A worker takes its handles at its start: a request only adds to memory of its own thread.

use std::time::Duration;

use aqueduct_telemetry::metrics::{
    Buckets, Counter, Counters, Gauge, Gauges, Histogram, Histograms, Registry,
};
use aqueduct_transcode::Code;

use crate::retry::Cause;
use crate::stage::Stage;

/// A stage is usually much shorter than its request: 1 µs to 1 s.
const STAGE_BUCKETS: Buckets = Buckets {
    bounds: &[
        1_000,
        2_500,
        5_000,
        10_000,
        25_000,
        100_000,
        500_000,
        2_500_000,
        10_000_000,
        50_000_000,
        200_000_000,
        1_000_000_000,
    ],
    per_base_unit: 1_000_000_000,
};

/// The families, of all workers.
#[derive(Debug, Clone)]
pub(crate) struct Families {
    requests: Counters,
    pub(crate) duration: Histograms,
    stages: Histograms,
    rejects: Counters,
    in_flight: Gauges,
    connections: Gauges,
    upstream_open: Gauges,
    upstream_in_flight: Gauges,
    upstream_queued: Gauges,
    upstream_queue_time: Histograms,
    upstream_opened: Counters,
    upstream_reused: Counters,
    connect_failures: Counters,
    reloads: Counters,
    tls_reloads: Counters,
    handshakes: Counters,
    refused: Counters,
    limits: Counters,
    retries: Counters,
    over_budget: Counters,
}

impl Families {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            requests: registry.counters("gateway_requests", "Requests by gRPC method and status code"),
            duration: registry.histograms(
                "gateway_request_duration_seconds",
                "From a request's head to the end of its answer",
                &Buckets::SECONDS,
            ),
            stages: registry.histograms(
                "gateway_stage_duration_seconds",
                "Time of a request in each stage of the pipeline, of one request in eight",
                &STAGE_BUCKETS,
            ),
            rejects: registry.counters("gateway_rejects", "Requests that the gateway itself refused"),
            in_flight: registry.gauges("gateway_requests_in_flight", "Requests being served"),
            connections: registry.gauges("gateway_connections", "Client connections"),
            upstream_open: registry.gauges("upstream_connections", "Open upstream connections"),
            upstream_in_flight: registry
                .gauges("upstream_requests_in_flight", "Requests that hold a place of a bounded upstream"),
            upstream_queued: registry
                .gauges("upstream_requests_queued", "Requests that wait for a place of a bounded upstream"),
            upstream_queue_time: registry.histograms(
                "upstream_queue_duration_seconds",
                "Time in the queue of those that had to wait, admitted in the end or not",
                &STAGE_BUCKETS,
            ),
            upstream_opened: registry.counters("upstream_connections_opened", "Upstream connections opened"),
            upstream_reused: registry
                .counters("upstream_connections_reused", "Calls that found an open upstream connection"),
            connect_failures: registry
                .counters("upstream_connect_failures", "Upstream connects that failed or timed out"),
            retries: registry.counters("upstream_retries", "Further attempts of a request, by their reason"),
            over_budget: registry
                .counters("upstream_retries_over_budget", "Retries that were not made, for want of budget"),
            reloads: registry
                .counters("gateway_descriptor_reloads", "Readings of descriptors by what came of them"),
            tls_reloads: registry
                .counters("gateway_tls_reloads", "Readings of other certificates by what came of them"),
            handshakes: registry
                .counters("gateway_tls_handshakes", "TLS handshakes of clients by their result"),
            refused: registry.counters(
                "gateway_connections_refused",
                "Connections that were closed for what their client did, by reason",
            ),
            limits: registry.counters("gateway_limit_decisions", "Requests by rate limit and its decision"),
        }
    }

    /// The handles of a worker.
    pub(crate) fn worker(&self) -> Metrics {
        Metrics {
            stages: Stage::ALL.map(|stage| self.stages.with(&[("stage", stage.name())])),
            in_flight: self.in_flight.with(&[]),
            connections: self.connections.with(&[]),
            handshakes: HandshakeMetrics {
                full: self.handshakes.with(&[("result", "full")]),
                resumed: self.handshakes.with(&[("result", "resumed")]),
                failed: self.handshakes.with(&[("result", "failed")]),
                timed_out: self.handshakes.with(&[("result", "timed_out")]),
            },
            over_address: self.refused.with(&[("reason", "address")]),
            floods: self.refused.with(&[("reason", "flood")]),
            rejects: self.rejects.clone(),
        }
    }

    /// A worker's handles of a gRPC method (`shop.v1.OrderService/GetOrder`).
    pub(crate) fn method(&self, method: &str) -> MethodMetrics {
        MethodMetrics {
            requests: Code::ALL.map(|code| self.requests.with(&[("method", method), ("code", code.name())])),
            duration: self.duration.with(&[("method", method)]),
        }
    }

    /// A worker's handles of an endpoint. Their series end with it.
    pub(crate) fn endpoint(&self, upstream: &str, endpoint: &str) -> EndpointMetrics {
        let labels = [("upstream", upstream), ("endpoint", endpoint)];
        EndpointMetrics {
            open: self.upstream_open.passing(&labels),
            opened: self.upstream_opened.passing(&labels),
            reused: self.upstream_reused.passing(&labels),
            connect_failures: self.connect_failures.passing(&labels),
        }
    }

    /// A worker's handles of the retries to an upstream.
    pub(crate) fn retries(&self, upstream: &str) -> RetryMetrics {
        let retry = |cause: Cause| self.retries.with(&[("upstream", upstream), ("reason", cause.name())]);
        RetryMetrics {
            retries: Cause::ALL.map(retry),
            over_budget: self.over_budget.with(&[("upstream", upstream)]),
        }
    }

    /// A worker's handles of the gate to an upstream.
    pub(crate) fn gate(&self, upstream: &str) -> GateMetrics {
        let labels = [("upstream", upstream)];
        GateMetrics {
            in_flight: self.upstream_in_flight.with(&labels),
            queued: self.upstream_queued.with(&labels),
            queue_time: self.upstream_queue_time.with(&labels),
        }
    }

    /// A worker's handles of a rate limit.
    pub(crate) fn limit(&self, name: &str) -> LimitMetrics {
        let result = |result| self.limits.with(&[("limit", name), ("result", result)]);
        LimitMetrics {
            admitted: result("admitted"),
            refused: result("refused"),
            shadow: result("shadow"),
            overflow: result("overflow"),
        }
    }

    /// The handles of whoever reads certificates again.
    pub(crate) fn tls_reloads(&self) -> TlsReloadMetrics {
        let result = |result| self.tls_reloads.with(&[("result", result)]);
        TlsReloadMetrics {
            swapped: result("swapped"),
            invalid: result("invalid"),
            unavailable: result("unavailable"),
        }
    }

    /// The handles of whoever reads descriptors again.
    pub(crate) fn reloads(&self) -> ReloadMetrics {
        let result = |result| self.reloads.with(&[("result", result)]);
        ReloadMetrics {
            swapped: result("swapped"),
            unchanged: result("unchanged"),
            invalid: result("invalid"),
            unavailable: result("unavailable"),
        }
    }
}

/// What a rate limit decided.
#[derive(Debug)]
pub(crate) struct LimitMetrics {
    pub(crate) admitted: Counter,
    pub(crate) refused: Counter,
    /// Would have been refused.
    pub(crate) shadow: Counter,
    /// Counted together with other keys, for want of room; besides one of the others.
    pub(crate) overflow: Counter,
}

/// What came of reading other certificates.
#[derive(Debug)]
pub(crate) struct TlsReloadMetrics {
    /// They are in use.
    pub(crate) swapped: Counter,
    /// They were read and refused.
    pub(crate) invalid: Counter,
    /// They could not be read.
    pub(crate) unavailable: Counter,
}

/// How the TLS handshakes of clients end.
#[derive(Debug)]
pub(crate) struct HandshakeMetrics {
    pub(crate) full: Counter,
    pub(crate) resumed: Counter,
    pub(crate) failed: Counter,
    pub(crate) timed_out: Counter,
}

/// What came of reading descriptors again.
#[derive(Debug)]
pub(crate) struct ReloadMetrics {
    /// They are in use.
    pub(crate) swapped: Counter,
    /// They are those in use.
    pub(crate) unchanged: Counter,
    /// They were read and refused.
    pub(crate) invalid: Counter,
    /// They could not be read.
    pub(crate) unavailable: Counter,
}

/// A worker's handles that belong to no method.
#[derive(Debug)]
pub(crate) struct Metrics {
    stages: [Histogram; Stage::ALL.len()],
    rejects: Counters,
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) handshakes: HandshakeMetrics,
    /// Connections over the bound of their address.
    pub(crate) over_address: Counter,
    /// Connections that sent more control frames than they may.
    pub(crate) floods: Counter,
}

impl Metrics {
    /// The time a request spent in a stage, by the stage's index.
    pub(crate) fn stage(&self, stage: usize, time: Duration) {
        if let Some(histogram) = self.stages.get(stage) {
            histogram.observe_duration(time);
        }
    }

    #[cold]
    pub(crate) fn reject(&self, stage: Stage, reason: &str) {
        self.rejects.with(&[("stage", stage.name()), ("reason", reason)]).inc();
    }
}

/// A worker's handles of one gRPC method.
#[derive(Debug)]
pub(crate) struct MethodMetrics {
    requests: [Counter; Code::ALL.len()],
    duration: Histogram,
}

impl MethodMetrics {
    pub(crate) fn record(&self, code: Code, duration: Duration) {
        if let Some(counter) = self.requests.get(usize::from(code.number())) {
            counter.inc();
        }
        self.duration.observe_duration(duration);
    }
}

/// A worker's handles of one endpoint.
#[derive(Debug)]
pub(crate) struct EndpointMetrics {
    pub(crate) open: Gauge,
    pub(crate) opened: Counter,
    pub(crate) reused: Counter,
    pub(crate) connect_failures: Counter,
}

/// A worker's handles of the gate to an upstream.
#[derive(Debug)]
pub(crate) struct GateMetrics {
    pub(crate) in_flight: Gauge,
    pub(crate) queued: Gauge,
    pub(crate) queue_time: Histogram,
}

/// A worker's handles of the retries to an upstream.
#[derive(Debug)]
pub(crate) struct RetryMetrics {
    retries: [Counter; Cause::ALL.len()],
    pub(crate) over_budget: Counter,
}

impl RetryMetrics {
    pub(crate) fn retry(&self, cause: Cause) {
        if let Some(counter) = self.retries.get(cause as usize) {
            counter.inc();
        }
    }
}
