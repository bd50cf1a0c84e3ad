//! grpc-web over HTTP/1.1, as browsers send it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::backend::{frame, message};
use crate::setup::Setup;

fn text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The answer of the text form: base64 in pieces that are padded each for itself.
fn decoded(body: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for group in body.as_bytes().chunks(4) {
        STANDARD.decode_vec(group, &mut out).unwrap();
    }
    out
}

const TEXT: &str = "content-type: application/grpc-web-text\r\nx-grpc-web: 1\r\n";

#[test]
fn a_call_in_text_is_answered_in_text_with_its_trailers() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let sent = frame(&message("hi", 3));
    // Joined from two pieces that were padded each for itself.
    let body = text(&sent[..4]) + &text(&sent[4..]);
    let answer = client.post("/test.v1.Echo/Say", TEXT, &body);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/grpc-web-text+proto"));
    let trailers = b"\x80\0\0\0\x10grpc-status: 0\r\n";
    assert_eq!(decoded(&answer.body), [&sent[..], trailers].concat());
    let headers = setup.backend.seen.headers.lock().unwrap();
    assert_eq!(headers[0]["content-type"], "application/grpc");
    assert!(headers[0]["te"] == "trailers" && !headers[0].contains_key("x-grpc-web"));
}

#[test]
fn a_call_in_binary_is_answered_in_binary() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let sent = frame(&message("hi", 0));
    let body = std::str::from_utf8(&sent).unwrap();
    client.post("/test.v1.Echo/Say", "content-type: application/grpc-web+proto\r\n", body);
    let bodies = setup.backend.seen.bodies.lock().unwrap();
    assert_eq!(bodies[0], sent);
}

#[test]
fn errors_are_in_the_head_or_in_the_trailers() {
    let setup = Setup::start();
    let check = |path: &str, body: &str, status: &str| {
        let answer = setup.connect().post(path, TEXT, body);
        assert_eq!((answer.status, answer.header("grpc-status")), (200, Some(status)), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/grpc-web-text+proto"));
    };
    check("/test.v1.Echo/Nope", "", "12");
    check("/test.v1.Echo/Say", &text(&frame(&message("status 5", 0))), "5");
    check("/test.v1.Echo/Say", "not base64!!", "3");
    check("/test.v1.Echo/Say", "AAAA=", "3");
    let answer = setup.connect().post("/test.v1.Echo/Count", TEXT, &text(&frame(&message("", 1))));
    let expect = [&frame(&message("", 1))[..], b"\x80\0\0\0\x23"].concat();
    let body = decoded(&answer.body);
    assert!(body.starts_with(&expect), "{body:?}");
    assert!(body.ends_with(b"grpc-status: 9\r\ngrpc-message: odd\r\n"), "{body:?}");
    let line = r#"aqueduct_gateway_requests_total{method="test.v1.Echo/Count",code="FAILED_PRECONDITION"}"#;
    assert_eq!(setup.metric(line), 1, "the status among the data counts");
}

#[test]
fn what_is_not_grpc_or_tells_no_status_ends_with_one() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let answer = client.post("/test.v1.Echo/Say", TEXT, &text(&frame(&message("http 503", 0))));
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("14")));
    let sent = frame(&message("no-trailers", 0));
    let body = decoded(&client.post("/test.v1.Echo/Say", TEXT, &text(&sent)).body);
    let trailers = body.strip_prefix(&sent[..]).unwrap();
    assert!(
        trailers.starts_with(b"\x80\0\0\0") && trailers[5..].starts_with(b"grpc-status: 13\r\n"),
        "{trailers:?}"
    );
}

#[test]
fn a_client_that_breaks_its_stream_is_told_that_it_did() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.begin("/test.v1.Echo/Chat", TEXT);
    let first = text(&frame(b"one"));
    client.send_chunk(&first);
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.chunk().unwrap(), first, "echoed");
    client.send_chunk("????");
    let trailers = decoded(&client.chunk().unwrap());
    assert!(trailers[5..].starts_with(b"grpc-status: 3\r\n"), "{trailers:?}");
    let line = r#"aqueduct_gateway_rejects_total{stage="transcode",reason="base64"}"#;
    assert_eq!(setup.metric(line), 1, "what ends a stream is counted among the refusals");
}
