//! Server streams: each style, its errors early and late, and the silence in between.

use std::time::Duration;

use crate::http::Connection;
use crate::setup::Setup;
use crate::transcoded::wait;

const ERROR: &str = r#"{"error":{"code":9,"message":"odd","details":[]}}"#;

#[test]
fn the_client_chooses_how_a_stream_is_written() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let mut check = |count: u8, accept: &str, content_type: &str, expect: &str| {
        let answer = client.get(&format!("/v1/count/{count}"), &format!("accept: {accept}\r\n"));
        let found = (answer.status, answer.header("content-type"), answer.body.as_str());
        assert_eq!(found, (200, Some(content_type), expect), "{count} as {accept}");
    };
    let (ndjson, json, events) = ("application/x-ndjson", "application/json", "text/event-stream");
    check(2, "*/*", ndjson, "{\"count\":\"1\"}\n{\"count\":\"2\"}\n");
    check(1, ndjson, ndjson, &format!("{{\"count\":\"1\"}}\n{ERROR}\n"));
    check(0, ndjson, ndjson, "");
    check(2, json, json, r#"[{"count":"1"},{"count":"2"}]"#);
    check(1, json, json, &format!(r#"[{{"count":"1"}},{ERROR}]"#));
    check(0, json, json, "[]");
    check(2, events, events, "data: {\"count\":\"1\"}\n\ndata: {\"count\":\"2\"}\n\n");
    check(1, events, events, &format!("data: {{\"count\":\"1\"}}\n\nevent: error\ndata: {ERROR}\n\n"));
    check(0, events, events, "");
    assert_eq!(client.get("/v1/count/2", "accept: image/png\r\n").status, 406);
    let line = r#"aqueduct_gateway_requests_total{method="test.v1.Echo/Count",code="FAILED_PRECONDITION"}"#;
    assert_eq!(setup.metric(line), 3, "the status of a late error counts");
}

#[test]
fn a_stream_that_fails_at_once_has_the_errors_own_status() {
    let setup = Setup::start();
    for accept in ["*/*", "application/json", "text/event-stream"] {
        let answer = setup.connect().get("/v1/count/101", &format!("accept: {accept}\r\n"));
        assert_eq!(answer.status, 404, "{accept}: {}", answer.body);
        assert_eq!(answer.body, r#"{"code":5,"message":"none","details":[]}"#);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-last"), Some("word"), "the metadata that comes with the status");
        assert_eq!(answer.header("x-from"), Some("backend"), "and that which came before it");
    }
}

fn events(setup: &Setup, count: u8) -> Connection {
    let mut client = setup.connect();
    let head = format!("GET /v1/count/{count} HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n");
    client.send(head.as_bytes());
    client
}

#[test]
fn silent_events_are_kept_alive_from_the_head_to_the_end() {
    let setup = Setup::with(|options| options.timeouts.keep_alive = Duration::from_millis(50));
    for (count, first) in [(102, ":\n\n"), (103, "data: {\"count\":\"1\"}\n\n")] {
        let mut client = events(&setup, count);
        // No message has to come for the head to go out, or a browser would show nothing.
        let head = client.head().unwrap();
        assert_eq!((head.status, head.header("cache-control")), (200, Some("no-cache")));
        assert_eq!(client.chunk().unwrap(), first);
        for _ in 0..3 {
            assert_eq!(client.chunk().unwrap(), ":\n\n");
        }
        wait(&setup.backend.seen.waiting);
        setup.backend.seen.go.notify_one();
        let last = std::iter::from_fn(|| client.chunk()).find(|chunk| chunk != ":\n\n").unwrap();
        let expect = r#"{"error":{"code":5,"message":"none","details":[]}}"#;
        assert_eq!(last, format!("event: error\ndata: {expect}\n\n"));
        assert_eq!(client.chunk(), None);
    }
}

#[test]
fn a_stream_over_its_deadline_ends_with_an_error() {
    let setup = Setup::start();
    let answer = setup.connect().get("/v1/count/103", "x-request-timeout: 100ms\r\n");
    assert_eq!(answer.status, 200);
    let error = answer.body.strip_prefix("{\"count\":\"1\"}\n").unwrap();
    assert!(error.starts_with(r#"{"error":{"code":4,"#) && error.ends_with("}}\n"), "{error}");
}
