//! A gRPC server that does what the request's text says, down to the frames: `status 5 no such`, `hang`, `reset`,
//! `http 404`, `no-trailers` and so on. Anything else is echoed. It records what it saw.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

use crate::docs;
use crate::reflector::{self, Reflector};

#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) headers: Mutex<Vec<HeaderMap>>,
    pub(crate) schemes: Mutex<Vec<String>>,
    /// The framed messages of each call that was read to its end.
    pub(crate) bodies: Mutex<Vec<Vec<u8>>>,
    pub(crate) connections: AtomicUsize,
    pub(crate) resets: AtomicUsize,
    pub(crate) sent: AtomicUsize,
    pub(crate) reset: Notify,
    /// Lets `wait` requests go on.
    pub(crate) go: Notify,
    pub(crate) waiting: Notify,
    pub(crate) reflector: Mutex<Reflector>,
    /// `flaky` calls so far.
    pub(crate) flaky: AtomicUsize,
}

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Backend {
    pub(crate) fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        Self::start_with(address, None)
    }

    /// With TLS.
    pub(crate) fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self::start_with(SocketAddr::from(([127, 0, 0, 1], 0)), Some(config.into()))
    }

    fn start_with(address: SocketAddr, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let seen = Arc::<Seen>::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, bound) = std::sync::mpsc::channel();
        let shared = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(address).await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = accept(listener, shared, tls) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address: bound.recv().unwrap(), seen, stop: Some(stop), thread: Some(thread) }
    }

    /// Ends at once, as a crash would.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>, tls: Option<tokio_rustls::TlsAcceptor>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        seen.connections.fetch_add(1, SeqCst);
        let (seen, tls) = (Arc::clone(&seen), tls.clone());
        aqueduct_runtime::task::spawn("backend-connection", async move {
            match tls {
                None => serve(stream, seen).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, seen).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Seen>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        seen.headers.lock().unwrap().push(request.headers().clone());
        seen.schemes.lock().unwrap().extend(request.uri().scheme_str().map(str::to_owned));
        if docs::echo::is_for(&request) {
            aqueduct_runtime::task::spawn("backend-request", docs::echo::answer(request, respond));
        } else {
            aqueduct_runtime::task::spawn("backend-request", answer(request, respond, Arc::clone(&seen)));
        }
    }
}

pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap());
    out.extend_from_slice(message);
    out.freeze()
}

/// `Message { text, count }`.
pub(crate) fn message(text: &str, count: u8) -> Vec<u8> {
    let mut out = Vec::new();
    if !text.is_empty() {
        out.push(0x0a);
        let mut length = text.len();
        while length >= 0x80 {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        out.extend_from_slice(text.as_bytes());
    }
    if count > 0 {
        out.extend_from_slice(&[0x10, count]);
    }
    out
}

pub(crate) fn trailers(status: &str) -> HeaderMap {
    let (code, text) = status.split_once(' ').unwrap_or((status, ""));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_str(code).unwrap());
    if !text.is_empty() {
        trailers.insert("grpc-message", HeaderValue::from_str(text).unwrap());
    }
    trailers
}

pub(crate) fn head() -> Response<()> {
    Response::builder()
        .header("content-type", "application/grpc")
        .header("x-from", "backend")
        .body(())
        .unwrap()
}

pub(crate) async fn read(body: &mut RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        drop(body.flow_control().release_capacity(data.len()));
        all.extend_from_slice(&data);
    }
    all
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, seen: Arc<Seen>) {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    if path.ends_with("/Chat") {
        return chat(body, respond, &seen).await;
    }
    if path.ends_with("/Stall") {
        seen.waiting.notify_one();
        seen.go.notified().await;
    }
    let wire = read(&mut body).await;
    if path.ends_with("/ServerReflectionInfo") {
        return reflector::answer(&path, &wire, respond, &seen);
    }
    seen.bodies.lock().unwrap().push(wire.clone());
    if path.ends_with("/Sum") || path.ends_with("/Upload") {
        return sum(&wire, respond);
    }
    let payload = wire.get(5..).unwrap_or_default().to_vec();
    let text = String::from_utf8_lossy(&payload).into_owned();
    let verb = |name: &str| text.split_once(name).map(|(_, rest)| rest.trim().to_owned());
    if path.ends_with("/Count") {
        return count(&payload, respond, &seen).await;
    }
    if path.ends_with("/Download") {
        return download(payload.last().copied().unwrap_or_default(), respond);
    }
    if let Some(status) = verb("status ") {
        let mut response = head();
        response.headers_mut().extend(trailers(&status));
        drop(respond.send_response(response, true));
    } else if let Some(code) = verb("http ") {
        let response = Response::builder().status(code.parse::<u16>().unwrap()).body(()).unwrap();
        drop(respond.send_response(response, true));
    } else if verb("hang").is_some() {
        seen.waiting.notify_one();
        drop(std::future::poll_fn(|cx| respond.poll_reset(cx)).await);
        seen.resets.fetch_add(1, SeqCst);
        seen.reset.notify_one();
    } else if let Some(times) = verb("flaky ").filter(|times| flakes(times, &seen)) {
        flake(&times, respond);
    } else if verb("refuse").is_some() {
        respond.send_reset(Reason::REFUSED_STREAM);
    } else if verb("reset").is_some() {
        respond.send_reset(Reason::INTERNAL_ERROR);
    } else {
        if verb("wait").is_some() {
            seen.waiting.notify_one();
            seen.go.notified().await;
        }
        let reply = if verb("garbage").is_some() { vec![0xff; 9] } else { payload };
        reply_as_asked(&frame(&reply), &text, respond).await;
    }
}

