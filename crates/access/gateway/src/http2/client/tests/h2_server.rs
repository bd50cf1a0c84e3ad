//! The same calls against h2's server, which was written by others.

use std::rc::Rc;

use bytes::BytesMut;
use http::{HeaderValue, Response};
use tokio::task::LocalSet;

use super::*;

/// Answers with what it was sent: the headers, the body as it comes, and its length behind it.
async fn echo(request: http::Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    let mut response = Response::new(());
    *response.headers_mut() = head.headers;
    let uri = HeaderValue::try_from(format!("{} {}", head.method, head.uri)).unwrap();
    response.headers_mut().insert("x-request", uri);
    let mut send = respond.send_response(response, false).unwrap();
    let mut total = 0usize;
    while let Some(data) = body.data().await {
        let mut data = data.unwrap();
        total += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
        while !data.is_empty() {
            send.reserve_capacity(data.len());
            let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await.unwrap().unwrap();
            send.send_data(data.split_to(room.min(data.len())), false).unwrap();
        }
    }
    send.send_trailers(fields(&[("x-total", &total.to_string())])).unwrap();
}

async fn serve(io: DuplexStream, settings: usize) {
    let mut builder = h2::server::Builder::new();
    // Windows, tables and numbers of calls of all kinds.
    builder
        .initial_window_size([65_535, 1000, 1 << 20][settings % 3])
        .initial_connection_window_size([65_535, 100_000, 1 << 24][settings / 3 % 3])
        .max_concurrent_streams([100, 1, 7][settings % 3])
        .header_table_size([4096, 0, 200][settings / 3 % 3]);
    let mut connection = builder.handshake(io).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        aqueduct_runtime::task::spawn_local("echo", echo(request, respond));
    }
}

/// One call with `body` in one piece or in several.
async fn call(calls: Calls, number: usize, body: Bytes) {
    let mut headers = fields(&[("te", "trailers"), ("x-tenant", &(number % 5).to_string())]);
    headers.append("x-number", HeaderValue::from(number));
    headers.append("x-number", HeaderValue::from(number + 1));
    let path = format!("/shop.v1.OrderService/Get{}", number % 3);
    let streams = number.is_multiple_of(2);
    let sending = if streams { Sending::Stream } else { Sending::Whole(body.clone()) };
    let (mut receiver, mut sender) = calls.call(&path, (&headers).into(), sending).unwrap();
    let writes = async {
        if streams {
            for piece in body.chunks(10_000) {
                let mut piece = Bytes::copy_from_slice(piece);
                assert!(std::future::poll_fn(|cx| sender.poll_send(&mut piece, cx)).await);
            }
            sender.end();
        }
    };
    let reads = async {
        let mut head = std::future::poll_fn(|cx| receiver.poll_head(cx)).await.unwrap();
        let request = head.headers.remove("x-request").unwrap();
        assert_eq!(request, format!("POST http://orders:50051{path}"));
        assert_eq!(head.headers, headers);
        let mut got = BytesMut::new();
        while let Some(data) = receiver.data().await {
            got.extend_from_slice(&data.unwrap());
        }
        assert_eq!(got, body);
        let trailers = receiver.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["x-total"], body.len().to_string());
    };
    tokio::join!(writes, reads);
}

#[tokio::test]
async fn everything_arrives_both_ways() {
    for settings in 0..9 {
        let local = LocalSet::new();
        let (near, far) = tokio::io::duplex([100, 4096, 1 << 20][settings % 3]);
        let (calls, driver) = open(near, peer());
        let calls = Rc::new(calls);
        local.spawn_local(serve(far, settings));
        local.spawn_local(driver);
        local
            .run_until(async {
                let each: Vec<_> = (0..40)
                    .map(|number| {
                        let length = [0, 5, 500, 3000, 20_000, 300_000][number % 6];
                        let body =
                            (0..length).map(|at| u8::try_from((at * 7 + number) % 251).unwrap()).collect();
                        aqueduct_runtime::task::spawn_local("call", call(Calls::clone(&calls), number, body))
                    })
                    .collect();
                for each in each {
                    each.await.unwrap();
                }
            })
            .await;
    }
}
