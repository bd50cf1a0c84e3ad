//! IDs over gRPC for programs in any language, and the [`Keeper`] that renews a lease for whoever mints by it.
//!
//! ```
//! use aqueduct_ids::{Lease, LeaseOptions};
//! use aqueduct_ids_service::proto::ids::{MintIdsRequest, id_service_client::IdServiceClient};
//! use aqueduct_ids_service::{Held, Server};
//! use aqueduct_runtime::{drain, task};
//! use aqueduct_telemetry::health::Health;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let lease = Lease::open(folder.path(), LeaseOptions::default())?;
//! let server = Server::start(Held::Folder(lease), &Health::new());
//!
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let address = format!("http://{}", listener.local_addr()?);
//! let (handle, drain) = drain::channel();
//! let serving = task::spawn("ids", server.serve(listener, drain));
//!
//! let channel = tonic::transport::Endpoint::from_shared(address)?.connect().await?;
//! let mut client = IdServiceClient::new(channel);
//! let request = MintIdsRequest { count: 100, placement: None };
//! let ids = client.mint_ids(request).await?.into_inner().ids;
//! assert!(ids.len() == 100 && ids.is_sorted());
//!
//! assert_eq!(handle.drain(Duration::from_secs(5)).await.left, 0);
//! serving.await??;
//! server.close().await;
//! # Ok(()) }
//! ```

mod health;
mod keeper;
pub mod proto;
mod server;
mod service;
mod state;

pub use keeper::{Held, Keeper, Renewal};
pub use server::{ServeError, Server};
pub use service::MAX_BATCH;

#[cfg(test)]
mod tests;
