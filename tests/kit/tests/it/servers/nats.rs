mod client;

use aqueduct_kit::nats::Nats;
use aqueduct_kit::process::within;
use aqueduct_kit::{Process, Scratch};
use client::Client;
use serde_json::json;
use std::process::Command;

/// A stream in files, of all orders.
fn stream(client: &mut Client) {
    let stream = json!({ "name": "orders", "subjects": ["orders.>"], "storage": "file" });
    let made = client.request("$JS.API.STREAM.CREATE.orders", &stream.to_string());
    assert!(made["error"].is_null(), "{made}");
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let scratch = Scratch::new("nats");
    let mut nats = Nats::start(&scratch).unwrap();
    let mut client = Client::connect(nats.address());
    assert_eq!(client.server["jetstream"], true);
    stream(&mut client);
    for n in 1..=3 {
        let acknowledged = client.request(&format!("orders.{n}"), &format!("order {n}"));
        assert_eq!((&acknowledged["stream"], &acknowledged["seq"]), (&json!("orders"), &json!(n)));
    }
    let url = nats.url();
    nats.kill9().unwrap();
    nats.restart().unwrap();
    assert_eq!(nats.url(), url);

    let mut client = Client::connect(nats.address());
    let info = client.request("$JS.API.STREAM.INFO.orders", "");
    assert_eq!(info["state"]["messages"], 3, "{info}");
    let last = client.request("$JS.API.STREAM.MSG.GET.orders", r#"{"last_by_subj":"orders.3"}"#);
    // "order 3" in Base64.
    assert_eq!(last["message"]["data"], "b3JkZXIgMw==", "{last}");
}

#[test]
fn a_paused_server_answers_once_it_is_resumed() {
    let scratch = Scratch::new("nats");
    let mut nats = Nats::start(&scratch).unwrap();
    let mut client = Client::connect(nats.address());
    stream(&mut client);
    nats.pause().unwrap();
    client.send_request("orders.1", "paid");
    nats.resume().unwrap();
    assert_eq!(client.answer()["seq"], 1);
}

#[test]
fn every_message_is_synced_before_it_is_acknowledged() {
    const MESSAGES: usize = 5;
    let scratch = Scratch::new("nats");
    let nats = Nats::start(&scratch).unwrap();
    let mut client = Client::connect(nats.address());
    stream(&mut client);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=fsync,fdatasync", "-p", &nats.pid().to_string()]);
    let mut tracer = Process::start("strace", &mut strace).unwrap();
    tracer.wait_line("attached", within(30)).unwrap();
    for n in 1..=MESSAGES {
        assert_eq!(client.request("orders.1", "paid")["seq"], n);
    }
    tracer.terminate().unwrap();
    let (_, trace) = tracer.finish(within(30)).unwrap();
    let synced = trace.lines().filter(|line| line.contains("sync") && line.ends_with("= 0")).count();
    assert!(synced >= MESSAGES, "{trace}");
}
