//! The client side of a worker: accepts connections, serves each, and ends them in order when a drain begins.

mod handshake;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_runtime::drain::Drain;
use aqueduct_runtime::task;
use bytes::BytesMut;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::body::Body;
use crate::client::{Client, Overdue, Socket};
use crate::edge::Edge;
use crate::options::Timeouts;
use crate::pipeline;
use crate::places::Place;
use crate::reject::Reject;
use crate::service::{Host, Service};
use crate::stage::forward::RequestBody;
use crate::tls::Acceptor;
use crate::{http1, http2};

/// The pause after an accept failed, for instance for want of file descriptors: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the drain begins, or the sender of `ended` is dropped; then returns, and the connections go on by
/// themselves, each holding a guard. `configured` is the address as the options have it.
pub(crate) async fn accept(
    edge: Rc<Edge>,
    (configured, listener): (SocketAddr, TcpListener),
    drain: Drain,
    mut ended: oneshot::Receiver<()>,
) {
    let _accepting = drain.guard();
    // Who is still in the queue of an address that is configured no more is spoken to as before, not without TLS.
    let mut tls = edge.routes().compiled().tls.acceptor(configured).cloned();
    loop {
        let accepted = async {
            // At the limit new connections wait in the kernel's queue.
            Place::free(&edge).await;
            listener.accept().await
        };
        let accepted = tokio::select! {
            // Whoever is in the accept queue when the end begins is still let in.
            biased;
            accepted = accepted => accepted,
            () = drain.started() => return,
            _ = &mut ended => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let routes = edge.routes();
                if routes.options().listen.iter().any(|listen| listen.address == configured) {
                    tls = routes.compiled().tls.acceptor(configured).cloned();
                }
                let most = routes.options().limits.connections_per_address;
                let Some(of_address) = edge.shared.addresses.enter(address.ip(), most) else {
                    edge.metrics.over_address.inc();
                    continue;
                };
                let (guard, place) = (drain.guard(), Place::take(&edge));
                let (edge, drain, tls) = (Rc::clone(&edge), drain.clone(), tls.clone());
                task::spawn_local("client-connection", async move {
                    serve(&edge, (stream, address), tls, &drain).await;
                    drop((place, of_address, guard));
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
async fn serve(
    edge: &Rc<Edge>,
    (stream, address): (TcpStream, SocketAddr),
    acceptor: Option<Arc<Acceptor>>,
    drain: &Drain,
) {
    if stream.set_nodelay(true).is_err() {
        // The client is gone already.
        return;
    }
    let client = Client::new(address);
    match acceptor {
        None => talk(edge, &client, Socket::new(stream, Rc::clone(&client)), None, drain).await,
        // On the heap, so that plain connections do not keep room for it.
        Some(acceptor) => {
            let times = edge.options();
            let handshake = Box::pin(handshake::shake_hands(edge, &client, &acceptor, stream));
            let arrival = tokio::select! {
                biased;
                arrival = handshake => arrival,
                // Whoever has just connected is about to send a request.
                () = graced(drain, &times.timeouts) => return,
            };
            if let Some((stream, http2)) = arrival {
                client.secure();
                let socket = Socket::new(stream, Rc::clone(&client));
                Box::pin(talk(edge, &client, socket, http2, drain)).await;
            }
        }
    }
}

/// Resolves when a drain has begun and whoever was about to send a request has had the time for it.
async fn graced(drain: &Drain, times: &Timeouts) {
    drain.started().await;
    tokio::time::sleep(http1::grace(times)).await;
}

/// Finds out which protocol the client speaks, where it has not said so by ALPN, and speaks it.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    edge: &Rc<Edge>,
    client: &Rc<Client>,
    mut socket: Socket<S>,
    negotiated: Option<bool>,
    drain: &Drain,
) {
    let options = edge.options();
    let times = &options.timeouts;
    let http2 = if negotiated == Some(false) {
        Ok(false)
    } else {
        // HTTP/2 begins with its preface even where it was negotiated.
        tokio::select! {
            biased;
            http2 = socket.sniff_http2() => http2,
            // What there is of a head is the beginning of both, and gets HTTP/1's answer.
            overdue = client.overdue(times) => if overdue == Overdue::Head { Ok(false) } else { return },
            // One byte may be the beginning of both.
            () = graced(drain, times) => if client.has_begun() { Ok(false) } else { return },
        }
    };
    match http2 {
        // In a box: a connection of the other kind should not need the memory of this.
        Ok(true) => Box::pin(serve_http2(edge, client, socket.into_parts().0, drain)).await,
        Ok(false) if negotiated != Some(true) => {
            let (stream, read) = socket.into_parts();
            serve_http1(edge, client, (stream, read), drain).await;
        }
        Ok(false) | Err(_) => {}
    }
}

/// Serves HTTP/1 on any stream, of which something may have been read already.
async fn serve_http1<I: AsyncRead + AsyncWrite + Unpin + 'static>(
    edge: &Rc<Edge>,
    client: &Rc<Client>,
    (stream, read): (I, BytesMut),
    drain: &Drain,
) {
    let options = edge.options();
    let (limits, times) = (&options.limits, &options.timeouts);
    let service = Requests { edge, client };
    http1::serve(stream, read, Host { service, client, limits, times, drain }).await;
}

/// Where the requests of a connection go.
struct Requests<'r> {
    edge: &'r Rc<Edge>,
    client: &'r Rc<Client>,
}

impl<B: RequestBody> Service<B> for Requests<'_> {
    fn call(&self, request: Request<B>) -> impl Future<Output = Response<Body>> {
        pipeline::handle(self.edge, self.client, request)
    }

    fn refuse(&self, request: Request<()>, reject: Reject) -> Response<Body> {
        pipeline::refuse(self.edge, self.client, request, reject)
    }
}

/// Serves HTTP/2 on any stream, behind its preface.
async fn serve_http2<I: AsyncRead + AsyncWrite + Unpin>(
    edge: &Rc<Edge>,
    client: &Rc<Client>,
    stream: I,
    drain: &Drain,
) {
    let options = edge.options();
    let (limits, times) = (&options.limits, &options.timeouts);
    let service = Requests { edge, client };
    if http2::serve(stream, Host { service, client, limits, times, drain }).await {
        edge.metrics.floods.inc();
    }
}
