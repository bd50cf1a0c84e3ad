//! `grpc.health.v1`: the shop's vitals as gRPC clients and the gateway ask for them. No question does I/O; the answers
//! are in memory, and what puts them there is `vitals`.

use std::pin::Pin;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_server::Health;
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use crate::vitals::{Monitor, Vitals};

/// Each dependency that can be asked for.
const STORES: [&str; 2] = ["store", "saga"];

/// The health service of one shop.
#[derive(Debug)]
pub(crate) struct HealthService {
    /// Everything that can be asked for: the server as a whole (`""`), its services, and each dependency.
    names: &'static [&'static str],
    vitals: watch::Receiver<Vitals>,
}

impl HealthService {
    pub(crate) fn new(names: &'static [&'static str], monitor: &Monitor) -> Self {
        Self { names, vitals: monitor.subscribe() }
    }
}

/// `None` for a name that nobody knows.
fn status(names: &[&str], name: &str, vitals: &Vitals) -> Option<ServingStatus> {
    let name = names.iter().find(|known| **known == name)?;
    // The sagas are in the store.
    let serving = if STORES.contains(name) { vitals.store().is_ok() } else { vitals.ready() };
    Some(if serving { ServingStatus::Serving } else { ServingStatus::NotServing })
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match status(self.names, &request.get_ref().service, &self.vitals.borrow()) {
            Some(status) => Ok(Response::new(response(status))),
            None => Err(Status::not_found("this server has no service of that name")),
        }
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let vitals = self.vitals.borrow();
        let statuses = self
            .names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), response(status(self.names, name, &vitals)?))));
        Ok(Response::new(HealthListResponse { statuses: statuses.collect() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watch = Watch {
            names: self.names,
            name: request.into_inner().service,
            vitals: self.vitals.clone(),
            last: None,
            ended: false,
        };
        Ok(Response::new(Box::pin(stream::unfold(watch, |mut watch| async move {
            watch.next().await.map(|item| (item, watch))
        }))))
    }
}

/// One `Watch` call: the status now, and again whenever it differs from the last one told.
struct Watch {
    names: &'static [&'static str],
    name: String,
    vitals: watch::Receiver<Vitals>,
    last: Option<ServingStatus>,
    ended: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Result<HealthCheckResponse, Status>> {
        while !self.ended {
            let (status, ending) = {
                let vitals = self.vitals.borrow_and_update();
                // As the protocol says: an unknown name is told as such, and the stream stays, as it may be known later.
                let status = status(self.names, &self.name, &vitals).unwrap_or(ServingStatus::ServiceUnknown);
                (status, vitals.ending())
            };
            if self.last != Some(status) {
                self.last = Some(status);
                return Some(Ok(response(status)));
            }
            // An open stream would hold up the drain; the last word has been said.
            self.ended = ending || self.vitals.changed().await.is_err();
        }
        None
    }
}
