//! A participant in a process of its own, as its callers see it.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::{Move, Opened, Refused, Step};
use crate::error::OpenError;
use crate::proto::health::HealthCheckRequest;
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_client::HealthClient;
use crate::proto::shop::ledger_service_client::LedgerServiceClient;
use crate::proto::shop::move_request;
use crate::proto::shop::{Account, CreateAccountRequest, GetAccountRequest, MoveRequest};

/// What it is called.
const SERVICE: &str = "shop.v1.LedgerService";
/// How long a connect may take, and an answer about its health.
const CONNECT: Duration = Duration::from_secs(1);
/// How long an opening or a reading may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A participant that went away without a word is noticed after both.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);

/// A connection, made when it is needed, and made anew when it breaks.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    address: String,
    client: LedgerServiceClient<Channel>,
    health: HealthClient<Channel>,
}

impl Remote {
    /// The participant at `host:port`. Nothing is sent yet. Must be called within a tokio runtime.
    pub(crate) fn new(address: &str) -> Result<Self, OpenError> {
        let wrong = |_| OpenError::Address(address.to_owned());
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(wrong)?;
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_ANSWER);
        let channel = endpoint.connect_lazy();
        let (client, health) = (LedgerServiceClient::new(channel.clone()), HealthClient::new(channel));
        Ok(Self { address: address.to_owned(), client, health })
    }

    /// Whether it serves, and otherwise why not.
    pub(crate) async fn serves(&self) -> Result<(), String> {
        let mut request = Request::new(HealthCheckRequest { service: SERVICE.into() });
        request.set_timeout(CONNECT);
        match self.health.clone().check(request).await {
            Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
            Ok(_) => Err(format!("the participant at {} does not serve", self.address)),
            Err(status) => Err(format!("the participant at {}: {}", self.address, status.message())),
        }
    }

    pub(crate) async fn open_account(&self, id: i64, balance_cents: i64) -> Result<Opened<Account>, Refused> {
        let mut request = Request::new(CreateAccountRequest { id, balance_cents });
        request.set_timeout(PATIENCE);
        match self.client.clone().open_account(request).await {
            Ok(account) => Ok(Opened::Is(account.into_inner())),
            Err(status) if status.code() == Code::AlreadyExists => Ok(Opened::Other),
            Err(status) => Err(self.unknown(&status)),
        }
    }

    pub(crate) async fn account(&self, id: i64) -> Result<Option<Account>, Refused> {
        let mut request = Request::new(GetAccountRequest { id });
        request.set_timeout(PATIENCE);
        match self.client.clone().read_account(request).await {
            Ok(account) => Ok(Some(account.into_inner())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(self.unknown(&status)),
        }
    }

    /// Makes a step. The context goes along as metadata.
    pub(crate) async fn make(
        &self,
        step: Move,
        context: &[(String, String)],
        timeout: Duration,
    ) -> Result<(), Refused> {
        let kind = match step.step {
            Step::Debit => move_request::Step::Debit,
            Step::Credit => move_request::Step::Credit,
            Step::Settle => move_request::Step::Settle,
        };
        let mut request = Request::new(MoveRequest {
            transfer_id: step.transfer,
            step: kind.into(),
            undo: step.undo,
            from: step.from,
            to: step.to,
            amount_cents: step.cents,
        });
        request.set_timeout(timeout);
        for (name, value) in context {
            if let (Ok(name), Ok(value)) =
                (tonic::metadata::AsciiMetadataKey::from_bytes(name.as_bytes()), value.parse())
            {
                request.metadata_mut().insert(name, value);
            }
        }
        match self.client.clone().r#move(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::FailedPrecondition => {
                Err(Refused::Rejected(status.message().to_owned()))
            }
            Err(status) if status.code() == Code::Aborted => Err(Refused::Aborted),
            Err(status) => Err(self.unknown(&status)),
        }
    }

    fn unknown(&self, status: &Status) -> Refused {
        let code = format!("{:?}", status.code());
        Refused::Unknown(format!("the participant at {} answered {code}: {}", self.address, status.message()))
    }
}
