//! Clients and servers that misbehave.

use std::time::Duration;

use crate::setup::Setup;

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let setup = Setup::with(|options| options.limits.body_bytes = 1000);
    let mut client = setup.connect();
    client.send(b"POST /v1/say HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 413);
    let mut client = setup.connect();
    client.send(b"POST /v1/say HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = [b"100\r\n".as_slice(), &[b' '; 256], b"\r\n"].concat();
    // Goes on until the gateway has hung up, or well past the limit.
    for _ in 0..20 {
        client.try_send(&chunk);
    }
    assert_eq!(client.answer().map(|answer| answer.status), Some(413));
}

#[test]
fn heads_are_bounded_in_size_number_and_time() {
    let setup = Setup::with(|options| options.timeouts.head = Duration::from_millis(100));
    let refused = |head: String| {
        let mut client = setup.connect();
        client.try_send(head.as_bytes());
        client.answer().map_or(0, |answer| answer.status)
    };
    let many = (0..10_000).fold(String::new(), |all, n| all + "x-" + &n.to_string() + ": 1\r\n");
    let status = refused(format!("GET /v1/say/x HTTP/1.1\r\nhost: a\r\n{many}\r\n"));
    assert_eq!(status, 431);
    let long = "x".repeat(200_000);
    let status = refused(format!("GET /v1/say/x HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"));
    assert_eq!(status, 431);
    for bad in [
        "GET /v1/say/x HTTP/1.1\r\n\r\n",
        "GET /v1/say/x HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        assert_eq!(refused(bad.into()), 400, "{bad}");
    }
    let mut slow = setup.connect();
    slow.send(b"GET /v1/say/x HTTP/1.1\r\nho");
    assert_eq!(slow.answer().unwrap().status, 408, "a head that does not end");
    assert!(slow.is_closed());
}

#[test]
fn a_body_that_comes_too_slowly_is_given_up() {
    let setup = Setup::with(|options| options.timeouts.body = Duration::from_millis(50));
    let mut client = setup.connect();
    client.send(b"POST /v1/say HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{");
    assert_eq!(client.answer().unwrap().status, 408);
}

#[test]
fn an_idle_connection_is_closed() {
    let setup = Setup::with(|options| options.timeouts.idle = Duration::from_millis(100));
    let mut client = setup.connect();
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    assert!(client.is_closed());
    assert!(setup.connect().is_closed(), "one that never said anything");
}

#[test]
fn requests_over_the_bound_are_refused_and_the_others_go_on() {
    let setup = Setup::with(|options| options.limits.requests = 1);
    let mut first = setup.connect();
    first.send(b"GET /v1/say/wait HTTP/1.1\r\nhost: a\r\n\r\n");
    crate::transcoded::wait(&setup.backend.seen.waiting);
    let answer = setup.connect().get("/v1/say/x", "");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    setup.backend.seen.go.notify_one();
    assert_eq!(first.answer().unwrap().status, 200);
    assert_eq!(setup.connect().get("/v1/say/x", "").status, 200);
}

#[test]
fn an_upstream_that_sends_garbage_is_an_upstream_error() {
    let setup = Setup::start();
    let answer = setup.connect().get("/v1/say/garbage", "");
    assert_eq!(answer.status, 500);
    assert!(answer.body.starts_with(r#"{"code":13,"#), "{}", answer.body);
}
