//! A client over HTTP/2 with prior knowledge: one connection a request. It sends JSON, or plain gRPC with the messages
//! as bytes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::net::TcpStream;

/// Only a failing test waits that long.
const LIMIT: Duration = Duration::from_secs(30);

/// What a gRPC call was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    /// The messages, without their frames.
    pub(crate) messages: Vec<Bytes>,
    /// The gRPC status, from the trailers or from a head without a body.
    pub(crate) status: u32,
}

/// Makes a gRPC call with one message.
pub(crate) fn call(server: SocketAddr, path: &str, message: &[u8]) -> Answer {
    let request = Request::builder().header("content-type", "application/grpc").header("te", "trailers");
    let (response, trailers) = send(server, request, path, frame(message));
    let (head, body) = response.into_parts();
    assert_eq!(head.status, StatusCode::OK);
    let status = trailers.as_ref().unwrap_or(&head.headers).get("grpc-status").expect("a gRPC status");
    let status = status.to_str().unwrap().parse().unwrap();
    Answer { headers: head.headers, messages: unframe(body), status }
}

/// Posts JSON.
pub(crate) fn post(server: SocketAddr, path: &str, json: &str) -> Response<Bytes> {
    let request = Request::builder().header("content-type", "application/json");
    send(server, request, path, Bytes::copy_from_slice(json.as_bytes())).0
}

fn send(
    server: SocketAddr,
    request: http::request::Builder,
    path: &str,
    body: Bytes,
) -> (Response<Bytes>, Option<HeaderMap>) {
    let request = request.method(Method::POST).uri(format!("http://{server}{path}")).body(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, exchange(server, request, body)).await.expect("no answer").unwrap()
    })
}

async fn exchange(
    server: SocketAddr,
    request: Request<()>,
    body: Bytes,
) -> Result<(Response<Bytes>, Option<HeaderMap>), h2::Error> {
    let stream = TcpStream::connect(server).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await?;
    tokio::pin!(connection);
    let answer = async move {
        let mut sender = sender.ready().await?;
        let (response, mut sending) = sender.send_request(request, false)?;
        sending.send_data(body, true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            bytes.extend_from_slice(&data);
        }
        Ok((Response::from_parts(head, bytes.freeze()), body.trailers().await?))
    };
    tokio::select! {
        answer = answer => answer,
        ended = &mut connection => Err(ended.expect_err("the connection ended before the answer")),
    }
}

/// gRPC over HTTP/2: a flag, four bytes of length, the message.
fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

fn unframe(mut bytes: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let head = bytes.split_to(5);
        assert_eq!(head[0], 0, "compressed");
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        messages.push(bytes.split_to(usize::try_from(length).unwrap()));
    }
    messages
}

/// A message with one int64 field, number 1: that is what every request by id is.
pub(crate) fn id_message(id: i64) -> Vec<u8> {
    let mut message = vec![0x08];
    let mut rest = id.cast_unsigned();
    while rest >= 0x80 {
        message.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    message.push(u8::try_from(rest).unwrap());
    message
}
