//! `GetTransfer`: a transfer and its timeline, now or at its end.

use std::time::Duration;

use aqueduct_saga::{SagaId, View};
use tokio::time::Instant;
use tonic::Response;

use super::create::{Along, unread};
use super::show;
use crate::bank::Bank;
use crate::proto::shop::{GetTransferRequest, Transfer};
use crate::refuse::Refusal;
use crate::vitals::Vitals;

/// Of the time until the deadline a tenth is left for the answer's way, and at least so much.
const AHEAD: Duration = Duration::from_millis(50);
/// The header that says which preference was heeded (RFC 7240, section 3).
const APPLIED: &str = "preference-applied";

pub(crate) async fn handle(
    bank: &Bank,
    request: &GetTransferRequest,
    along: &Along,
) -> Result<Response<Transfer>, Refusal> {
    // What is no id is nobody's.
    let id = SagaId::new(request.transfer_id.as_str());
    let id = id.map_err(|_| Refusal::no_transfer(&request.transfer_id))?;
    answer(bank, &id, along).await
}

/// The transfer, when it has ended or there is no more time to wait for that.
pub(super) async fn answer(bank: &Bank, id: &SagaId, along: &Along) -> Result<Response<Transfer>, Refusal> {
    let view = match &along.wait {
        None => bank.sagas.get(id).await.map_err(|error| unread(&error))?,
        Some(wait) => ended(bank, id, limit(wait.time(), along.caller.deadline())).await?,
    };
    let view = view.ok_or_else(|| Refusal::no_transfer(id.as_str()))?;
    let mut response = Response::new(show::transfer(&view));
    if let Some(applied) = along.wait.as_ref().and_then(|wait| wait.applied().parse().ok()) {
        response.metadata_mut().insert(APPLIED, applied);
    }
    Ok(response)
}

fn limit(wanted: Duration, deadline: Option<Instant>) -> Duration {
    let left = deadline.map_or(Duration::MAX, |deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        left.saturating_sub(AHEAD.max(left / 10))
    });
    wanted.min(left)
}

async fn ended(bank: &Bank, id: &SagaId, limit: Duration) -> Result<Option<View>, Refusal> {
    let mut vitals = bank.monitor.subscribe();
    let waited = tokio::select! {
        view = bank.sagas.wait(id, limit) => Some(view),
        // Who waits must not hold up the end of the process.
        _ = vitals.wait_for(Vitals::ending) => None,
    };
    let view = match waited {
        Some(view) => view,
        None => bank.sagas.get(id).await,
    };
    view.map_err(|error| unread(&error))
}
