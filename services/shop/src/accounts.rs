//! `CreateAccount` and `GetAccount`.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aqueduct_ids::Route;
use tonic::Response;

use crate::bank::Bank;
use crate::ledger::{Opened, Refused};
use crate::orders::create::mint;
use crate::proto::shop::{Account, CreateAccountRequest, GetAccountRequest};
use crate::refuse::Refusal;
use crate::validate;

/// Opens an account at its participant, and answers once that has it on disk.
pub(crate) async fn create(bank: &Bank, request: CreateAccountRequest) -> Result<Response<Account>, Refusal> {
    validate::account(&request)?;
    // Accounts belong to nobody here, so they are spread over all routes.
    let anywhere = || Route::of_hash(bank.minted.fetch_add(1, Relaxed));
    let id = if request.id == 0 { mint(&bank.ids, anywhere()).await?.as_i64() } else { request.id };
    match bank.seats.open_account(id, request.balance_cents).await.map_err(unanswered)? {
        Opened::Is(account) => Ok(Response::new(account)),
        Opened::Other => Err(Refusal::exists_account(id)),
    }
}

/// Reads an account at its participant: balances are not cached.
pub(crate) async fn get(bank: &Bank, request: &GetAccountRequest) -> Result<Response<Account>, Refusal> {
    let id = request.id;
    if id < 1 {
        return Err(Refusal::no_account(id));
    }
    let account = bank.seats.account(id).await.map_err(unanswered)?;
    account.map(Response::new).ok_or_else(|| Refusal::no_account(id))
}

fn unanswered(refused: Refused) -> Refusal {
    let why = match refused {
        Refused::Rejected(why) | Refused::Unknown(why) => why,
        Refused::Aborted => "it was undone".to_owned(),
    };
    tracing::warn!(why, "a participant does not answer");
    let why = "the participant that has this account does not answer".to_owned();
    Refusal::Unavailable { why, retry_after: Duration::from_secs(1) }
}
