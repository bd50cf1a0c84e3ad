//! Streams that would go on for ever, when the gateway ends.

use std::time::Duration;

use crate::backend::{frame, message};
use crate::grpc;
use crate::http::Connection;
use crate::setup::{Setup, options};
use crate::transcoded::wait;

const ERROR: &str = r#"{"error":{"code":14,"message":"the gateway is shutting down","details":[]}}"#;

/// The streams are ended after a sixth of it; what is asserted is that they end, not when.
fn setup() -> Setup {
    Setup::with(|options| options.timeouts.drain = Duration::from_secs(3))
}

/// What is read of an open stream while the gateway drains, down to the end of the connection.
fn drained(mut setup: Setup, mut client: Connection) -> String {
    let rest = std::thread::spawn(move || client.rest());
    assert_eq!(setup.drain(), 0, "nothing is cut");
    rest.join().unwrap()
}

/// How a stream of JSON ends that has had its first message.
#[track_caller]
fn check(accept: &str, first: &str, last: &str) {
    let setup = setup();
    let mut client = setup.connect();
    let head = format!("GET /v1/count/103 HTTP/1.1\r\nhost: a\r\naccept: {accept}\r\n\r\n");
    client.send(head.as_bytes());
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.chunk().unwrap(), first);
    let expect = format!("{:x}\r\n{last}\r\n0\r\n\r\n", last.len());
    assert_eq!(drained(setup, client), expect, "{accept}");
}

#[test]
fn streams_of_lines_end_with_an_error() {
    check("application/x-ndjson", "{\"count\":\"1\"}\n", &format!("{ERROR}\n"));
}

#[test]
fn arrays_are_closed_behind_an_error() {
    check("application/json", "[{\"count\":\"1\"}", &format!(",{ERROR}]"));
}

#[test]
fn events_end_with_one_that_is_an_error() {
    check("text/event-stream", "data: {\"count\":\"1\"}\n\n", &format!("event: error\ndata: {ERROR}\n\n"));
}

/// A worker that goes for want of work drains as a gateway does.
#[test]
fn the_streams_of_a_worker_that_goes_end_with_an_error() {
    let mut setup = Setup::with(|options| {
        options.workers = 4;
        options.timeouts.drain = Duration::from_secs(3);
    });
    let (ended, ends) = std::sync::mpsc::channel();
    for _ in 0..24 {
        let (mut client, ended) = (setup.connect(), ended.clone());
        client.send(b"GET /v1/count/103 HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.head().unwrap().status, 200);
        assert_eq!(client.chunk().unwrap(), "{\"count\":\"1\"}\n");
        std::thread::spawn(move || ended.send(client.rest()));
    }
    drop(ended);
    let mut fewer = options(vec![setup.backend.address.to_string()]);
    fewer.timeouts.drain = Duration::from_secs(3);
    setup.gateway.as_ref().unwrap().reload(fewer).unwrap();
    let expect = format!("{:x}\r\n{ERROR}\n\r\n0\r\n\r\n", ERROR.len() + 1);
    assert_eq!(ends.recv().unwrap(), expect, "without a drain of the whole");
    assert_eq!(setup.drain(), 0, "nothing is cut");
    assert!(ends.iter().all(|end| end == expect));
}

#[test]
fn a_stream_that_has_not_begun_is_refused() {
    let setup = setup();
    let mut client = setup.connect();
    client.send(b"GET /v1/count/102 HTTP/1.1\r\nhost: a\r\n\r\n");
    wait(&setup.backend.seen.waiting);
    let answer = drained(setup, client);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(r#""message":"the gateway is shutting down""#), "{answer}");
}

#[test]
fn grpc_web_streams_end_with_a_status() {
    let setup = setup();
    let mut client = setup.connect();
    let asked = frame(&message("", 103));
    let kind = "content-type: application/grpc-web+proto";
    let length = asked.len();
    let head =
        format!("POST /test.v1.Echo/Count HTTP/1.1\r\nhost: a\r\n{kind}\r\ncontent-length: {length}\r\n\r\n");
    client.send(&[head.as_bytes(), &asked[..]].concat());
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.raw_chunk().unwrap(), frame(&message("", 1)));
    let rest = std::thread::spawn(move || client.raw_chunk().unwrap());
    let mut setup = setup;
    assert_eq!(setup.drain(), 0);
    let last = rest.join().unwrap();
    let text = String::from_utf8_lossy(&last);
    assert_eq!(last[0], 0x80, "{text}");
    assert!(text.contains("grpc-status: 14\r\n"), "{text}");
    assert!(text.contains("grpc-message: the gateway is shutting down\r\n"), "{text}");
}

#[tokio::test]
async fn grpc_streams_end_with_a_status_and_other_calls_go_on() {
    let mut setup = setup();
    let mut client = grpc::connect(&setup).await;
    let head = grpc::request("/test.v1.Echo/Say").body(()).unwrap();
    let (unary, mut said) = client.send_request(head, false).unwrap();
    said.send_data(frame(&message("wait", 0)), true).unwrap();
    let head = grpc::request("/test.v1.Echo/Chat").body(()).unwrap();
    let (chat, mut sent) = client.send_request(head, false).unwrap();
    sent.send_data(frame(b"one"), false).unwrap();
    let mut chat = chat.await.unwrap().into_body();
    assert_eq!(chat.data().await.unwrap().unwrap(), frame(b"one"));
    setup.backend.seen.waiting.notified().await;

    let gateway = setup.gateway.take().unwrap();
    let reading = async {
        assert!(chat.data().await.is_none());
        let trailers = chat.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "14");
        assert_eq!(trailers["grpc-message"], "the gateway is shutting down");
        // The upstream's side ends too.
        setup.backend.seen.reset.notified().await;
        setup.backend.seen.go.notify_one();
        let mut unary = unary.await.unwrap().into_body();
        assert_eq!(unary.data().await.unwrap().unwrap(), frame(&message("wait", 0)));
        assert_eq!(unary.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        drop(client);
    };
    let (drained, ()) = tokio::join!(gateway.drain(), reading);
    assert_eq!(drained.left, 0);
}
