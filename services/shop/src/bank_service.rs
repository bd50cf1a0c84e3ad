//! The gRPC services of accounts and transfers: one line a method, as in `service`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::accounts;
use crate::bank::Bank;
use crate::caller::{Caller, context};
use crate::metrics::{Call, Method, Metrics};
use crate::proto::shop::account_service_server::AccountService;
use crate::proto::shop::transfer_service_server::TransferService;
use crate::proto::shop::{
    Account, CreateAccountRequest, CreateTransferRequest, GetAccountRequest, GetTransferRequest, Transfer,
};
use crate::transfers::create::Along;
use crate::transfers::{color, create, get, wait};

/// `shop.v1.AccountService` and `shop.v1.TransferService`. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct BankService {
    pub(crate) bank: Arc<Bank>,
    pub(crate) metrics: Arc<Metrics>,
}

/// One call: counted, and its caller known. A caller who cannot be understood is answered here.
fn begin<'a, T>(method: &'a Method, request: &Request<T>) -> Result<(Call<'a>, Along), Status> {
    let call = Call::begin(method, context(request));
    match Caller::of(request) {
        Ok(caller) => Ok((call, Along { caller, wait: wait(request), color: color(request) })),
        Err(refusal) => Err(call.refuse(refusal)),
    }
}

#[tonic::async_trait]
impl AccountService for BankService {
    async fn create_account(
        &self,
        request: Request<CreateAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        let call = Call::begin(&self.metrics.create_account, context(&request));
        call.end(accounts::create(&self.bank, request.into_inner()).await)
    }

    async fn get_account(&self, request: Request<GetAccountRequest>) -> Result<Response<Account>, Status> {
        let call = Call::begin(&self.metrics.get_account, context(&request));
        call.end(accounts::get(&self.bank, request.get_ref()).await)
    }
}

#[tonic::async_trait]
impl TransferService for BankService {
    async fn create_transfer(
        &self,
        request: Request<CreateTransferRequest>,
    ) -> Result<Response<Transfer>, Status> {
        let (call, along) = begin(&self.metrics.create_transfer, &request)?;
        call.end(create::handle(&self.bank, request.into_inner(), &along).await)
    }

    async fn get_transfer(&self, request: Request<GetTransferRequest>) -> Result<Response<Transfer>, Status> {
        let (call, along) = begin(&self.metrics.get_transfer, &request)?;
        call.end(get::handle(&self.bank, request.get_ref(), &along).await)
    }
}
