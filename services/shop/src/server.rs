//! The gRPC server: which services it has, and how its connections behave.

use std::time::Duration;

use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tower_layer::layer_fn;

use crate::error::ServeError;
use crate::health::HealthService;
use crate::incoming::Incoming;
use crate::proto::DESCRIPTOR_SET;
use crate::proto::health::health_server::HealthServer;

/// The largest request: 200 items of 64-byte names and a 2,000-byte note are 18 KiB.
pub(crate) const MAX_REQUEST: usize = 256 << 10;
/// Requests in flight on one connection. A gateway worker brings all of its on one.
const MAX_STREAMS: u32 = 4_096;
/// HTTP/2 flow control. The default of 64 KiB would make large lists wait for the reader's acknowledgements, and all
/// the streams of a gateway share one connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// A peer that went away without a word is noticed after both.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);

/// Serves until `stop` resolves and every request in flight is answered.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    stop: impl Future<Output = ()>,
    services: Routes,
    health: HealthService,
) -> Result<(), ServeError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTOR_SET)
    };
    let routes = services
        .add_service(HealthServer::new(health))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .layer(layer_fn(Incoming))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop)
        .await?;
    Ok(())
}
