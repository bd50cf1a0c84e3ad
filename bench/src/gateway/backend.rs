//! The backend behind all proxies: it answers every call with one fixed order, or a stream of it, as cheaply as can be, so that it is not
//! what limits a run. gRPC on one port, and plain HTTP/1.1 (for nginx, which cannot transcode) on another.

mod grpc;
mod http1;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::fixture::Fixture;

/// A running backend; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Where it speaks gRPC (h2c).
    pub(crate) grpc: SocketAddr,
    /// Where it speaks HTTP/1.1.
    pub(crate) http: SocketAddr,
    seen: Arc<Seen>,
    _runtime: Runtime,
}

/// The last gRPC request, kept only while a check asks for it.
#[derive(Debug, Default)]
struct Seen {
    wanted: AtomicBool,
    body: Mutex<Bytes>,
}

impl Backend {
    pub(crate) fn start(fixture: &Fixture) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (grpc, http) = runtime.block_on(async {
            anyhow::Ok((TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?))
        })?;
        let addresses = (grpc.local_addr()?, http.local_addr()?);
        let seen = Arc::new(Seen::default());
        runtime.spawn(grpc::serve(grpc, fixture.order_frame.clone(), Arc::clone(&seen)));
        runtime.spawn(http1::serve(http, fixture.order.to_string()));
        Ok(Self { grpc: addresses.0, http: addresses.1, seen, _runtime: runtime })
    }

    /// The body of the last gRPC request that `call` made, without the frame's head.
    pub(crate) fn observe<T>(&self, call: impl FnOnce() -> T) -> (T, Bytes) {
        self.seen.wanted.store(true, Ordering::Relaxed);
        let outcome = call();
        self.seen.wanted.store(false, Ordering::Relaxed);
        let mut body = std::mem::take(&mut *self.seen.body.lock().unwrap_or_else(PoisonError::into_inner));
        (outcome, body.split_off(body.len().min(5)))
    }
}
