//! How a running system ends: what is in flight is answered and kept, streams are ended with a word, and a second
//! signal is obeyed at once.

use std::fs;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Scratch, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::kit::{Up, halves, place};

/// Sends the first half of a request, and waits until the edge works on it.
fn begin(up: &Up) -> (Client, String) {
    let (first, second) = halves();
    let mut client = up.edge();
    client.send(first.as_bytes()).unwrap();
    let mut admin = up.admin();
    let seen = until(within(10), || {
        let metrics = admin.get("/metrics").unwrap().text();
        metrics.contains("\naqueduct_gateway_requests_in_flight 1\n").then_some(())
    });
    assert!(seen.is_some(), "{}", admin.get("/metrics").unwrap().text());
    (client, second)
}

#[test]
fn a_request_in_flight_is_answered_and_kept() {
    let scratch = Scratch::new("drain");
    let mut up = Up::start(&scratch, &[]);
    let (mut client, second) = begin(&up);
    up.process.terminate().unwrap();
    up.process.wait_line("draining the edge", within(10)).unwrap();
    // Still there, and says that it wants no more.
    let ready = up.admin().get("/readyz").unwrap();
    assert_eq!((ready.status(), ready.text().as_str()), (503, r#"{"status":"draining"}"#));

    client.send(second.as_bytes()).unwrap();
    let answer = client.read_response(false).unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(up.process.wait_exit(within(30)).unwrap().code(), Some(0));
    up.process.wait_line("stopped", within(10)).unwrap();

    let again = Up::start(&scratch, &[]);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(again.edge().get(&format!("/v1/orders/{id}")).unwrap().status(), 200);
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn a_second_signal_is_obeyed_at_once() {
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let scratch = Scratch::new("twice");
        let mut up = Up::start(&scratch, &[]);
        let in_flight = begin(&up);
        let pid = Pid::from_raw(i32::try_from(up.process.pid()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        up.process.wait_line("draining the edge", within(10)).unwrap();
        kill_process(pid, second).unwrap();
        assert_eq!(up.process.wait_exit(within(10)).unwrap().code(), Some(code));
        drop(in_flight);
    }
}

#[test]
fn a_stream_that_would_go_on_for_ever_is_ended_with_a_word() {
    let scratch = Scratch::new("streams");
    fs::write(scratch.path().join("c.yaml"), "gateway: { timeouts: { drain: 600ms } }\n").unwrap();
    let mut up = Up::start(&scratch, &["--config=c.yaml"]);
    let id = place(&mut up.edge());
    let mut watch = up.edge().lines(&format!("/v1/orders/{id}:watch"), &[]).unwrap();
    assert!(watch.next_line().unwrap().unwrap().contains("CREATED"));
    up.process.terminate().unwrap();
    // gRPC code 14, UNAVAILABLE: the client may try again, elsewhere or later.
    let last = watch.next_line().unwrap().unwrap();
    assert!(last.starts_with(r#"{"error":{"code":14,"#), "{last}");
    assert_eq!(watch.next_line().unwrap(), None);
    assert_eq!(up.process.wait_exit(within(30)).unwrap().code(), Some(0));
}
