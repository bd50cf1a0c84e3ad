//! Our HTTP/1 codec and hyper's, each behind a service that does nothing but tell what it was asked: for the fuzz target, which
//! compares what they understood, and for the benchmark, which compares what they cost.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use aqueduct_runtime::drain;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::body::Body;
use crate::client::Client;
use crate::http1;
use crate::options::{Limits, Timeouts};
use crate::reject::Reject;
use crate::service::{Host, Service};
use crate::stage::normalize::authority;

/// A request as a codec understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Understood {
    pub(super) method: Method,
    /// In origin form.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// `None` when it did not come to its end.
    pub(super) body: Option<Vec<u8>>,
}

impl Understood {
    pub(super) fn new(method: &Method, uri: &Uri, mut headers: HeaderMap, body: Option<Bytes>) -> Self {
        // An absolute target goes before `Host`.
        if let Some(authority) = uri.authority().and_then(|found| HeaderValue::from_str(found.as_str()).ok())
        {
            headers.insert(HOST, authority);
        }
        // `*` is how we write an absolute target without a path in OPTIONS, where hyper has `/`.
        let target = match uri.path_and_query().map(http::uri::PathAndQuery::as_str) {
            Some("*") | None => "/".to_owned(),
            Some(target) if target.starts_with('?') => format!("/{target}"),
            Some(target) => target.to_owned(),
        };
        let body = body.map(|body| body.to_vec());
        Self { method: method.clone(), target, headers, body }
    }
}

/// What was asked, and why a head was refused.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) requests: Vec<Understood>,
    refused: Option<&'static str>,
}

/// Answers at once, and keeps what it was asked if it is to.
#[derive(Debug)]
pub(super) struct Recorder<'r>(pub(super) Option<&'r RefCell<Seen>>);

impl Recorder<'_> {
    async fn answer<B: http_body::Body<Data = Bytes>>(&self, request: Request<B>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok().map(http_body_util::Collected::to_bytes);
        // Over HTTP/2 whom a request is for is judged by the pipeline, which refuses what h2 does not read.
        let is_taken = head.version < Version::HTTP_2 || authority::agrees(&head);
        if let Some(seen) = self.0
            && is_taken
        {
            let understood = Understood::new(&head.method, &head.uri, head.headers, body);
            seen.borrow_mut().requests.push(understood);
        }
        let mut response = Response::new(Body::full(Bytes::from_static(br#"{"text":"hello"}"#)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl<B: http_body::Body<Data = Bytes>> Service<B> for Recorder<'_> {
    fn call(&self, request: Request<B>) -> impl Future<Output = Response<Body>> {
        self.answer(request)
    }

    fn refuse(&self, _: Request<()>, reject: Reject) -> Response<Body> {
        if let Some(seen) = self.0 {
            seen.borrow_mut().refused = reject.refusal().map(|refusal| refusal.reason);
        }
        Response::new(Body::empty())
    }
}

async fn serve<I>(stream: I, seen: Option<&RefCell<Seen>>)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let client = Client::new(SocketAddr::from(([127, 0, 0, 1], 1)));
    let (_handle, drain) = drain::channel();
    let (limits, times) = (&Limits::default(), &Timeouts::default());
    let host = Host { service: Recorder(seen), client: &client, limits, times, drain: &drain };
    http1::serve(stream, BytesMut::new(), host).await;
}

async fn serve_hyper<I>(stream: I, seen: Option<Rc<RefCell<Seen>>>)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let seen = seen.clone();
        async move { Ok::<_, Infallible>(Recorder(seen.as_deref()).answer(request).await) }
    });
    let limits = Limits::default();
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.header_read_timeout(None).half_close(true);
    builder.max_headers(limits.headers).max_buf_size(limits.head_bytes);
    // How the connection ends is of no interest.
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

/// Serves a connection by our codec, or by hyper's, with a service that reads the body and answers at once.
pub async fn serve_idle<I>(stream: I, hyper: bool)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    if hyper { serve_hyper(stream, None).await } else { serve(stream, None).await }
}

/// Sends the input in pieces of this size, each after the one before has been taken, and closes this side.
async fn send(stream: tokio::io::DuplexStream, input: &[u8], size: usize) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        for piece in input.chunks(size.max(1)) {
            // The server may have closed its side already.
            if writer.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(writer.shutdown().await);
    };
    let mut answers = Vec::new();
    let read = async { drop(reader.read_to_end(&mut answers).await) };
    tokio::join!(write, read);
    answers
}

/// What our codec understands of the input when it comes in pieces of this size, and the statuses that it answers with.
async fn own(input: &[u8], size: usize) -> (Seen, Vec<Vec<u8>>) {
    let seen = RefCell::new(Seen::default());
    let (server, client) = tokio::io::duplex(4096);
    let ((), answers) = tokio::join!(serve(server, Some(&seen)), send(client, input, size));
    let statuses = answers
        .split(|byte| *byte == b'\n')
        // Whether the client has to be told to go on depends on how much of the body has come already.
        .filter(|line| line.starts_with(b"HTTP/") && !line.starts_with(b"HTTP/1.1 100 "));
    (seen.into_inner(), statuses.map(<[u8]>::to_vec).collect())
}

async fn hypers(input: &[u8]) -> Seen {
    let seen = Rc::<RefCell<Seen>>::default();
    let (server, client) = tokio::io::duplex(4096);
    let ((), _) = tokio::join!(serve_hyper(server, Some(Rc::clone(&seen))), send(client, input, 4096));
    seen.take()
}

/// Runs something that waits for nothing but itself.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { unreachable!("a runtime without I/O needs nothing of the system") };
    runtime.block_on(future)
}

/// Whatever we accept, hyper reads as the same requests; and pieces say the same as the whole.
pub fn http1(data: &[u8]) {
    let [size, input @ ..] = data else { return };
    let size = usize::from(*size).max(1);
    run(async {
        let whole = own(input, 4096).await;
        assert_eq!(whole, own(input, size).await, "pieces of {size}");
        let lax = hypers(input).await;
        for (number, request) in whole.0.requests.iter().enumerate() {
            // A body that breaks off is read by nobody to its end.
            if request.body.is_some() {
                assert_eq!(Some(request), lax.requests.get(number), "request {number}");
            }
        }
    });
}

/// Whether our codec, and whether hyper, takes the input as one request with a whole body.
pub fn accepted(input: &[u8]) -> (bool, bool) {
    let one = |seen: &Seen| seen.requests.first().is_some_and(|request| request.body.is_some());
    run(async { (one(&own(input, 4096).await.0), one(&hypers(input).await)) })
}
