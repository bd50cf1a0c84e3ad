//! Our HTTP/2 server and h2's, each behind a service that does nothing but tell what it was asked.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use aqueduct_runtime::{drain, task};
use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::LocalSet;

use super::http1::{Recorder, Seen, Understood, run};
use crate::client::Client;
use crate::http2::{self, Sent};
use crate::options::{Limits, Timeouts};
use crate::service::Host;

/// Turns in which a server that has all it waits for has done all it can.
const TURNS: usize = 50;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Settings that say nothing.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// Sends the input in pieces of this size, each after the one before has been taken, and closes this side; what comes back.
async fn send(stream: DuplexStream, input: &[&[u8]], size: usize) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        for piece in input.iter().flat_map(|part| part.chunks(size)) {
            if writer.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        // An end of the connection is heard before what came in front of it: what is to be answered is answered now.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        drop(writer.shutdown().await);
    };
    let mut answers = Vec::new();
    let read = async { drop(reader.read_to_end(&mut answers).await) };
    tokio::join!(write, read);
    answers
}

/// What our server understands, and what it says.
async fn own(wire: &[u8], size: usize) -> (Vec<Understood>, Vec<u8>) {
    let seen = RefCell::new(Seen::default());
    let client = Client::new(SocketAddr::from(([127, 0, 0, 1], 1)));
    let (_handle, drain) = drain::channel();
    let (limits, times) = (&Limits::default(), &Timeouts::default());
    let host = Host { service: Recorder(Some(&seen)), client: &client, limits, times, drain: &drain };
    let (server, far) = tokio::io::duplex(4096);
    let input = [SETTINGS, wire];
    let (_, answers) = tokio::join!(http2::serve(server, host), send(far, &input, size));
    (seen.into_inner().requests, answers)
}

/// What h2's server understands; `None` when it found something wrong with the connection.
async fn h2s(wire: &[u8]) -> Option<Vec<Understood>> {
    let seen = Rc::<RefCell<Vec<Understood>>>::default();
    let (server, far) = tokio::io::duplex(4096);
    let serve = async {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(256).initial_window_size(256 << 10).max_header_list_size(64 << 10);
        let Ok(mut connection) = builder.handshake::<_, Bytes>(server).await else { return false };
        loop {
            let (request, mut respond) = match connection.accept().await {
                Some(Ok(accepted)) => accepted,
                Some(Err(_)) => return false,
                None => return true,
            };
            let seen = Rc::clone(&seen);
            task::spawn_local("request", async move {
                let (head, mut body) = request.into_parts();
                let mut whole = Vec::new();
                while let Some(data) = body.data().await {
                    let Ok(data) = data else { return };
                    drop(body.flow_control().release_capacity(data.len()));
                    whole.extend_from_slice(&data);
                }
                seen.borrow_mut().push(Understood::new(
                    &head.method,
                    &head.uri,
                    head.headers,
                    Some(whole.into()),
                ));
                if let Ok(mut answer) = respond.send_response(Response::new(()), false) {
                    drop(answer.send_data(Bytes::from_static(b"hello"), true));
                }
            });
        }
    };
    let input = [PREFACE, SETTINGS, wire];
    let (well, _) = tokio::join!(serve, send(far, &input, 4096));
    well.then(|| seen.take())
}

/// What we accept, h2 reads as the same request, as long as it reads on; and what we say is HTTP/2, whatever we hear.
pub fn http2_server(data: &[u8]) {
    let [size, wire @ ..] = data else { return };
    let size = usize::from(*size).max(1);
    run(LocalSet::new().run_until(async {
        for size in [4096, size] {
            let (requests, answers) = own(wire, size).await;
            Sent::check(&answers);
            let Some(lax) = h2s(wire).await else { continue };
            // What breaks off is read by nobody to its end, and a request that was reset may have been read to its end by one of them.
            for request in requests.iter().filter(|request| request.body.is_some()) {
                let is_same = |other: &Understood| without_length(other) == without_length(request);
                assert!(lax.iter().any(is_same), "h2 does not read {request:?}, but {lax:?}");
            }
        }
    }));
}

/// An empty head of a body is no difference.
fn without_length(request: &Understood) -> (&http::Method, &str, &HeaderMap, Option<&[u8]>) {
    (&request.method, &request.target, &request.headers, request.body.as_deref())
}

/// Whether our server, and whether h2's, takes these bytes behind the settings as one request with a whole body.
pub fn accepted_http2(wire: &[u8]) -> (bool, bool) {
    run(LocalSet::new().run_until(async {
        let (requests, _) = own(wire, 4096).await;
        let lax = h2s(wire).await.unwrap_or_default();
        (requests.iter().any(|request| request.body.is_some()), !lax.is_empty())
    }))
}
