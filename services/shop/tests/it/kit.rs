//! A shop that runs in the test's process, on a folder of its own and a free port.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use aqueduct_runtime::{drain, task};
use aqueduct_shop::proto::health::health_client::HealthClient;
use aqueduct_shop::proto::shop::account_service_client::AccountServiceClient;
use aqueduct_shop::proto::shop::order_service_client::OrderServiceClient;
use aqueduct_shop::proto::shop::transfer_service_client::TransferServiceClient;
use aqueduct_shop::proto::shop::{
    Account, CreateAccountRequest, CreateOrderRequest, CreateTransferRequest, GetAccountRequest,
    GetOrderRequest, Item, Order, PayOrderRequest, Transfer,
};
use aqueduct_shop::{OpenError, Options, ServeError, Shop, Side};
use aqueduct_telemetry::health::Health;
use aqueduct_telemetry::metrics::Registry;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

pub(crate) struct Running {
    pub(crate) folder: TempDir,
    pub(crate) shop: Shop,
    address: SocketAddr,
    drain: drain::DrainHandle,
    serving: JoinHandle<Result<(), ServeError>>,
}

pub(crate) fn start() -> Running {
    start_in(tempfile::tempdir().unwrap())
}

pub(crate) fn start_in(folder: TempDir) -> Running {
    start_with(folder, [None, None])
}

/// A shop whose participants are elsewhere.
pub(crate) fn start_with(folder: TempDir, participants: [Option<String>; 2]) -> Running {
    let options = Options { participants, ..options(&folder) };
    let shop = Shop::open(&options, &Registry::new(), &Health::new()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (handle, drain) = drain::channel();
    let serving = task::spawn("shop", shop.serve(listener, drain));
    Running { folder, shop, address, drain: handle, serving }
}

fn options(folder: &TempDir) -> Options {
    Options { data_dir: folder.path().join("data"), ..Options::default() }
}

pub(crate) fn open(folder: &TempDir) -> Result<Shop, OpenError> {
    Shop::open(&options(folder), &Registry::new(), &Health::new())
}

impl Running {
    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn orders(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel().await)
    }

    pub(crate) async fn bank(&self) -> Bank {
        let channel = self.channel().await;
        Bank {
            accounts: AccountServiceClient::new(channel.clone()),
            transfers: TransferServiceClient::new(channel),
        }
    }

    pub(crate) async fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel().await)
    }

    /// Stops as the binary does, and gives the folder back.
    pub(crate) async fn stop(self) -> TempDir {
        assert_eq!(self.drain.drain(Duration::from_secs(10)).await.left, 0);
        self.serving.await.unwrap().unwrap();
        self.shop.close().await.unwrap();
        self.folder
    }
}

/// Accounts and transfers, without the wrapping.
#[derive(Clone)]
pub(crate) struct Bank {
    pub(crate) accounts: AccountServiceClient<Channel>,
    pub(crate) transfers: TransferServiceClient<Channel>,
}

impl Bank {
    pub(crate) async fn open(&mut self, id: i64, balance_cents: i64) -> Result<Account, Status> {
        Ok(self.accounts.create_account(CreateAccountRequest { id, balance_cents }).await?.into_inner())
    }

    pub(crate) async fn account(&mut self, id: i64) -> Result<Account, Status> {
        Ok(self.accounts.get_account(GetAccountRequest { id }).await?.into_inner())
    }

    /// Sends it, and waits for its end.
    pub(crate) async fn transfer(
        &mut self,
        id: &str,
        (from, to): (i64, i64),
        amount_cents: i64,
    ) -> Result<Transfer, Status> {
        let message = CreateTransferRequest { transfer_id: id.into(), from, to, amount_cents };
        let mut request = Request::new(message);
        request.metadata_mut().insert("prefer", "wait=20".parse().unwrap());
        Ok(self.transfers.create_transfer(request).await?.into_inner())
    }
}

/// The n-th account that lives with this participant.
pub(crate) fn account_of(side: Side, n: usize) -> i64 {
    (1..).filter(|id| Side::of(*id) == side).nth(n).unwrap()
}

pub(crate) fn item(sku: &str, quantity: i32, price_cents: i64) -> Item {
    Item { sku: sku.into(), quantity, price_cents }
}

/// An order of one item.
pub(crate) fn simple(user_id: i64) -> CreateOrderRequest {
    CreateOrderRequest { user_id, items: vec![item("tea", 2, 450)], note: "ring twice".into() }
}

/// The calls that the tests make most, without the wrapping.
pub(crate) trait Calls {
    async fn new_order(&mut self, user: i64) -> Order;
    async fn read(&mut self, id: i64) -> Result<Order, Status>;
    async fn pay(&mut self, id: i64, event_id: &str) -> Result<Order, Status>;
}

impl Calls for OrderServiceClient<Channel> {
    async fn new_order(&mut self, user: i64) -> Order {
        self.create_order(simple(user)).await.unwrap().into_inner()
    }

    async fn read(&mut self, id: i64) -> Result<Order, Status> {
        Ok(self.get_order(GetOrderRequest { id }).await?.into_inner())
    }

    async fn pay(&mut self, id: i64, event_id: &str) -> Result<Order, Status> {
        Ok(self.pay_order(PayOrderRequest { id, event_id: event_id.into() }).await?.into_inner())
    }
}
