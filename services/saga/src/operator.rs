//! The coordinator's client for operators: over gRPC, as any other client.

use std::error::Error as _;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy;
use tonic::body::Body;
use tonic::{Code, Request, Status};

use crate::call::connect::Connect;
use crate::call::{causes, grpc};
use crate::proto::saga_service_client::SagaServiceClient;
use crate::proto::{DecideRequest, GetSagaRequest, ListSagasRequest, ListSagasResponse, Saga};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);
/// A saga of many steps with all their outputs.
const MOST_ANSWER: usize = 64 << 20;

/// A client of one coordinator.
#[derive(Debug, Clone)]
pub struct Operator {
    client: SagaServiceClient<legacy::Client<Connect, Body>>,
    server: Uri,
}

/// What may be done about a parked saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Make the call again that it is stuck at.
    Retry,
    /// Go on as if that call were done.
    Skip,
    /// End it as it is.
    Abandon,
}

impl Operator {
    /// A client of the coordinator at `server`, such as `http://127.0.0.1:8090`; the first call connects.
    pub fn new(server: Uri) -> Self {
        let client =
            SagaServiceClient::with_origin(grpc::Client::new(Connect::http2()).inner(), server.clone());
        Self { client: client.max_decoding_message_size(MOST_ANSWER), server }
    }

    /// One page of sagas.
    ///
    /// # Errors
    /// What the coordinator says, or why it says nothing.
    pub async fn list(&mut self, request: ListSagasRequest) -> Result<ListSagasResponse, String> {
        let answer = self.client.list_sagas(bounded(request)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.told(&status))
    }

    /// A saga, whole.
    ///
    /// # Errors
    /// As [`Operator::list`].
    pub async fn get(&mut self, saga_id: String) -> Result<Saga, String> {
        let answer = self.client.get_saga(bounded(GetSagaRequest { saga_id })).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.told(&status))
    }

    /// Decides on a parked saga, and answers it as it is then.
    ///
    /// # Errors
    /// As [`Operator::list`].
    pub async fn decide(&mut self, saga_id: String, what: Decision, actor: String) -> Result<Saga, String> {
        let request = bounded(DecideRequest { saga_id, actor });
        let answer = match what {
            Decision::Retry => self.client.retry_saga(request).await,
            Decision::Skip => self.client.skip_saga(request).await,
            Decision::Abandon => self.client.abandon_saga(request).await,
        };
        answer.map(tonic::Response::into_inner).map_err(|status| self.told(&status))
    }

    fn told(&self, status: &Status) -> String {
        match status.code() {
            Code::NotFound | Code::FailedPrecondition | Code::InvalidArgument => status.message().to_owned(),
            _ => format!("the coordinator at {} does not answer: {}", self.server, reason(status)),
        }
    }
}

fn bounded<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(WITHIN);
    request
}

/// The client's own errors say only what it was at.
fn reason(status: &Status) -> String {
    status.source().map_or_else(|| status.message().to_owned(), causes)
}
