//! gRPC calls that pass through, over one HTTP/2 connection.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use crate::backend::{frame, message};
use crate::setup::Setup;

pub(crate) async fn connect(setup: &Setup) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(setup.address).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    aqueduct_runtime::task::spawn("test-client", async move { drop(connection.await) });
    send.ready().await.unwrap()
}

pub(crate) fn request(path: &str) -> http::request::Builder {
    Request::post(format!("http://test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

/// The answer's messages as they came, and its trailers (or head, when there is nothing else).
pub(crate) async fn call(
    send: &mut SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
) -> (Vec<u8>, HeaderMap) {
    let (response, mut stream) = send.send_request(request, false).unwrap();
    stream.send_data(body, true).unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    assert_eq!(head.status, 200);
    let mut data = Vec::new();
    while let Some(piece) = body.data().await {
        data.extend_from_slice(&piece.unwrap());
    }
    let trailers = body.trailers().await.unwrap();
    (data, trailers.unwrap_or(head.headers))
}

#[tokio::test]
async fn messages_and_metadata_pass_untouched() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    let head = request("/test.v1.Echo/Say").header("x-tenant", "7").header("x-forwarded-for", "1.2.3.4");
    let sent = frame(&message("hi", 3));
    let (data, trailers) = call(&mut client, head.body(()).unwrap(), sent.clone()).await;
    assert_eq!(
        (data.as_slice(), &trailers["grpc-status"]),
        (&sent[..], &http::HeaderValue::from_static("0"))
    );
    let headers = setup.backend.seen.headers.lock().unwrap();
    assert_eq!(headers[0]["x-tenant"], "7");
    assert_eq!(headers[0]["x-forwarded-for"], "127.0.0.1", "what the client says does not count");
    assert!(headers[0].contains_key("traceparent") && headers[0]["te"] == "trailers");
    let line = r#"aqueduct_gateway_requests_total{method="test.v1.Echo/Say",code="OK"}"#;
    assert_eq!(setup.metric(line), 1, "an answer that ends with trailers is complete");
}

#[tokio::test]
async fn refusals_are_grpc_statuses() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    for (path, timeout, text, status) in [
        ("/test.v1.Echo/Nope", "1S", "", "12"),
        ("/other.v1.Service/Call", "1S", "", "12"),
        ("/test.v1.Echo/Say", "soon", "", "3"),
        ("/test.v1.Echo/Say", "30m", "hang", "4"),
        ("/test.v1.Echo/Say", "1S", "status 5 gone", "5"),
        ("/test.v1.Echo/Say", "1S", "reset", "13"),
    ] {
        let head = request(path).header("grpc-timeout", timeout).body(()).unwrap();
        let (_, trailers) = call(&mut client, head, frame(&message(text, 0))).await;
        assert_eq!(trailers["grpc-status"], status, "{path} {timeout} {text}: {trailers:?}");
    }
}

#[tokio::test]
async fn a_call_that_has_come_whole_needs_no_task_and_may_be_tried_again() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    let spawned = || {
        let counts = aqueduct_runtime::task::counts();
        counts.iter().find(|count| count.name == "request-pump").map_or(0, |count| count.spawned)
    };
    let before = spawned();
    let head = request("/test.v1.Echo/Say").body(()).unwrap();
    let (_, trailers) = call(&mut client, head, frame(&message("refuse", 0))).await;
    assert_eq!(trailers["grpc-status"], "14");
    assert_eq!(setup.backend.seen.headers.lock().unwrap().len(), 3, "nothing of it was processed");
    assert_eq!(spawned(), before);
}

