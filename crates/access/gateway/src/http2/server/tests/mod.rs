//! A connection against bytes, and against h2's client, which was written by others.

mod ends;
mod h2_client;
mod requests;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use aqueduct_runtime::drain::{self, DrainHandle};
use aqueduct_runtime::task;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::incoming::Incoming;
use super::serve;
use crate::body::Body;
use crate::client::Client;
use crate::http2::frame::{self, END_HEADERS, END_STREAM, Head};
use crate::options::{Limits, Timeouts};
use crate::reject::Reject;
use crate::service::{Host, Service};

/// Answers with what it was asked: the headers, the body, and its length behind it. `/wait` waits to be let go, `/ignore` does not read,
/// `/long` is answered with a megabyte.
#[derive(Debug, Default)]
struct Echo {
    asked: RefCell<Vec<String>>,
    refused: RefCell<Vec<&'static str>>,
    go: Notify,
    /// Calls that ended before they were answered.
    dropped: Cell<usize>,
}

struct Dropped<'e>(&'e Echo);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.dropped.set(self.0.dropped.get() + 1);
    }
}

impl Service<Incoming> for Rc<Echo> {
    async fn call(&self, request: Request<Incoming>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        self.asked.borrow_mut().push(format!("{} {}", head.method, head.uri));
        let dropped = Dropped(self);
        // Of the client's connection nobody counts what is in flight here.
        if head.uri.path() == "/wait" {
            self.go.notified().await;
        }
        let body = match head.uri.path() {
            "/ignore" => Bytes::new(),
            "/long" => vec![7; 1 << 20].into(),
            _ => match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(_) => Bytes::from_static(b"broken off"),
            },
        };
        std::mem::forget(dropped);
        let length = HeaderValue::from(body.len());
        head.headers.remove("content-length");
        let mut answer = Response::new(Body::full(body).with_trailers(fields(&[("x-total", length)])));
        *answer.headers_mut() = head.headers;
        answer
    }

    fn refuse(&self, _: Request<()>, reject: Reject) -> Response<Body> {
        let reason = reject.refusal().map(|refusal| refusal.reason);
        self.refused.borrow_mut().push(reason.unwrap_or_default());
        let mut answer = Response::new(Body::full(Bytes::from_static(b"no")));
        *answer.status_mut() = http::StatusCode::IM_A_TEAPOT;
        answer
    }
}

fn fields(fields: &[(&'static str, HeaderValue)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.clone())).collect()
}

/// A server on one end of a pipe.
struct Server {
    echo: Rc<Echo>,
    client: Rc<Client>,
    drain: DrainHandle,
    task: JoinHandle<bool>,
}

impl Server {
    fn on<I: AsyncRead + AsyncWrite + Unpin + 'static>(io: I, limits: Limits) -> Self {
        let (drain_handle, drain) = drain::channel();
        let client = Client::new(SocketAddr::from(([127, 0, 0, 1], 1)));
        let echo = Rc::<Echo>::default();
        let (service, served) = (Rc::clone(&echo), Rc::clone(&client));
        let task = task::spawn_local("server", async move {
            let times = Timeouts::default();
            let host = Host { service, client: &served, limits: &limits, times: &times, drain: &drain };
            serve(io, host).await
        });
        Self { echo, client, drain: drain_handle, task }
    }
}

/// A client that sends exactly the bytes it is told to.
struct Raw {
    io: DuplexStream,
    server: Server,
}

/// A frame that the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    head: Head,
    payload: Vec<u8>,
}

impl Raw {
    /// The settings have been sent, and those of the server read.
    async fn open() -> Self {
        let (near, io) = tokio::io::duplex(1 << 20);
        let mut raw = Self { io, server: Server::on(near, Limits::default()) };
        raw.say(&frame(frame::SETTINGS, 0, 0, &[])).await;
        assert_eq!(raw.frame(frame::SETTINGS).await.head.flags, 0);
        assert_eq!(raw.frame(frame::SETTINGS).await.head.flags, frame::ACK);
        raw
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// The next frame; `None` when the server has closed its side.
    async fn next(&mut self) -> Option<Sent> {
        let mut head = [0; frame::HEAD];
        self.io.read_exact(&mut head).await.ok()?;
        let head = Head::read(&head);
        let mut payload = vec![0; head.length];
        self.io.read_exact(&mut payload).await.ok()?;
        Some(Sent { head, payload })
    }

    /// The next frame of this kind.
    async fn frame(&mut self, kind: u8) -> Sent {
        loop {
            let sent = self.next().await.unwrap_or_else(|| panic!("no frame of kind {kind}"));
            assert!(kind == frame::GOAWAY || sent.head.kind != frame::GOAWAY, "{sent:?}");
            if sent.head.kind == kind {
                return sent;
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&Head::new(payload.len(), kind, flags, stream).bytes(), payload].concat()
}

/// A block of literals.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn asks<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")]
}

fn request(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(frame::HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, &block(fields))
}

fn data(stream: u32, end: bool, data: &[u8]) -> Vec<u8> {
    frame(frame::DATA, if end { END_STREAM } else { 0 }, stream, data)
}

/// Runs what needs tasks of its own, on a clock that stands still while anybody has something to do.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), test)
}

const SECOND: Duration = Duration::from_secs(1);
