//! The coordinator over gRPC: `aqueduct.saga.v1.SagaService`, and reflection.

use std::sync::Arc;

use aqueduct_saga::{Filter, Kind, Phase, Progress, SagaId, Status as State, Store, Summary, View};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::operator::Decision;
use crate::proto::saga_service_server::{SagaService, SagaServiceServer};
use crate::proto::{
    DESCRIPTOR_SET, DecideRequest, Entry, GetSagaRequest, ListSagasRequest, ListSagasResponse, Saga,
    StepState, SubmitRequest, SubmitResponse, progress, step,
};
use crate::refuse::Refusal;
use crate::{context, proto, submission};

/// The largest request: a plan of the largest size and what is around it.
const MOST_REQUEST: usize = aqueduct_saga::MOST_BYTES + (256 << 10);
const PAGE: usize = 100;
const MOST_PAGE: usize = 1000;

/// What gRPC requests are answered by.
pub(crate) fn routes<S: Store>(app: &Arc<App<S>>) -> Result<Routes, tonic_reflection::server::Error> {
    let service = SagaServiceServer::new(Service(Arc::clone(app))).max_decoding_message_size(MOST_REQUEST);
    let reflection = || {
        tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTOR_SET)
    };
    Ok(Routes::new(service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare())
}

struct Service<S: Store>(Arc<App<S>>);

impl<S: Store> Service<S> {
    async fn decide(
        &self,
        request: Request<DecideRequest>,
        what: Decision,
    ) -> Result<Response<Saga>, Status> {
        let DecideRequest { saga_id, actor } = request.into_inner();
        Ok(Response::new(whole(self.0.decide(&saga_id, what, &actor).await?)))
    }
}

#[tonic::async_trait]
impl<S: Store> SagaService for Service<S> {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let context = context::of(request.metadata().as_ref());
        let submit = submission::from_proto(request.into_inner(), context).map_err(Refusal::Invalid)?;
        let saga_id = submit.id.to_string();
        let created = self.0.submit(submit).await?;
        Ok(Response::new(SubmitResponse { saga_id, created }))
    }

    async fn get_saga(&self, request: Request<GetSagaRequest>) -> Result<Response<Saga>, Status> {
        Ok(Response::new(whole(self.0.get(&request.get_ref().saga_id).await?)))
    }

    async fn list_sagas(
        &self,
        request: Request<ListSagasRequest>,
    ) -> Result<Response<ListSagasResponse>, Status> {
        let request = request.into_inner();
        let limit = match usize::try_from(request.page_size) {
            Ok(0) => PAGE,
            Ok(size) if size <= MOST_PAGE => size,
            _ => return Err(Refusal::Invalid(format!("page_size: 1 to {MOST_PAGE}, or 0 for {PAGE}")).into()),
        };
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(SagaId::new(token).map_err(|_| {
                Refusal::Invalid("page_token: what an earlier answer said is wanted here".to_owned())
            })?),
        };
        let status = state(request.status())?;
        // One more tells whether there is another page.
        let filter = Filter { stuck: request.stuck, status, after, limit: limit + 1 };
        let mut found = self.0.list(filter).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|summary| summary.id.to_string()).unwrap_or_default();
        Ok(Response::new(ListSagasResponse { sagas: found.into_iter().map(head).collect(), next_page_token }))
    }

    async fn retry_saga(&self, request: Request<DecideRequest>) -> Result<Response<Saga>, Status> {
        self.decide(request, Decision::Retry).await
    }

    async fn skip_saga(&self, request: Request<DecideRequest>) -> Result<Response<Saga>, Status> {
        self.decide(request, Decision::Skip).await
    }

    async fn abandon_saga(&self, request: Request<DecideRequest>) -> Result<Response<Saga>, Status> {
        self.decide(request, Decision::Abandon).await
    }
}

fn state(status: proto::Status) -> Result<Option<State>, Refusal> {
    let name = status.as_str_name();
    let found = State::ALL.into_iter().find(|state| state.as_str() == name);
    if found.is_none() && status != proto::Status::Unspecified {
        return Err(Refusal::Invalid("status: nobody knows this one".to_owned()));
    }
    Ok(found)
}

fn shown(state: State) -> i32 {
    proto::Status::from_str_name(state.as_str()).unwrap_or_default().into()
}

/// Times are positive, and far from the end of an `i64`.
fn time(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

fn head(summary: Summary) -> Saga {
    Saga {
        saga_id: summary.id.to_string(),
        status: shown(summary.status),
        reason: summary.reason,
        created_at_ms: time(summary.created_at),
        deadline_at_ms: summary.deadline_at.map_or(0, time),
        finished_at_ms: summary.finished_at.map_or(0, time),
        steps: Vec::new(),
        timeline: Vec::new(),
    }
}

fn whole(view: View) -> Saga {
    let steps = view.steps.into_iter().map(|step| StepState {
        name: step.name,
        kind: kind(step.kind).into(),
        url: step.target,
        execute: Some(progress(step.execute)),
        compensate: Some(progress(step.compensate)),
        output: step.output,
    });
    let timeline = view.timeline.into_iter().map(|entry| Entry {
        seq: entry.seq,
        at_ms: time(entry.at),
        what: entry.what.as_str().to_owned(),
        step: entry.step.unwrap_or_default(),
        op: entry.op.map(|op| op.as_str().to_owned()).unwrap_or_default(),
        attempt: entry.attempt,
        detail: entry.detail,
    });
    Saga {
        saga_id: view.id.to_string(),
        status: shown(view.status),
        reason: view.reason,
        created_at_ms: time(view.created_at),
        deadline_at_ms: view.deadline_at.map_or(0, time),
        finished_at_ms: view.finished_at.map_or(0, time),
        steps: steps.collect(),
        timeline: timeline.collect(),
    }
}

fn kind(kind: Kind) -> step::Kind {
    match kind {
        Kind::Compensable => step::Kind::Compensable,
        Kind::Pivot => step::Kind::Pivot,
        Kind::Retriable => step::Kind::Retriable,
    }
}

fn progress(of: Progress) -> proto::Progress {
    let phase = match of.phase {
        Phase::Idle => progress::Phase::Idle,
        Phase::Sent => progress::Phase::Sent,
        Phase::Waiting(_) => progress::Phase::Waiting,
        Phase::Done => progress::Phase::Done,
        Phase::Rejected => progress::Phase::Rejected,
    };
    proto::Progress { attempts: of.attempts, phase: phase.into() }
}
