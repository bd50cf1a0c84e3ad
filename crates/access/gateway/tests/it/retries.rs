//! Which calls are made again, how often, and until when; and that nothing but the deadline cuts a long call.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use aqueduct_gateway::{Descriptors, Options, Retries};

use crate::backend::{frame, message};
use crate::grpc;
use crate::setup::{Setup, compile};
use crate::transcoded::wait;

/// A `flaky` call: how many of them reach the upstream, and with what status they end.
#[track_caller]
fn check(setup: &Setup, (method, flaky): (&str, &str), expect: (u16, usize)) {
    let seen = &setup.backend.seen;
    let before = seen.flaky.swap(0, SeqCst);
    let text = format!("flaky {flaky}");
    let mut client = setup.connect();
    let answer = match method {
        "POST" => client.post("/v1/say", "", &format!(r#"{{"text":"{text}"}}"#)),
        method => client.request(method, &format!("/v1/say/{}", text.replace(' ', "%20")), "", ""),
    };
    assert_eq!((answer.status, seen.flaky.load(SeqCst)), expect, "{method} {text}, after {before}");
}

fn retries(setup: &Setup, reason: &str) -> u64 {
    setup.metric(&format!(r#"aqueduct_upstream_retries_total{{upstream="echo",reason="{reason}"}}"#))
}

#[test]
fn what_only_reads_is_tried_again_and_the_rest_only_if_nothing_was_seen() {
    let setup = Setup::start();
    check(&setup, ("GET", "0"), (200, 1));
    check(&setup, ("GET", "1"), (200, 2));
    check(&setup, ("GET", "2"), (200, 3));
    check(&setup, ("GET", "3"), (503, 3));
    // Behind half an answer too: nothing of it has gone to the client.
    check(&setup, ("GET", "1 late"), (200, 2));
    check(&setup, ("POST", "1"), (503, 1));
    check(&setup, ("PUT", "1"), (503, 1));
    check(&setup, ("POST", "2 untouched"), (200, 3));
    assert_eq!((retries(&setup, "unavailable"), retries(&setup, "refused")), (6, 2));
}

#[test]
fn a_method_may_say_that_it_is_idempotent_or_be_named() {
    let say = "rpc Say(Message) returns (Message) {";
    for level in ["IDEMPOTENT", "NO_SIDE_EFFECTS"] {
        let with = |text: &str| text.replace(say, &format!("{say} option idempotency_level = {level};"));
        let set = Descriptors::set("echo", compile(with));
        let setup = Setup::with(|options| options.descriptors = vec![set]);
        check(&setup, ("POST", "1"), (200, 2));
    }
    let setup = Setup::with(|options| options.routes[0].retries.idempotent = vec!["Say".into()]);
    check(&setup, ("POST", "1"), (200, 2));
    let setup = Setup::with(|options| options.routes[0].retries.idempotent = vec!["Update".into()]);
    check(&setup, ("POST", "1"), (503, 1));
}

#[test]
fn attempts_are_counted() {
    let setup = Setup::with(|options| options.routes[0].retries.attempts = 1);
    check(&setup, ("GET", "1"), (503, 1));
    check(&setup, ("POST", "1 untouched"), (503, 1));
    let setup = Setup::with(|options| options.routes[0].retries.attempts = 5);
    check(&setup, ("GET", "4"), (200, 5));
}

#[test]
fn nothing_is_sent_again_once_the_client_has_something() {
    let setup = Setup::start();
    let answer = setup.connect().get("/v1/count/104", "");
    let error = r#"{"error":{"code":14,"message":"gone","details":[]}}"#;
    assert_eq!((answer.status, answer.body), (200, format!("{{\"count\":\"1\"}}\n{error}\n")));
    assert_eq!(setup.backend.seen.headers.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_call_that_passes_through_is_not_kept_to_be_sent_again() {
    let setup = Setup::with(|options| options.routes[0].retries.idempotent = vec!["Say".into()]);
    let mut client = grpc::connect(&setup).await;
    let head = grpc::request("/test.v1.Echo/Say").body(()).unwrap();
    let (_, status) = grpc::call(&mut client, head, frame(&message("flaky 1", 0))).await;
    assert_eq!((status["grpc-status"].as_bytes(), setup.backend.seen.flaky.load(SeqCst)), (&b"14"[..], 1));
}

#[test]
fn an_outage_is_not_multiplied() {
    let setup = Setup::with(|options| {
        options.routes[0].retries =
            Retries { attempts: 2, budget: 0.0, min_per_second: 0, ..Retries::default() };
    });
    for _ in 0..25 {
        assert_eq!(setup.connect().get("/v1/say/status%2014", "").status, 503);
    }
    assert_eq!(setup.backend.seen.headers.lock().unwrap().len(), 25 + 10, "what a budget begins with");
    assert_eq!(setup.metric(r#"aqueduct_upstream_retries_over_budget_total{upstream="echo"}"#), 15);
}

#[test]
fn a_route_has_its_own_longest_deadline() {
    let setup = Setup::with(|options| options.routes[0].max_timeout = Some(Duration::from_millis(30)));
    let answer = setup.connect().get("/v1/say/hang", "x-request-timeout: 60s\r\n");
    assert_eq!(answer.status, 504);
    wait(&setup.backend.seen.reset);
}

#[test]
fn no_timer_but_the_deadline_cuts_a_long_call() {
    let short = Duration::from_millis(40);
    let setup = Setup::with(|options: &mut Options| {
        let times = &mut options.timeouts;
        (times.head, times.body, times.idle, times.keep_alive) = (short, short, short, short);
        let upstream = options.upstreams.get_mut("echo").unwrap();
        (upstream.connect_timeout, upstream.idle_timeout) = (Duration::from_secs(1), short);
        upstream.queue_timeout = short;
    });
    let mut long = setup.connect();
    long.send(b"GET /v1/say/wait HTTP/1.1\r\nhost: a\r\nx-request-timeout: 60s\r\n\r\n");
    wait(&setup.backend.seen.waiting);
    // Meanwhile each of the timers ends what it is there for, three times over.
    for _ in 0..3 {
        assert!(setup.connect().is_closed(), "idle");
        let mut head = setup.connect();
        head.send(b"GET /v1/say/x HTTP/1.1\r\nho");
        assert_eq!(head.answer().unwrap().status, 408, "a head that does not end");
        let mut body = setup.connect();
        body.send(b"POST /v1/say HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{");
        assert_eq!(body.answer().unwrap().status, 408, "a body that does not go on");
    }
    setup.backend.seen.go.notify_one();
    let answer = long.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"text":"wait"}"#));
}

#[test]
fn wrong_retries_are_all_named() {
    let mut options = crate::setup::options(vec!["127.0.0.1:1".into()]);
    let route = &mut options.routes[0];
    route.retries = Retries {
        attempts: 11,
        budget: 1.5,
        min_per_second: 0,
        idempotent: vec!["Say".into(), "Sya".into()],
    };
    (route.timeout, route.max_timeout) = (Some(Duration::from_secs(2)), Some(Duration::from_secs(1)));
    let problems: Vec<_> = options.validate().iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "routes[0].retries.attempts: from 1 to 10",
            "routes[0].retries.budget: a share, from 0 to 1",
            "routes[0].timeout: longer than max_timeout (1s), which would cut it",
            "routes[0].retries.idempotent[1]: `test.v1.Echo` has no method `Sya`; it has: Say, Count, Chat, Sum, \
             Upload, Stall, Raw, Download, Update",
        ]
    );
}
