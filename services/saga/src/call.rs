//! Carries calls to participants: over HTTP or gRPC, as the step's url says. What an answer means is decided here and nowhere else.

pub(crate) mod connect;
pub(crate) mod grpc;
mod http;
mod metrics;

use aqueduct_saga::{Call, Executor, Outcome};
use aqueduct_telemetry::metrics::Registry;

use crate::target::Target;
use metrics::{Metrics, Pending};

/// The most bytes of an answer that are kept as a step's output.
pub(crate) const MOST_OUTPUT: usize = 256 << 10;

/// Calls participants over pooled connections. Cheap to clone; redirects are not followed.
#[derive(Debug, Clone)]
pub struct Caller {
    http: http::Client,
    grpc: grpc::Client,
    metrics: Metrics,
}

impl Caller {
    /// One without connections, whose calls `registry` shows.
    pub fn new(registry: &Registry) -> Self {
        Self { http: http::Client::new(), grpc: grpc::Client::new(), metrics: Metrics::new(registry) }
    }

    async fn carry(&self, call: Call) -> Outcome {
        match Target::parse(&call.target) {
            Ok(Target::Http(url)) => self.http.send(&url, call).await,
            Ok(Target::Grpc(origin, service)) => self.grpc.send(origin, &service, call).await,
            // It was looked at when it was submitted.
            Err(why) => Outcome::Broken(why),
        }
    }
}

impl Executor for Caller {
    async fn send(&self, call: Call) -> Outcome {
        let pending = Pending::begin(&self.metrics, call.op);
        let outcome = Box::pin(self.carry(call)).await;
        pending.end(&outcome);
        outcome
    }
}
