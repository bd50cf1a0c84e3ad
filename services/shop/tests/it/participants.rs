//! Participants in processes of their own: what goes along to them, and what happens while one is away.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_runtime::{drain, task};
use aqueduct_shop::proto::shop::ledger_service_server::{LedgerService, LedgerServiceServer};
use aqueduct_shop::proto::shop::transfer::Status;
use aqueduct_shop::proto::shop::{
    Account, CreateAccountRequest, CreateTransferRequest, GetAccountRequest, MoveRequest, MoveResponse,
};
use aqueduct_shop::{Participant, ParticipantOptions, Side};
use aqueduct_telemetry::health::Health;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response};

use crate::kit::{self, account_of};

/// A participant that runs beside the shop.
struct Beside {
    address: SocketAddr,
    participant: Participant,
    drain: drain::DrainHandle,
    serving: JoinHandle<()>,
}

fn beside(data_dir: PathBuf, side: Side, address: Option<SocketAddr>) -> Beside {
    let options = ParticipantOptions { side, data_dir, kept: Duration::from_hours(1) };
    let participant = Participant::open(&options, &Health::new()).unwrap();
    let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let (handle, drain) = drain::channel();
    let served = participant.serve(listener, drain);
    let serving = task::spawn("beside", async move { served.await.unwrap() });
    Beside { address, participant, drain: handle, serving }
}

impl Beside {
    async fn stop(self) {
        self.drain.drain(Duration::from_secs(10)).await;
        self.serving.await.unwrap();
        tokio::task::spawn_blocking(|| self.participant.close()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_waits_for_a_participant_that_is_away_and_then_ends() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("b");
    let other = beside(data.clone(), Side::B, None);
    let address = other.address;
    let shop = kit::start_with(tempfile::tempdir().unwrap(), [None, Some(address.to_string())]);
    let mut bank = shop.bank().await;
    let (a, b) = (account_of(Side::A, 0), account_of(Side::B, 0));
    bank.open(a, 100).await.unwrap();
    bank.open(b, 0).await.unwrap();
    assert_eq!(bank.transfer("t-1", (a, b), 30).await.unwrap().status(), Status::Completed);
    assert_eq!(bank.transfer("t-2", (b, a), 31).await.unwrap().status(), Status::Compensated);

    other.stop().await;
    let message = CreateTransferRequest { transfer_id: "t-3".into(), from: a, to: b, amount_cents: 20 };
    let taken = bank.transfers.create_transfer(message).await.unwrap().into_inner();
    assert_eq!(taken.status(), Status::Pending);
    assert_eq!(bank.account(b).await.unwrap_err().code(), tonic::Code::Unavailable);
    let other = beside(data, Side::B, Some(address));
    assert_eq!(bank.transfer("t-3", (a, b), 20).await.unwrap().status(), Status::Completed);
    assert_eq!(bank.account(a).await.unwrap().balance_cents, 50);
    assert_eq!(bank.account(b).await.unwrap().balance_cents, 50);
    shop.stop().await;
    other.stop().await;
}

/// Notes what it is asked, and refuses every credit.
#[derive(Clone, Default)]
struct Spy(Arc<Mutex<Vec<(String, MetadataMap)>>>);

#[tonic::async_trait]
impl LedgerService for Spy {
    async fn open_account(
        &self,
        _: Request<CreateAccountRequest>,
    ) -> Result<Response<Account>, tonic::Status> {
        Err(tonic::Status::unimplemented("not here"))
    }

    async fn read_account(&self, _: Request<GetAccountRequest>) -> Result<Response<Account>, tonic::Status> {
        Err(tonic::Status::unimplemented("not here"))
    }

    async fn r#move(&self, request: Request<MoveRequest>) -> Result<Response<MoveResponse>, tonic::Status> {
        let asked = request.get_ref();
        let name = format!("{:?} {}", asked.step(), asked.undo);
        self.0.lock().unwrap().push((name.clone(), request.metadata().clone()));
        if name == "Credit false" {
            return Err(tonic::Status::failed_precondition("not today"));
        }
        Ok(Response::new(MoveResponse {}))
    }
}

#[tokio::test]
async fn trace_and_colour_go_along_into_the_compensation() {
    let spy = Spy::default();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap().to_string();
    let server = tonic::transport::Server::builder().add_service(LedgerServiceServer::new(spy.clone()));
    let serving = task::spawn("spy", server.serve_with_incoming(incoming));
    let shop = kit::start_with(tempfile::tempdir().unwrap(), [Some(address.clone()), Some(address)]);
    let mut bank = shop.bank().await;
    let message = CreateTransferRequest { transfer_id: "t".into(), from: 1, to: 2, amount_cents: 5 };
    let mut request = Request::new(message);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", format!("00-{trace}-b7ad6b7169203331-01").parse().unwrap());
    metadata.insert("x-aqueduct-color", "blue".parse().unwrap());
    metadata.insert("prefer", "wait=20".parse().unwrap());
    let ended = bank.transfers.create_transfer(request).await.unwrap().into_inner();
    assert_eq!(
        (ended.status(), ended.reason.as_str()),
        (Status::Compensated, "credit was rejected: not today")
    );

    let asked = spy.0.lock().unwrap().clone();
    let names: Vec<_> = asked.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Debit false", "Credit false", "Debit true"]);
    let mut spans = Vec::new();
    for (name, metadata) in &asked {
        let parent = metadata.get("traceparent").unwrap().to_str().unwrap();
        let parts: Vec<_> = parent.split('-').collect();
        assert_eq!((parts[1], parts[3]), (trace, "01"), "{name}");
        spans.push(parts[2].to_owned());
        assert_eq!(metadata.get("x-aqueduct-color").unwrap(), "blue", "{name}");
    }
    spans.sort();
    spans.dedup();
    assert_eq!(spans.len(), 3, "each step has a span of its own");
    shop.stop().await;
    serving.abort();
}

/// Its participants accept connections, and say nothing.
#[tokio::test]
async fn who_waits_is_answered_before_his_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let shop = kit::start_with(tempfile::tempdir().unwrap(), [Some(address.clone()), Some(address)]);
    let mut bank = shop.bank().await;
    let check = async |bank: &mut kit::Bank, prefer: &'static str, timeout: &'static str| {
        let message = CreateTransferRequest { transfer_id: "t".into(), from: 1, to: 2, amount_cents: 5 };
        let mut request = Request::new(message);
        request.metadata_mut().insert("prefer", prefer.parse().unwrap());
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let began = Instant::now();
        let answer = bank.transfers.create_transfer(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), Status::Pending);
        began.elapsed()
    };
    let cut = check(&mut bank, "wait=60", "4S").await;
    assert!((Duration::from_secs(3)..Duration::from_secs(4)).contains(&cut), "{cut:?}");
    let whole = check(&mut bank, "wait=1", "20S").await;
    assert!((Duration::from_secs(1)..Duration::from_secs(10)).contains(&whole), "{whole:?}");
    drop(shop);
}
