//! HTTP+JSON through the gateway.

use std::sync::atomic::Ordering::SeqCst;

use crate::setup::Setup;

#[test]
fn json_goes_out_as_a_message_and_comes_back() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let answer = client.post("/v1/say", "content-type: application/json\r\n", r#"{"text":"hi","count":"3"}"#);
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"text":"hi","count":"3"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-from"), Some("backend"), "the upstream's metadata goes on");
    let answer = client.get("/v1/say/hello%20you?count=7", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"text":"hello you","count":"7"}"#));
    // In pieces of a byte each, the answer is the same.
    assert_eq!(client.get("/v1/say/split", "").body, r#"{"text":"split"}"#);
    assert_eq!(setup.backend.seen.connections.load(SeqCst), 1, "one connection carries them all");
}

#[test]
fn head_answers_as_get_without_a_body() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.send(b"HEAD /v1/say/hi HTTP/1.1\r\nhost: a\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("13")));
    assert_eq!(client.get("/v1/say/hi", "").body, r#"{"text":"hi"}"#, "the connection goes on");
}

#[test]
fn what_no_route_takes_is_refused_with_the_right_status() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let answer = client.get("/nowhere", "");
    assert_eq!(answer.status, 404);
    assert!(answer.body.starts_with(r#"{"code":5,"message":""#), "{}", answer.body);
    let answer = client.get("/v1/say", "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("OPTIONS, POST")));
    client.send(b"OPTIONS /v1/say HTTP/1.1\r\nhost: a\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("allow")), (204, Some("OPTIONS, POST")));
    assert_eq!(client.post("/v1/say", "content-type: text/plain\r\n", "{}").status, 415);
    assert_eq!(client.get("/v1/say/x", "grpc-timeout: soon\r\n").status, 400);
    assert_eq!(client.get("/v1/count/2", "accept: image/png\r\n").status, 406);
    assert_eq!(setup.metric(r#"aqueduct_gateway_rejects_total{stage="deadline",reason="timeout"}"#), 1);
}

#[test]
fn the_upstreams_status_becomes_an_http_status() {
    let setup = Setup::start();
    let mut client = setup.connect();
    for (text, status, expect) in [
        ("status 5 no%20order%25", 404, r#"{"code":5,"message":"no order%","details":[]}"#),
        ("status 9 late", 400, r#"{"code":9,"message":"late","details":[]}"#),
        ("status 99", 500, r#"{"code":2,"#),
        ("http 404", 501, r#"{"code":12,"#),
        ("http 503", 503, r#"{"code":14,"#),
        ("reset", 500, r#"{"code":13,"#),
        ("no-trailers", 500, r#"{"code":13,"#),
        ("compressed", 500, r#"{"code":13,"#),
        ("twice", 500, r#"{"code":13,"#),
    ] {
        let answer = client.post("/v1/say", "", &format!(r#"{{"text":"{text}"}}"#));
        assert_eq!(answer.status, status, "{text}: {}", answer.body);
        let same = answer.body.starts_with(expect) || answer.body == expect.replace(r#","details":[]"#, "");
        assert!(same, "{text}: {}", answer.body);
    }
}

#[test]
fn a_deadline_answers_504_and_resets_the_upstream() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let answer = client.get("/v1/say/hang", "x-request-timeout: 50ms\r\n");
    assert_eq!(answer.status, 504);
    assert!(answer.body.starts_with(r#"{"code":4,"#), "{}", answer.body);
    wait(&setup.backend.seen.reset);
    let headers = setup.backend.seen.headers.lock().unwrap();
    let budget = headers[0]["grpc-timeout"].to_str().unwrap();
    let nanos: u64 = budget.trim_end_matches('n').parse().unwrap();
    assert!(nanos <= 50_000_000, "the remaining budget goes upstream: {budget}");
    assert!(!headers[0].contains_key("x-request-timeout"));
}

#[test]
fn a_deadline_that_has_passed_already_is_not_sent_on() {
    let setup = Setup::start();
    assert_eq!(setup.connect().get("/v1/say/x", "grpc-timeout: 1n\r\n").status, 504);
    assert!(setup.backend.seen.headers.lock().unwrap().is_empty());
}

#[test]
fn a_client_that_goes_away_resets_the_upstream() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.send(b"GET /v1/say/hang HTTP/1.1\r\nhost: a\r\n\r\n");
    wait(&setup.backend.seen.waiting);
    drop(client);
    wait(&setup.backend.seen.reset);
}

#[test]
fn the_trace_goes_on_and_starts_when_there_is_none() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.get("/v1/say/x", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n");
    client.get("/v1/say/x", "");
    let headers = setup.backend.seen.headers.lock().unwrap();
    let (first, second) = (&headers[0]["traceparent"], &headers[1]["traceparent"]);
    assert!(first.to_str().unwrap().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_ne!(&first.as_bytes()[36..52], b"00f067aa0ba902b7");
    assert_eq!(second.len(), 55);
    assert_ne!(first.as_bytes()[3..35], second.as_bytes()[3..35]);
}

#[test]
fn a_stream_is_lines_and_its_error_the_last_of_them() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let answer = client.get("/v1/count/4", "");
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines = "{\"count\":\"1\"}\n{\"count\":\"2\"}\n{\"count\":\"3\"}\n";
    assert_eq!(answer.body, format!("{lines}{{\"count\":\"4\"}}\n"));
    let answer = client.get("/v1/count/3", "");
    assert_eq!(answer.status, 200);
    let error = answer.body.strip_prefix(lines).unwrap();
    assert!(error.starts_with(r#"{"error":{"code":9,"message":"odd""#) && error.ends_with("}}\n"), "{error}");
    // Nothing was sent yet when this one fails.
    assert_eq!(client.get("/v1/count/0", "").body, "");
}

#[test]
fn a_slow_reader_holds_the_upstream_back() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.send(b"GET /v1/count/120 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    // Nothing is read. The backend stops once windows and socket buffers are full.
    let seen = &setup.backend.seen;
    let mut before = usize::MAX;
    while before != seen.sent.load(SeqCst) {
        before = seen.sent.load(SeqCst);
        std::thread::park_timeout(std::time::Duration::from_millis(200));
    }
    assert!(before < 32 << 20, "{before} bytes were taken for a client that reads nothing");
    drop(client);
    wait(&seen.reset);
}

pub(crate) fn wait(event: &tokio::sync::Notify) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let patience = std::time::Duration::from_secs(20);
    runtime.block_on(async { tokio::time::timeout(patience, event.notified()).await }).unwrap();
}