/// Whether this is one of the first so many.
fn flakes(times: &str, seen: &Seen) -> bool {
    let times: usize = times.split(' ').next().unwrap().parse().unwrap();
    seen.flaky.fetch_add(1, SeqCst) < times
}

/// UNAVAILABLE, at once or behind the message.
fn flake(times: &str, mut respond: SendResponse<Bytes>) {
    if times.ends_with("untouched") {
        return respond.send_reset(Reason::REFUSED_STREAM);
    }
    let late = times.ends_with("late");
    let mut response = head();
    if !late {
        response.headers_mut().extend(trailers("14 not now"));
    }
    let mut send = respond.send_response(response, !late).unwrap();
    if late {
        drop(send.send_data(frame(&message("half", 0)), false));
        drop(send.send_trailers(trailers("14 not now")));
    }
}

/// The framed reply, in the way that the request's text asks for.
async fn reply_as_asked(framed: &Bytes, text: &str, mut respond: SendResponse<Bytes>) {
    let asks = |word: &str| text.contains(word);
    let mut send = respond.send_response(head(), false).unwrap();
    if asks("split") {
        for byte in framed {
            send.send_data(Bytes::copy_from_slice(&[*byte]), false).unwrap();
            tokio::task::yield_now().await;
        }
    } else if asks("compressed") {
        let mut bytes = framed.to_vec();
        bytes[0] = 1;
        send.send_data(bytes.into(), false).unwrap();
    } else if asks("twice") {
        send.send_data([&framed[..], &framed[..]].concat().into(), false).unwrap();
    } else {
        send.send_data(framed.clone(), asks("no-trailers")).unwrap();
    }
    if asks("no-trailers") {
        return;
    }
    let mut trailers = trailers("0");
    if asks("trailing") {
        trailers.insert("x-behind", HeaderValue::from_static("it"));
    }
    drop(send.send_trailers(trailers));
}

/// The messages of framed bytes.
pub(crate) fn frames(mut wire: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = wire.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        frames.push(rest[..length].to_vec());
        wire = &rest[length..];
    }
    frames
}

/// `google.api.HttpBody`.
pub(crate) fn http_body(content_type: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, part) in [(0x0a, content_type.as_bytes()), (0x12, data)] {
        if !part.is_empty() {
            out.extend_from_slice(&[tag, u8::try_from(part.len()).unwrap()]);
            out.extend_from_slice(part);
        }
    }
    out
}

/// How many messages there were.
fn sum(wire: &[u8], mut respond: SendResponse<Bytes>) {
    let mut send = respond.send_response(head(), false).unwrap();
    drop(send.send_data(frame(&message("", u8::try_from(frames(wire).len()).unwrap())), false));
    drop(send.send_trailers(trailers("0")));
}

/// Pieces `1,`, `2,` …; then OK, or an error when the count is odd.
fn download(count: u8, mut respond: SendResponse<Bytes>) {
    let mut send = respond.send_response(head(), false).unwrap();
    for number in 1..=count {
        let content_type = if number == 1 { "text/csv" } else { "" };
        drop(send.send_data(frame(&http_body(content_type, format!("{number},").as_bytes())), false));
    }
    drop(send.send_trailers(trailers(if count % 2 == 1 { "9 odd" } else { "0" })));
}

/// As many messages as the count says; then OK, or an error when the count is odd. 101 fails at once, 102 says nothing and
/// 103 one message until `go`, then they fail; 104 is UNAVAILABLE after one; 120 and more never end.
async fn count(payload: &[u8], mut respond: SendResponse<Bytes>, seen: &Seen) {
    let count = payload.last().copied().unwrap_or_default();
    let mut send = respond.send_response(head(), false).unwrap();
    if (101..=103).contains(&count) {
        if count == 103 {
            drop(send.send_data(frame(&message("", 1)), false));
        }
        if count > 101 {
            seen.waiting.notify_one();
            seen.go.notified().await;
        }
        let mut trailers = trailers("5 none");
        trailers.insert("x-last", HeaderValue::from_static("word"));
        return drop(send.send_trailers(trailers));
    }
    if count >= 120 {
        let piece = frame(&message(&"x".repeat(10_000), 1));
        loop {
            send.reserve_capacity(piece.len());
            match std::future::poll_fn(|cx| send.poll_capacity(cx)).await {
                Some(Ok(room)) if room >= piece.len() => {
                    if send.send_data(piece.clone(), false).is_err() {
                        break;
                    }
                    seen.sent.fetch_add(piece.len(), SeqCst);
                }
                Some(Ok(_)) => {}
                _ => break,
            }
        }
        seen.resets.fetch_add(1, SeqCst);
        seen.reset.notify_one();
        return;
    }
    if count == 104 {
        drop(send.send_data(frame(&message("", 1)), false));
        return drop(send.send_trailers(trailers("14 gone")));
    }
    for number in 1..=count {
        drop(send.send_data(frame(&message("", number)), false));
    }
    drop(send.send_trailers(trailers(if count % 2 == 1 { "9 odd" } else { "0" })));
}

/// Echoes every piece as it comes.
async fn chat(mut body: RecvStream, mut respond: SendResponse<Bytes>, seen: &Seen) {
    let mut send = respond.send_response(head(), false).unwrap();
    loop {
        match body.data().await {
            Some(Ok(data)) => {
                drop(body.flow_control().release_capacity(data.len()));
                drop(send.send_data(data, false));
            }
            Some(Err(_)) => {
                seen.resets.fetch_add(1, SeqCst);
                return seen.reset.notify_one();
            }
            None => return drop(send.send_trailers(trailers("0"))),
        }
    }
}
