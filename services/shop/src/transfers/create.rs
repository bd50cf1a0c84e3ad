//! `CreateTransfer`: checks it, submits it, and answers once it is on disk, or once it has ended.

use std::time::Duration;

use aqueduct_ids::Route;
use aqueduct_saga::{StoreError, SubmitError};
use tonic::Response;

use super::definition::Transfer as Input;
use super::get;
use super::{COLOR_HEADER, TRACEPARENT};
use crate::bank::Bank;
use crate::caller::Caller;
use crate::orders::create::mint;
use crate::proto::shop::{CreateTransferRequest, Transfer};
use crate::refuse::Refusal;
use crate::transfers::prefer::Wait;
use crate::validate;

/// After so long a transfer turns back, if the receiver was not yet sent the money: a participant is out of reach, and
/// somebody waits for an end.
pub(crate) const TURN_AFTER: Duration = Duration::from_mins(1);

/// What comes with a request beside its message.
#[derive(Debug)]
pub(crate) struct Along {
    pub(crate) caller: Caller,
    pub(crate) wait: Option<Wait>,
    pub(crate) color: Option<String>,
}

pub(crate) async fn handle(
    bank: &Bank,
    request: CreateTransferRequest,
    along: &Along,
) -> Result<Response<Transfer>, Refusal> {
    validate::transfer(&request)?;
    let CreateTransferRequest { mut transfer_id, from, to, amount_cents } = request;
    if transfer_id.is_empty() {
        transfer_id = mint(&bank.ids, Route::of_hash(from.cast_unsigned())).await?.to_string();
    }
    let input = Input { from, to, cents: amount_cents };
    let submission = bank.definition.submission(&transfer_id, &input);
    let mut submit = submission.map_err(|error| Refusal::Broken(error.to_string()))?;
    submit.deadline = Some(TURN_AFTER);
    submit.context = context(along);
    let id = submit.id.clone();
    bank.sagas.submit(submit).await.map_err(|error| refusal(error, &transfer_id))?;
    get::answer(bank, &id, along).await
}

/// The trace and the colour of the request, for every step that follows from it, however late.
fn context(along: &Along) -> Vec<(String, String)> {
    let traceparent = String::from_utf8_lossy(&along.caller.context.traceparent()).into_owned();
    let color = along.color.iter().map(|color| (COLOR_HEADER.to_owned(), color.clone()));
    std::iter::once((TRACEPARENT.to_owned(), traceparent)).chain(color).collect()
}

fn refusal(error: SubmitError, id: &str) -> Refusal {
    match error {
        SubmitError::Conflict => Refusal::exists_transfer(id),
        SubmitError::Closed => Refusal::stopping(),
        SubmitError::Store(error) => unread(&error),
        // All of it was checked here before.
        SubmitError::Invalid(why) => Refusal::Broken(why),
    }
}

/// What a store that errs means to a client. The same call again finds out.
pub(super) fn unread(error: &StoreError) -> Refusal {
    match error {
        StoreError::Unavailable(_) | StoreError::Failed(_) => Refusal::Unavailable {
            why: "the store does not answer; whether the transfer was taken is found out by the same call again, with the \
                  same transferId"
                .into(),
            retry_after: Duration::from_secs(1),
        },
        StoreError::Damaged(why) => Refusal::Broken(why.clone()),
    }
}
