//! A plain gRPC client over HTTP/2 with prior knowledge: one connection, one call, the messages as bytes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::net::TcpStream;

/// Only a failing test waits that long.
const LIMIT: Duration = Duration::from_secs(30);

/// What a call was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    /// The messages, without their frames.
    pub(crate) messages: Vec<Bytes>,
    /// The gRPC status, from the trailers or from a head without a body.
    pub(crate) status: u32,
}

/// Makes one call with one message.
pub(crate) fn call(server: SocketAddr, path: &str, message: &[u8]) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, exchange(server, path, message)).await.expect("no answer").unwrap()
    })
}

async fn exchange(server: SocketAddr, path: &str, message: &[u8]) -> Result<Answer, h2::Error> {
    let stream = TcpStream::connect(server).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await?;
    tokio::pin!(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{server}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let call = async move {
        let mut sender = sender.ready().await?;
        let (response, mut body) = sender.send_request(request, false)?;
        body.send_data(frame(message), true)?;
        read(response.await?).await
    };
    tokio::select! {
        answer = call => answer,
        ended = &mut connection => Err(ended.expect_err("the connection ended before the answer")),
    }
}

async fn read(response: http::Response<h2::RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.into_parts();
    assert_eq!(head.status, StatusCode::OK);
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    let trailers = body.trailers().await?;
    let status = trailers.as_ref().unwrap_or(&head.headers).get("grpc-status").expect("a gRPC status");
    let status = status.to_str().unwrap().parse().unwrap();
    Ok(Answer { headers: head.headers, messages: unframe(bytes.freeze()), status })
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
