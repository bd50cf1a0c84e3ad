//! The TLS handshake of a client: bounded in time, and in how many there are at once.

use std::rc::Rc;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::client::Client;
use crate::edge::Edge;
use crate::tls::Acceptor;

/// The stream, and whether HTTP/2 was negotiated if anything was. `None`: there is nobody to talk to.
pub(super) async fn shake_hands(
    edge: &Edge,
    client: &Rc<Client>,
    acceptor: &Acceptor,
    stream: TcpStream,
) -> Option<(TlsStream<TcpStream>, Option<bool>)> {
    let within = edge.options().timeouts.head;
    let metrics = &edge.metrics.handshakes;
    // Those over the bound wait, on the same clock: a burst of good clients is served, a flood of silent ones ends.
    let result = tokio::time::timeout(within, async {
        let _place = edge.handshakes.enter().await;
        acceptor.accept(stream).await
    });
    match result.await {
        Ok(Ok(arrival)) => {
            let kind = if arrival.resumed { &metrics.resumed } else { &metrics.full };
            kind.inc();
            if let Some(identity) = arrival.identity {
                client.identify(identity);
            }
            Some((arrival.stream, arrival.http2))
        }
        Ok(Err(error)) => {
            metrics.failed.inc();
            tracing::debug!(client = %client.address, %error, "no TLS with the client");
            None
        }
        Err(_) => {
            metrics.timed_out.inc();
            tracing::debug!(client = %client.address, "a TLS handshake came too slowly");
            None
        }
    }
}
