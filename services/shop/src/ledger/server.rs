//! A participant in a process of its own: its accounts, served over gRPC to the shops that move money.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_fsm::Failure;
use aqueduct_runtime::drain::Drain;
use aqueduct_telemetry::health::{Health, OnFailure};
use tonic::{Request, Response, Status};

use super::{Ledger, Move, Opened, Refused, Side, Step};
use crate::caller::context;
use crate::error::{OpenError, ServeError};
use crate::health::HealthService;
use crate::periodic::Periodic;
use crate::proto::shop::ledger_service_server::{LedgerService, LedgerServiceServer};
use crate::proto::shop::move_request;
use crate::proto::shop::{Account, CreateAccountRequest, GetAccountRequest, MoveRequest, MoveResponse};
use crate::refuse::Refusal;
use crate::server;
use crate::shop::WATCH_EVERY;
use crate::transfers::log_step;
use crate::vitals::Monitor;

/// How a participant is set up.
#[derive(Debug, Clone)]
pub struct ParticipantOptions {
    /// Whose accounts they are.
    pub side: Side,
    /// The data folder; created where there is none.
    pub data_dir: PathBuf,
    /// For how long it is remembered which steps were made. Longer than any shop keeps its transfers.
    pub kept: Duration,
}

/// One participant on one data folder, which is its own until it is closed or dropped.
#[derive(Debug)]
pub struct Participant {
    ledger: Ledger,
    monitor: Arc<Monitor>,
    watchman: Periodic,
}

impl Participant {
    /// Opens its data folder. Its state appears as the check `store` in `health`. Blocks on the disk.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing is left running.
    pub fn open(options: &ParticipantOptions, health: &Health) -> Result<Self, OpenError> {
        let ledger = Ledger::open(&options.data_dir, options.side, options.kept)?;
        let monitor = Arc::new(Monitor::new(health.check("store", OnFailure::Unavailable)));
        let watchman = watch("ledger-watch", vec![ledger.clone()]).map_err(OpenError::Thread)?;
        Ok(Self { ledger, monitor, watchman })
    }

    /// Serves gRPC on `listener` (the accounts, health, reflection) until `drain` starts and all that is in flight is answered.
    /// Holds a guard of the drain meanwhile.
    pub fn serve(
        &self,
        listener: TcpListener,
        drain: Drain,
    ) -> impl Future<Output = Result<(), ServeError>> + Send + use<> {
        let (service, monitor) = (Service(self.ledger.clone()), Arc::clone(&self.monitor));
        let guard = drain.guard();
        async move {
            let health = HealthService::new(&["", "shop.v1.LedgerService", "store"], &monitor);
            let started = async {
                drain.started().await;
                monitor.stop();
            };
            let routes = tonic::service::Routes::new(LedgerServiceServer::new(service));
            let served = server::serve(listener, started, routes, health).await;
            drop(guard);
            served
        }
    }

    /// Resolves with the reason once the store has failed; never otherwise. From then on nothing is done, and the process
    /// should exit.
    pub async fn failed(&self) -> String {
        let reason = self.ledger.failed().await;
        self.monitor.fail(Failure::new(&reason));
        reason
    }

    /// Commits what is queued and waits for its threads. Comes after the drain. Blocks.
    pub fn close(self) {
        self.monitor.stop();
        self.watchman.stop();
        drop(self.ledger);
    }
}

/// Looks after the databases.
pub(crate) fn watch(name: &str, ledgers: Vec<Ledger>) -> std::io::Result<Periodic> {
    let tick = |ledgers: &mut Vec<Ledger>| ledgers.iter().for_each(Ledger::probe);
    Periodic::start(name, WATCH_EVERY, ledgers, tick, drop)
}

#[derive(Debug)]
struct Service(Ledger);

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejected(why) => Status::failed_precondition(why),
            Refused::Aborted => Status::aborted("it was undone before it arrived"),
            Refused::Unknown(why) => Status::unavailable(why),
        }
    }
}

#[tonic::async_trait]
impl LedgerService for Service {
    async fn open_account(
        &self,
        request: Request<CreateAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        let CreateAccountRequest { id, balance_cents } = request.into_inner();
        if id < 1 || balance_cents < 0 {
            return Err(Status::invalid_argument("an id of 1 or more and a balance of 0 or more are wanted"));
        }
        match self.0.open_account(id, balance_cents).await? {
            Opened::Is(account) => Ok(Response::new(account)),
            Opened::Other => Err(Refusal::exists_account(id).into()),
        }
    }

    async fn read_account(&self, request: Request<GetAccountRequest>) -> Result<Response<Account>, Status> {
        let id = request.get_ref().id;
        self.0.account(id)?.map(Response::new).ok_or_else(|| Refusal::no_account(id).into())
    }

    async fn r#move(&self, request: Request<MoveRequest>) -> Result<Response<MoveResponse>, Status> {
        let (context, color) = (context(&request), crate::transfers::color(&request));
        let MoveRequest { transfer_id, step, undo, from, to, amount_cents } = request.into_inner();
        let step = match move_request::Step::try_from(step) {
            Ok(move_request::Step::Debit) => Step::Debit,
            Ok(move_request::Step::Credit) => Step::Credit,
            Ok(move_request::Step::Settle) => Step::Settle,
            Ok(move_request::Step::Unspecified) | Err(_) => {
                return Err(Status::invalid_argument("the step is none that is known here"));
            }
        };
        // The barrier's keys have a 0 between their parts.
        if transfer_id.is_empty() || transfer_id.contains('\0') {
            return Err(Status::invalid_argument("transfer_id is no id"));
        }
        let step = Move { transfer: transfer_id, step, undo, from, to, cents: amount_cents };
        log_step(&step, self.0.side(), &context, color.as_deref());
        self.0.make(step).await?;
        Ok(Response::new(MoveResponse {}))
    }
}
