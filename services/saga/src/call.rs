//! Carries calls to participants: over HTTP or gRPC, as the step's url says. What an answer means is decided here and nowhere else.

pub(crate) mod connect;
pub(crate) mod grpc;
mod http;
mod metrics;
mod places;

use std::error::Error;

use ::http::Uri;
use aqueduct_saga::{Call, Executor, Outcome};
use aqueduct_telemetry::metrics::Registry;

use crate::target::Target;
use connect::Connect;
use metrics::{Metrics, Pending};
use places::Places;

/// The most bytes of an answer that are kept as a step's output.
pub(crate) const MOST_OUTPUT: usize = 256 << 10;

/// Connections that one participant over HTTP/1.1 has at a time, unless told otherwise.
pub const CONNECTIONS: usize = 128;

/// Calls participants over pooled connections. Cheap to clone; redirects are not followed.
#[derive(Debug, Clone)]
pub struct Caller {
    http: http::Client,
    grpc: grpc::Client,
    places: Places,
    metrics: Metrics,
}

impl Caller {
    /// One without connections, whose calls `registry` shows.
    pub fn new(registry: &Registry) -> Self {
        Self::with((Connect::http1(), Connect::http2()), registry)
    }

    fn with((http1, http2): (Connect, Connect), registry: &Registry) -> Self {
        let (http, grpc) = (http::Client::new(http1), grpc::Client::new(http2));
        Self { http, grpc, places: Places::new(CONNECTIONS), metrics: Metrics::new(registry) }
    }

    /// The same, with at most so many connections at a time to one participant: a call beyond waits for its turn, for half of
    /// its time at most. Over gRPC a participant has one connection anyway.
    #[must_use]
    pub fn with_connections(self, most: usize) -> Self {
        Self { places: Places::new(most), ..self }
    }

    /// Within a place at the participant; without one in time it was not sent.
    async fn over_http(&self, url: &Uri, call: Call) -> Outcome {
        let Some(participant) = url.authority() else {
            return Outcome::Broken("its url has no host".to_owned());
        };
        match self.places.take(participant, call.timeout / 2).await {
            Some(_place) => self.http.send(url, call).await,
            None => Outcome::Unknown(format!(
                "not sent: all {} connections to {participant} were in use",
                self.places.most()
            )),
        }
    }

    async fn carry(&self, call: Call) -> Outcome {
        match Target::parse(&call.target) {
            Ok(Target::Http(url)) => self.over_http(&url, call).await,
            Ok(Target::Grpc(origin, service)) => self.grpc.send(origin, &service, call).await,
            // It was looked at when it was submitted.
            Err(why) => Outcome::Broken(why),
        }
    }
}

/// An error and what is behind it.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (**error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Executor for Caller {
    async fn send(&self, call: Call) -> Outcome {
        let pending = Pending::begin(&self.metrics, call.op);
        let outcome = Box::pin(self.carry(call)).await;
        pending.end(&outcome);
        outcome
    }
}

#[cfg(test)]
mod tests;
