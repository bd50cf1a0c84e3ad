//! The reference shop over gRPC: orders, accounts and transfers, on embedded stores, or on sharded MariaDB, the orders behind a cache of two
//! levels ([`Shop::join`]). Each participant of transfers is in this process or in one of its own ([`Participant`]).
//!
//! A request goes `handler → ids → fsm → store` when it writes and `handler → cache → store` when it reads. A write is
//! answered when it is on disk and the cache has forgotten what it replaced; the bus then tells everybody else.
//!
//! ```
//! use aqueduct_runtime::{drain, task};
//! use aqueduct_shop::proto::shop::order_service_client::OrderServiceClient;
//! use aqueduct_shop::proto::shop::{CreateOrderRequest, Item, PayOrderRequest, order::Status};
//! use aqueduct_shop::{Options, Shop};
//! use aqueduct_telemetry::{health::Health, metrics::Registry};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let options = Options { data_dir: folder.path().join("data"), ..Options::default() };
//! let shop = Shop::open(&options, &Registry::new(), &Health::new())?;
//!
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let address = format!("http://{}", listener.local_addr()?);
//! let (handle, drain) = drain::channel();
//! let serving = task::spawn("shop", shop.serve(listener, drain));
//!
//! let channel = tonic::transport::Endpoint::from_shared(address)?.connect().await?;
//! let mut orders = OrderServiceClient::new(channel);
//! let items = vec![Item { sku: "tea".into(), quantity: 2, price_cents: 450 }];
//! let order = orders.create_order(CreateOrderRequest { user_id: 7, items, note: String::new() }).await?.into_inner();
//! assert_eq!((order.total_cents, order.version), (900, 1));
//! let paid = orders.pay_order(PayOrderRequest { id: order.id, event_id: "charge-1".into() }).await?.into_inner();
//! assert_eq!((paid.status(), paid.version), (Status::Paid, 2));
//!
//! assert_eq!(handle.drain(Duration::from_secs(5)).await.left, 0);
//! serving.await??;
//! shop.close().await?;
//! # Ok(()) }
//! ```

mod accounts;
mod bank;
mod bank_service;
mod book;
mod caller;
mod changes;
mod cluster;
mod error;
mod folder;
mod health;
mod incoming;
mod ledger;
#[cfg(feature = "measure")]
pub mod measure;
mod metrics;
mod options;
mod order;
mod orders;
mod page;
mod periodic;
pub mod proto;
mod refuse;
mod sagas;
mod server;
mod service;
mod sharded;
mod shop;
mod store;
mod transfers;
mod validate;
mod vitals;
mod watchers;

pub use aqueduct_fsm::Failure;
pub use cluster::{BusState, Cluster, Level2, Source, heartbeat_table, prepare, watched};
pub use error::{OpenError, ServeError};
pub use ledger::Side;
pub use ledger::server::{Participant, ParticipantOptions};
pub use options::Options;
pub use shop::Shop;
pub use vitals::Failed;

#[cfg(test)]
mod tests;
