//! The backend behind all proxies: it answers every call with one fixed order, or a stream of it, as cheaply as can be, so that it is not
//! what limits a run. gRPC on one port, and plain HTTP/1.1 (for nginx, which cannot transcode) on another.

mod http1;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::fixture::{Fixture, STREAM_MESSAGES, STREAM_PATH};

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
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (grpc, http) = runtime.block_on(async {
            anyhow::Ok((TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?))
        })?;
        let addresses = (grpc.local_addr()?, http.local_addr()?);
        let seen = Arc::new(Seen::default());
        runtime.spawn(serve_grpc(grpc, fixture.order_frame.clone(), Arc::clone(&seen)));
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

async fn serve_grpc(listener: TcpListener, answer: Bytes, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(grpc_connection(stream, answer.clone(), Arc::clone(&seen)));
    }
}

/// Ends with the connection, however that ends: proxies close theirs in many ways.
async fn grpc_connection(stream: TcpStream, answer: Bytes, seen: Arc<Seen>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 24).max_concurrent_streams(1024);
    let mut connection = builder.handshake(stream).await?;
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            call = connection.accept() => match call {
                Some(call) => {
                    let (request, respond) = call?;
                    calls.spawn(answer_call(request, respond, answer.clone(), Arc::clone(&seen)));
                }
                None => return Ok(()),
            },
            Some(_) = calls.join_next() => {}
        }
    }
}

async fn answer_call(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    answer: Bytes,
    seen: Arc<Seen>,
) -> Result<()> {
    if !request.uri().path().starts_with("/shop.v1.") {
        return unimplemented(respond);
    }
    let messages = if request.uri().path() == STREAM_PATH { STREAM_MESSAGES } else { 1 };
    let mut body = request.into_body();
    let mut received = BytesMut::new();
    let wanted = seen.wanted.load(Ordering::Relaxed);
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if wanted {
            received.extend_from_slice(&data);
        }
    }
    if wanted {
        *seen.body.lock().unwrap_or_else(PoisonError::into_inner) = received.freeze();
    }
    let head = Response::builder().header("content-type", HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(head.body(()).context("build the head")?, false)?;
    for left in (0..messages).rev() {
        stream.send_data(answer.clone(), false)?;
        if left > 0 {
            // Each message of a stream goes out by itself, as an event of its own would.
            tokio::task::yield_now().await;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)?;
    Ok(())
}

/// What a server says that does not know a method: a proxy may ask for its health, which the backend does not tell.
fn unimplemented(mut respond: SendResponse<Bytes>) -> Result<()> {
    let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
    respond.send_response(head.body(()).context("build the head")?, true)?;
    Ok(())
}
