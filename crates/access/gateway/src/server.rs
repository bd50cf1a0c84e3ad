//! The client side of a worker: accepts connections, serves each, and ends them in order when a drain begins.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_runtime::drain::Drain;
use aqueduct_runtime::task;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::client::{Client, Overdue, Socket};
use crate::edge::Edge;
use crate::options::{Limits, Timeouts};
use crate::pipeline;

/// The pause after an accept failed, for instance for want of file descriptors: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes an HTTP/2 client may send on one stream before we have read them, and on all streams of a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Accepts until the drain begins; then returns, and the connections go on by themselves, each holding a guard.
pub(crate) async fn accept(edge: Rc<Edge>, listener: TcpListener, drain: Drain) {
    let options = edge.options();
    let slots = Arc::new(Semaphore::new(options.per_worker(options.limits.connections)));
    let _accepting = drain.guard();
    loop {
        let accepted = async {
            // At the limit new connections wait in the kernel's queue.
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            // Whoever is in the accept queue when a drain begins is still let in.
            biased;
            accepted = accepted => accepted,
            () = drain.started() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let guard = drain.guard();
                let (edge, drain) = (Rc::clone(&edge), drain.clone());
                task::spawn_local("client-connection", async move {
                    edge.metrics.connections.inc();
                    serve(&edge, stream, address, &drain).await;
                    edge.metrics.connections.dec();
                    drop((slot, guard));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until the client closes it, it is overdue, or the drain has let its last request finish.
async fn serve(edge: &Rc<Edge>, stream: TcpStream, address: SocketAddr, drain: &Drain) {
    if stream.set_nodelay(true).is_err() {
        // The client is gone already.
        return;
    }
    let options = edge.options();
    let client = Client::new(address);
    let mut socket = Socket::new(stream, Rc::clone(&client));
    let http2 = tokio::select! {
        biased;
        http2 = socket.sniff_http2() => http2,
        _ = client.overdue(&options.timeouts) => return,
        () = drain.started() => return,
    };
    let service = service_fn(|request| {
        let (edge, client) = (Rc::clone(edge), Rc::clone(&client));
        async move { Ok::<_, Infallible>(pipeline::handle(&edge, &client, request).await) }
    });
    match http2 {
        Ok(true) => {
            let connection = http2_builder(&options.limits).serve_connection(socket, service);
            run(&options.timeouts, &client, drain, connection, http2::Connection::graceful_shutdown).await;
        }
        Ok(false) => {
            let connection = http1_builder(&options.limits).serve_connection(socket, service);
            run(&options.timeouts, &client, drain, connection, http1::Connection::graceful_shutdown).await;
        }
        Err(_) => {}
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Slow heads are watched by `Client`, for all requests of a connection with one timer.
    builder.header_read_timeout(None).max_headers(limits.headers).max_buf_size(limits.head_bytes);
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Drives a connection. A drain, or a long silence, lets what is in flight finish and tells the client to go.
async fn run<C: Future<Output = hyper::Result<()>>>(
    times: &Timeouts,
    client: &Client,
    drain: &Drain,
    connection: C,
    say_goodbye: impl Fn(Pin<&mut C>),
) {
    let mut connection = pin!(connection);
    let mut leaving = false;
    let result = loop {
        tokio::select! {
            // The connection first: a request that has arrived is in flight before the good-bye is said.
            biased;
            result = &mut connection => break result,
            () = drain.started(), if !leaving => {}
            overdue = client.overdue(times), if !leaving => {
                if overdue == Overdue::Head {
                    tracing::debug!(client = %client.address, "a request head came too slowly");
                    return;
                }
            }
        }
        leaving = true;
        say_goodbye(connection.as_mut());
    };
    if let Err(error) = result {
        tracing::debug!(client = %client.address, %error, "client connection ended");
    }
}

/// Runs what hyper spawns for HTTP/2 streams on the worker's own thread.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        task::spawn_local("http2-stream", future);
    }
}
