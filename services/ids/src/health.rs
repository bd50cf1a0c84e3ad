//! `grpc.health.v1`: whether IDs can be minted, as gRPC clients and the gateway ask for it. No question does I/O.

use std::pin::Pin;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_server::Health;
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use crate::state::State;

/// The server as a whole, and its service.
const NAMES: [&str; 2] = ["", "aqueduct.ids.v1.IdService"];

/// The health service of one ID server.
#[derive(Debug)]
pub(crate) struct HealthService(pub(crate) watch::Receiver<State>);

fn status(state: &State) -> ServingStatus {
    if state.ready() { ServingStatus::Serving } else { ServingStatus::NotServing }
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
        if !NAMES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("this server has no service of that name"));
        }
        Ok(Response::new(response(status(&self.0.borrow()))))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let status = status(&self.0.borrow());
        let statuses = NAMES.iter().map(|name| ((*name).to_owned(), response(status))).collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = NAMES.contains(&request.get_ref().service.as_str());
        let changes = stream::unfold((self.0.clone(), None), move |(mut states, last)| async move {
            loop {
                let (status, ending) = {
                    let state = states.borrow_and_update();
                    (if known { status(&state) } else { ServingStatus::ServiceUnknown }, state.ending)
                };
                if last != Some(status) {
                    return Some((Ok(response(status)), (states, Some(status))));
                }
                // An open stream would hold up the drain; the last word has been said.
                if ending || states.changed().await.is_err() {
                    return None;
                }
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