#[tokio::test]
async fn both_sides_of_a_stream_flow_at_the_same_time() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    let (response, mut stream) =
        client.send_request(request("/test.v1.Echo/Chat").body(()).unwrap(), false).unwrap();
    stream.send_data(frame(b"one"), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    for word in ["one", "two", "three"] {
        if word != "one" {
            stream.send_data(frame(word.as_bytes()), false).unwrap();
        }
        let piece = body.data().await.unwrap().unwrap();
        assert_eq!(piece, frame(word.as_bytes()), "the answer comes before the request has ended");
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert!(body.data().await.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn a_cancelled_stream_is_reset_upstream() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    let (response, mut stream) =
        client.send_request(request("/test.v1.Echo/Chat").body(()).unwrap(), false).unwrap();
    stream.send_data(frame(b"one"), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert!(body.data().await.is_some());
    stream.send_reset(h2::Reason::CANCEL);
    drop((stream, body));
    setup.backend.seen.reset.notified().await;
}

#[tokio::test]
async fn a_stream_past_its_deadline_ends_with_a_status() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    let head = request("/test.v1.Echo/Chat").header("grpc-timeout", "1S").body(()).unwrap();
    let (response, mut stream) = client.send_request(head, false).unwrap();
    stream.send_data(frame(b"one"), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert!(body.data().await.is_some());
    assert!(body.data().await.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "4");
}

#[tokio::test]
async fn an_upstream_that_is_no_grpc_gets_a_status_and_so_does_one_that_tells_none() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    for (text, status) in [("http 503", "14"), ("http 404", "12"), ("no-trailers", "13")] {
        let head = request("/test.v1.Echo/Say").body(()).unwrap();
        let (_, trailers) = call(&mut client, head, frame(&message(text, 0))).await;
        assert_eq!(trailers["grpc-status"], status, "{text}: {trailers:?}");
    }
    let line = r#"aqueduct_gateway_requests_total{method="test.v1.Echo/Say",code="INTERNAL"}"#;
    assert_eq!(setup.metric(line), 1);
}

#[tokio::test]
async fn an_answer_of_trailers_alone_stays_one() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    let head = request("/test.v1.Echo/Say").body(()).unwrap();
    let (response, mut stream) = client.send_request(head, false).unwrap();
    stream.send_data(frame(&message("status 5 gone", 0)), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "5");
    // The head itself must end the stream: to gRPC clients an empty frame behind it is a stream without trailers.
    assert!(response.into_body().is_end_stream());
}

#[tokio::test]
async fn binary_metadata_that_is_none_does_not_reach_the_shared_connection() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    let head = request("/test.v1.Echo/Say").header("x-any-bin", "!!").body(()).unwrap();
    let (_, trailers) = call(&mut client, head, frame(&message("", 0))).await;
    assert_eq!(trailers["grpc-status"], "3");
    assert!(setup.backend.seen.headers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn head_has_no_content_over_http2_either() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    for (path, status) in [("/nowhere", 404), ("/v1/say/hi", 200), ("/v1/count/3", 200), ("/livez", 200)] {
        let head = Request::head(format!("http://test{path}")).body(()).unwrap();
        let (response, _) = client.send_request(head, true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let mut body = response.into_body();
        assert!(body.data().await.is_none(), "{path}");
    }
}

#[tokio::test]
async fn streams_of_json_flow_both_ways_over_http2_and_break_off_by_a_reset() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    let post = Request::post("http://test/v1/chat").header("content-type", "application/x-ndjson");
    let (response, mut stream) = client.send_request(post.body(()).unwrap(), false).unwrap();
    stream.send_data("{\"text\":\"one\"}\n".into(), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "{\"text\":\"one\"}\n");
    stream.send_data("{\"text\":\"two\"}\n".into(), true).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "{\"text\":\"two\"}\n");
    while let Some(last) = body.data().await {
        assert_eq!(last.unwrap(), "");
    }

    let get = Request::get("http://test/v1/download/3").body(()).unwrap();
    let (response, _) = client.send_request(get, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let mut data = Vec::new();
    let error = loop {
        match body.data().await {
            Some(Ok(piece)) => data.extend_from_slice(&piece),
            Some(Err(error)) => break error,
            None => panic!("an answer that broke off must not end well"),
        }
    };
    assert_eq!((data.as_slice(), error.is_reset()), (&b"1,2,3,"[..], true));
}

#[tokio::test]
async fn json_goes_over_http2_too() {
    let setup = Setup::start();
    let mut client = connect(&setup).await;
    let get = Request::get("http://test/v1/say/hi").body(()).unwrap();
    let (response, _) = client.send_request(get, true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), r#"{"text":"hi"}"#);
}
