//! What the gateway counts. Every handle is made at the start: a request only adds to atomics.

use std::time::Duration;

use aqueduct_transcode::Code;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::stage::Stage;

/// The families, shared by all workers.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    duration: Family<MethodLabels, Histogram>,
    stages: [Histogram; Stage::ALL.len()],
    rejects: Family<RejectLabels, Counter>,
    endpoints: EndpointFamilies,
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
}

#[derive(Debug, Clone, Default)]
struct EndpointFamilies {
    open: Family<EndpointLabels, Gauge>,
    opened: Family<EndpointLabels, Counter>,
    reused: Family<EndpointLabels, Counter>,
    connect_failures: Family<EndpointLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    code: CodeLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectLabels {
    stage: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    upstream: String,
    endpoint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CodeLabel(Code);

impl EncodeLabelValue for CodeLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.name().encode(encoder)
    }
}

/// 100 µs to 10 s, in steps of about two.
const BUCKETS: [f64; 16] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// 1 µs to 1 s: a stage is usually much shorter than its request.
const STAGE_BUCKETS: [f64; 10] = [0.000001, 0.000005, 0.00002, 0.0001, 0.0005, 0.002, 0.01, 0.05, 0.2, 1.0];

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let stages: Family<StageLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(STAGE_BUCKETS));
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            stages: Stage::ALL.map(|stage| stages.get_or_create(&StageLabels { stage: stage.name() }).clone()),
            rejects: Family::default(),
            endpoints: EndpointFamilies::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("gateway");
        registry.register("requests", "Requests by gRPC method and status code", metrics.requests.clone());
        registry.register(
            "request_duration_seconds",
            "From the request's head to the end of its answer",
            metrics.duration.clone(),
        );
        registry.register("stage_duration_seconds", "Time in each stage of the pipeline", stages);
        registry.register("rejects", "Requests the gateway itself refused", metrics.rejects.clone());
        registry.register("requests_in_flight", "Requests being served", metrics.in_flight.clone());
        registry.register("connections", "Client connections", metrics.connections.clone());
        let upstream = registry.sub_registry_with_prefix("upstream");
        upstream.register("connections", "Open upstream connections", metrics.endpoints.open.clone());
        upstream.register("connections_opened", "Upstream connections opened", metrics.endpoints.opened.clone());
        upstream.register(
            "connections_reused",
            "Requests that found an open connection",
            metrics.endpoints.reused.clone(),
        );
        upstream.register(
            "connect_failures",
            "Connects that failed or timed out",
            metrics.endpoints.connect_failures.clone(),
        );
        metrics
    }

    /// The handles of a gRPC method (`shop.v1.OrderService/GetOrder`).
    pub(crate) fn method(&self, method: &str) -> MethodMetrics {
        let requests = Code::ALL.map(|code| {
            let labels = RequestLabels { method: method.to_owned(), code: CodeLabel(code) };
            self.requests.get_or_create(&labels).clone()
        });
        let duration = self.duration.get_or_create(&MethodLabels { method: method.to_owned() }).clone();
        MethodMetrics { requests, duration }
    }

    pub(crate) fn endpoint(&self, upstream: &str, endpoint: &str) -> EndpointMetrics {
        let labels = EndpointLabels { upstream: upstream.to_owned(), endpoint: endpoint.to_owned() };
        EndpointMetrics {
            open: self.endpoints.open.get_or_create(&labels).clone(),
            opened: self.endpoints.opened.get_or_create(&labels).clone(),
            reused: self.endpoints.reused.get_or_create(&labels).clone(),
            connect_failures: self.endpoints.connect_failures.get_or_create(&labels).clone(),
        }
    }

    /// The time a request spent in a stage.
    pub(crate) fn stage(&self, stage: usize, time: Duration) {
        if let Some(histogram) = self.stages.get(stage) {
            histogram.observe(time.as_secs_f64());
        }
    }

    #[cold]
    pub(crate) fn reject(&self, stage: Stage, reason: &'static str) {
        self.rejects.get_or_create(&RejectLabels { stage: stage.name(), reason }).inc();
    }
}

/// The handles of one gRPC method.
#[derive(Debug, Clone)]
pub(crate) struct MethodMetrics {
    requests: [Counter; Code::ALL.len()],
    duration: Histogram,
}

impl MethodMetrics {
    pub(crate) fn record(&self, code: Code, duration: Duration) {
        if let Some(counter) = self.requests.get(usize::from(code.number())) {
            counter.inc();
        }
        self.duration.observe(duration.as_secs_f64());
    }
}

/// The handles of one endpoint, of all workers together.
#[derive(Debug, Default)]
pub(crate) struct EndpointMetrics {
    pub(crate) open: Gauge,
    pub(crate) opened: Counter,
    pub(crate) reused: Counter,
    pub(crate) connect_failures: Counter,
}
