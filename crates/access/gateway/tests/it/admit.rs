//! A bound on what an upstream gets at once: who waits, for how long, and who is refused.

use std::time::Duration;

use aqueduct_gateway::Upstream;

use crate::backend::{Backend, frame, message};
use crate::grpc;
use crate::http::Connection;
use crate::setup::{Setup, options};
use crate::transcoded::wait;

/// A gateway whose upstream takes one request at a time, with a queue of so many that waits as long as it must.
fn one_at_a_time(max_queue: usize, change: impl FnOnce(&mut Upstream)) -> Setup {
    Setup::with(|options| {
        let upstream = options.upstreams.get_mut("echo").unwrap();
        upstream.max_concurrency = Some(1);
        upstream.max_queue = max_queue;
        upstream.queue_timeout = Duration::from_mins(1);
        change(upstream);
    })
}

/// Sends a request and does not wait for its answer.
fn begin(setup: &Setup, path: &str, headers: &str) -> Connection {
    let mut client = setup.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n").as_bytes());
    client
}

/// Takes the upstream's only place until `go`.
fn occupy(setup: &Setup) -> Connection {
    let client = begin(setup, "/v1/say/wait", "");
    wait(&setup.backend.seen.waiting);
    client
}

fn queued(setup: &Setup, count: u64) {
    until(|| setup.metric(r#"aqueduct_upstream_requests_queued{upstream="echo"}"#) == count);
}

/// Waits for what nobody tells of; for ever only in a broken gateway, which fails the test.
fn until(done: impl Fn() -> bool) {
    let begin = tokio::time::Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::yield_now();
    }
}

fn in_flight(setup: &Setup) -> u64 {
    setup.metric(r#"aqueduct_upstream_requests_in_flight{upstream="echo"}"#)
}

fn rejects(setup: &Setup, reason: &str) -> u64 {
    setup.metric(&format!(r#"aqueduct_gateway_rejects_total{{stage="admit",reason="{reason}"}}"#))
}

#[test]
fn requests_beyond_the_bound_wait_their_turn() {
    let setup = one_at_a_time(10, |_| {});
    let mut first = occupy(&setup);
    let mut others = Vec::new();
    for (index, text) in ["b", "c", "d"].into_iter().enumerate() {
        others.push(begin(&setup, &format!("/v1/say/{text}"), ""));
        queued(&setup, index as u64 + 1);
    }
    assert_eq!(setup.backend.seen.headers.lock().unwrap().len(), 1, "the upstream sees one");
    assert_eq!(in_flight(&setup), 1);
    setup.backend.seen.go.notify_one();
    assert_eq!(first.answer().unwrap().status, 200);
    for other in &mut others {
        assert_eq!(other.answer().unwrap().status, 200);
    }
    let bodies = setup.backend.seen.bodies.lock().unwrap().clone();
    let expect: Vec<_> = ["wait", "b", "c", "d"].map(|text| frame(&message(text, 0)).to_vec()).into();
    assert_eq!(bodies, expect, "first come, first served");
    assert_eq!(setup.metric(r#"aqueduct_upstream_queue_duration_seconds_count{upstream="echo"}"#), 3);
    queued(&setup, 0);
    assert_eq!(in_flight(&setup), 0);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let setup = one_at_a_time(1, |_| {});
    let mut first = occupy(&setup);
    let mut second = begin(&setup, "/v1/say/x", "");
    queued(&setup, 1);
    let answer = setup.connect().get("/v1/say/x", "");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.body.starts_with(r#"{"code":14,"message":"the queue for the upstream is full""#));
    assert_eq!(rejects(&setup, "queue_full"), 1);
    setup.backend.seen.go.notify_one();
    assert_eq!((first.answer().unwrap().status, second.answer().unwrap().status), (200, 200));
    assert_eq!(setup.connect().get("/v1/say/x", "").status, 200, "there is room again");
}

#[tokio::test]
async fn a_grpc_call_is_unavailable() {
    let setup = one_at_a_time(0, |_| {});
    let mut client = grpc::connect(&setup).await;
    let head = || grpc::request("/test.v1.Echo/Say").body(()).unwrap();
    let (_first, mut send) = client.send_request(head(), false).unwrap();
    send.send_data(frame(&message("wait", 0)), true).unwrap();
    setup.backend.seen.waiting.notified().await;
    let (_, status) = grpc::call(&mut client, head(), frame(&message("x", 0))).await;
    assert_eq!(["grpc-status", "retry-after"].map(|name| status[name].as_bytes()), [b"14".as_slice(), b"1"]);
}

#[test]
fn nobody_waits_longer_than_the_queue_timeout_or_the_deadline() {
    let setup = one_at_a_time(10, |upstream| upstream.queue_timeout = Duration::from_millis(20));
    let _first = occupy(&setup);
    let answer = setup.connect().get("/v1/say/x", "");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.body.contains("no room in time"), "{}", answer.body);
    assert_eq!(rejects(&setup, "queue_timeout"), 1);

    let setup = one_at_a_time(10, |_| {});
    let _first = occupy(&setup);
    let answer = setup.connect().get("/v1/say/x", "x-request-timeout: 20ms\r\n");
    assert_eq!(answer.status, 504);
    assert_eq!(rejects(&setup, "deadline"), 1);
    queued(&setup, 0);
}

#[test]
fn a_client_that_goes_away_leaves_the_queue() {
    let setup = one_at_a_time(1, |_| {});
    let mut first = occupy(&setup);
    let second = begin(&setup, "/v1/say/b", "");
    queued(&setup, 1);
    drop(second);
    queued(&setup, 0);
    let mut third = begin(&setup, "/v1/say/c", "");
    queued(&setup, 1);
    setup.backend.seen.go.notify_one();
    assert_eq!((first.answer().unwrap().status, third.answer().unwrap().status), (200, 200));
    assert_eq!(setup.backend.seen.headers.lock().unwrap().len(), 2);
}

#[test]
fn a_stream_holds_its_place_until_it_ends() {
    let setup = one_at_a_time(10, |_| {});
    let mut stream = begin(&setup, "/v1/count/103", "");
    assert_eq!(stream.head().unwrap().status, 200);
    assert_eq!(stream.chunk().unwrap(), "{\"count\":\"1\"}\n");
    let mut other = begin(&setup, "/v1/say/x", "");
    queued(&setup, 1);
    setup.backend.seen.go.notify_one();
    assert_eq!(other.answer().unwrap().status, 200);

    // One that the client breaks off frees its place too.
    let mut endless = begin(&setup, "/v1/count/120", "");
    assert_eq!(endless.head().unwrap().status, 200);
    let mut other = begin(&setup, "/v1/say/x", "");
    queued(&setup, 1);
    drop(endless);
    assert_eq!(other.answer().unwrap().status, 200);
}

#[test]
fn the_bound_is_that_of_all_workers_together() {
    let setup = Setup::with(|options| {
        options.workers = 4;
        let upstream = options.upstreams.get_mut("echo").unwrap();
        (upstream.max_concurrency, upstream.queue_timeout) = (Some(2), Duration::from_mins(1));
    });
    // The kernel spreads connections over the workers.
    let mut clients: Vec<_> = (0..16).map(|_| begin(&setup, "/v1/say/wait", "")).collect();
    queued(&setup, 14);
    let seen = &setup.backend.seen;
    until(|| seen.bodies.lock().unwrap().len() >= 2);
    assert_eq!((in_flight(&setup), seen.headers.lock().unwrap().len()), (2, 2));
    for done in 1..=16_usize {
        seen.go.notify_one();
        // Each that ends lets one in, on whichever worker it waits.
        until(|| seen.bodies.lock().unwrap().len() >= (done + 2).min(16));
    }
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().status, 200);
    }
}

#[test]
fn what_is_in_flight_counts_after_a_reload() {
    let setup = one_at_a_time(0, |_| {});
    let mut first = occupy(&setup);
    let other = Backend::start();
    let mut changed = options(vec![setup.backend.address.to_string(), other.address.to_string()]);
    let upstream = changed.upstreams.get_mut("echo").unwrap();
    (upstream.max_concurrency, upstream.max_queue) = (Some(1), 0);
    setup.gateway.as_ref().unwrap().reload(changed).unwrap();
    assert_eq!(setup.connect().get("/v1/say/x", "").status, 503);
    setup.backend.seen.go.notify_one();
    assert_eq!(first.answer().unwrap().status, 200);
    assert_eq!(setup.connect().get("/v1/say/x", "").status, 200);
}
