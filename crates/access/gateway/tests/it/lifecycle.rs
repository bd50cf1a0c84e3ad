//! Backends that come and go, the gateway's own end, and what it refuses to start with.

use std::sync::atomic::Ordering::SeqCst;

use aqueduct_gateway::{Descriptors, Gateway, Observers, StartError, Upstream};
use aqueduct_telemetry::health::Health;
use aqueduct_telemetry::metrics::Registry;

use crate::backend::Backend;
use crate::setup::{Setup, options};
use crate::transcoded::wait;

#[test]
fn a_backend_that_is_away_is_503_and_comes_back() {
    let mut setup = Setup::start();
    let mut client = setup.connect();
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    setup.backend.stop();
    let answer = client.get("/v1/say/x", "");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{}", answer.body);
    assert!(answer.body.contains("the upstream cannot be reached"), "{}", answer.body);
    let again = Backend::start_at(setup.backend.address);
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    drop(again);
}

#[test]
fn another_endpoint_takes_over_when_one_is_away() {
    let other = Backend::start();
    let address = other.address.to_string();
    let mut setup = Setup::with(|options| {
        options.upstreams.get_mut("echo").unwrap().endpoints.push(address);
    });
    setup.backend.stop();
    let mut client = setup.connect();
    for _ in 0..10 {
        assert_eq!(client.get("/v1/say/x", "").status, 200);
    }
    assert_eq!(other.seen.headers.lock().unwrap().len(), 10);
}

#[test]
fn a_refused_stream_is_tried_again_and_then_given_up() {
    let setup = Setup::start();
    assert_eq!(setup.connect().get("/v1/say/refuse", "").status, 503);
    assert_eq!(setup.backend.seen.headers.lock().unwrap().len(), 3);
}

#[test]
fn a_drain_lets_the_request_in_flight_finish() {
    let mut setup = Setup::start();
    let mut client = setup.connect();
    client.send(b"GET /v1/say/wait HTTP/1.1\r\nhost: a\r\n\r\n");
    wait(&setup.backend.seen.waiting);
    let seen = std::sync::Arc::clone(&setup.backend.seen);
    let answer = std::thread::spawn(move || client.answer());
    let address = setup.address;
    let release = std::thread::spawn(move || {
        // New connections are refused before the request in flight is let go.
        while std::net::TcpStream::connect(address).is_ok() {
            std::thread::yield_now();
        }
        seen.go.notify_one();
    });
    assert_eq!(setup.drain(), 0);
    release.join().unwrap();
    let answer = answer.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(answer.body, r#"{"text":"wait"}"#);
}

#[test]
fn connections_are_reused_and_closed_when_idle() {
    let setup = Setup::with(|options| {
        options.upstreams.get_mut("echo").unwrap().idle_timeout = std::time::Duration::from_millis(50);
    });
    let mut client = setup.connect();
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    let endpoint = format!(r#"{{upstream="echo",endpoint="{}"}}"#, setup.backend.address);
    while setup.metric(&format!("aqueduct_upstream_connections{endpoint}")) != 0 {
        std::thread::yield_now();
    }
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    assert_eq!(setup.backend.seen.connections.load(SeqCst), 2);
    assert_eq!(setup.metric(&format!("aqueduct_upstream_connections_opened_total{endpoint}")), 2);
}

#[test]
fn wrong_options_are_all_named() {
    let mut wrong = options(vec!["nowhere".into()]);
    wrong.listen.clear();
    wrong.routes[0].upstream = "ehco".into();
    wrong.limits.requests = 0;
    wrong.descriptors[0] = Descriptors::set("echo", &b"not a descriptor"[..]);
    let paths: Vec<_> = wrong.validate().into_iter().map(|problem| problem.path).collect();
    assert_eq!(
        paths,
        ["listen", "limits.requests", "upstreams.echo.endpoints[0]", "descriptors[0]", "routes[0].upstream"]
    );
    let observers = Observers { registry: &Registry::new(), access: None, health: Health::new() };
    assert!(
        matches!(Gateway::start(wrong, observers), Err(StartError::Invalid(problems)) if problems.len() == 5)
    );
}

#[test]
fn a_used_port_is_an_error_that_names_it() {
    let setup = Setup::start();
    let mut options = options(vec!["127.0.0.1:1".into()]);
    options.listen[0].address = setup.address;
    let observers = Observers { registry: &Registry::new(), access: None, health: Health::new() };
    let error = Gateway::start(options, observers).unwrap_err().to_string();
    assert!(error.contains(&setup.address.to_string()), "{error}");
}

#[test]
fn a_gateway_is_not_ready_before_its_upstreams_have_answered() {
    let mut options = options(vec!["127.0.0.1:1".into()]);
    options.upstreams.get_mut("echo").unwrap().health = true;
    let health = Health::new();
    let observers = Observers { registry: &Registry::new(), access: None, health: health.clone() };
    let gateway = Gateway::start(options, observers).unwrap();
    // At once, as the binary does: whether a worker has begun to ask must not matter.
    health.set_started();
    assert_eq!(health.readyz().status, 503);
    drop(gateway);
}

#[test]
fn those_outside_are_not_told_where_an_upstream_is() {
    let mut setup = Setup::with(|options| options.upstreams.get_mut("echo").unwrap().health = true);
    setup.backend.stop();
    let address = setup.backend.address.to_string();
    // A check may have passed before: another configuration has others.
    let mut changed = options(vec![address.clone()]);
    let upstream = changed.upstreams.remove("echo").unwrap();
    changed.upstreams.insert("other".into(), Upstream { health: true, ..upstream });
    changed.routes[0].upstream = "other".into();
    setup.gateway.as_ref().unwrap().reload(changed).unwrap();
    let failed = |inside: &str| inside.contains(r#""other":{"ok":false"#) && inside.contains(&address);
    while !failed(&setup.healthz().1) {
        std::thread::yield_now();
    }
    let answer = setup.connect().get("/healthz", "");
    let outside = r#""other":{"ok":false,"since_ms":"#;
    assert!(answer.body.contains(outside) && !answer.body.contains(&address), "{}", answer.body);
}
