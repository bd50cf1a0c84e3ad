//! Other options while the gateway runs: all of them at once, or none.

use std::sync::atomic::Ordering::SeqCst;

use aqueduct_gateway::{Listen, Upstream};

use crate::backend::Backend;
use crate::http::Connection;
use crate::setup::{Setup, options};
use crate::transcoded::wait;

#[test]
fn requests_that_begin_after_a_reload_go_the_new_way_on_connections_of_before() {
    let setup = Setup::start();
    let mut client = setup.connect();
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    let mut waiting = setup.connect();
    waiting.send(b"GET /v1/say/wait HTTP/1.1\r\nhost: a\r\n\r\n");
    wait(&setup.backend.seen.waiting);

    let other = Backend::start();
    let mut changed = options(vec![other.address.to_string()]);
    changed.limits.body_bytes = 10;
    setup.gateway.as_ref().unwrap().reload(changed).unwrap();
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    assert_eq!(other.seen.headers.lock().unwrap().len(), 1, "the new upstream was asked");
    assert_eq!(client.post("/v1/say", "", r#"{"text":"longer"}"#).status, 413, "the new limit");

    setup.backend.seen.go.notify_one();
    assert_eq!(
        waiting.answer().unwrap().body,
        r#"{"text":"wait"}"#,
        "what was in flight ends where it began"
    );
}

#[test]
fn upstream_connections_outlive_a_reload_that_does_not_concern_them_and_end_otherwise() {
    let setup = Setup::start();
    let mut client = setup.connect();
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    let gateway = setup.gateway.as_ref().unwrap();
    let address = setup.backend.address.to_string();
    gateway.reload(options(vec![address.clone()])).unwrap();
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    // One more endpoint, and another health setting: those to the endpoint that stays are as good as before.
    let other = Backend::start();
    let mut changed = options(vec![other.address.to_string(), address.clone()]);
    changed.upstreams.get_mut("echo").unwrap().health = true;
    gateway.reload(changed).unwrap();
    for _ in 0..2 {
        assert_eq!(client.get("/v1/say/x", "").status, 200);
    }
    assert_eq!(setup.backend.seen.connections.load(SeqCst), 1);

    gateway.reload(options(vec![other.address.to_string()])).unwrap();
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    let endpoint = format!(r#"{{upstream="echo",endpoint="{address}"}}"#);
    while setup.metric(&format!("aqueduct_upstream_connections{endpoint}")) != 0 {
        std::thread::yield_now();
    }
}

#[test]
fn bad_options_change_nothing_and_are_all_named() {
    let setup = Setup::start();
    let mut wrong = options(vec!["nowhere".into()]);
    wrong.routes[0].upstream = "ehco".into();
    let problems = setup.gateway.as_ref().unwrap().reload(wrong).unwrap_err();
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["upstreams.echo.endpoints[0]", "routes[0].upstream"]);
    assert_eq!(setup.connect().get("/v1/say/x", "").status, 200);
}

#[test]
fn checks_follow_the_upstreams() {
    let setup = Setup::with(|options| options.upstreams.get_mut("echo").unwrap().health = true);
    let checks = || setup.connect().get("/healthz", "").body;
    assert!(checks().contains(r#""echo""#));
    let address = setup.backend.address.to_string();
    let mut changed = options(vec![address.clone()]);
    let upstream = changed.upstreams.remove("echo").unwrap();
    changed.upstreams.insert("other".into(), Upstream { health: true, ..upstream });
    changed.routes[0].upstream = "other".into();
    setup.gateway.as_ref().unwrap().reload(changed).unwrap();
    while checks().contains(r#""echo""#) || !checks().contains(r#""other""#) {
        std::thread::yield_now();
    }
}

#[test]
fn other_numbers_of_workers_close_no_socket_and_tell_who_has_to_go() {
    let setup = Setup::with(|options| options.workers = 4);
    let gateway = setup.gateway.as_ref().unwrap();
    let ask = |client: &mut Connection| {
        let answer = client.get("/v1/say/x", "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.header("connection").map(str::to_owned)
    };
    for workers in [1, 3, 1, 2] {
        // Some of them wait in the accept queue of a socket whose worker goes.
        let mut clients: Vec<_> = (0..40).map(|_| setup.connect()).collect();
        let mut changed = options(vec![setup.backend.address.to_string()]);
        changed.workers = workers;
        gateway.reload(changed).unwrap();
        clients.extend((0..40).map(|_| setup.connect()));
        let closed = clients.iter_mut().filter_map(ask).count();
        assert!(workers > 1 || closed > 0, "some of them were with workers that went");
        assert_eq!(gateway.runtime_stats()().len(), workers);
    }
}

#[test]
fn addresses_come_and_go_and_one_that_cannot_be_had_changes_nothing() {
    let setup = Setup::start();
    let gateway = setup.gateway.as_ref().unwrap();
    let first = setup.address;
    let with = |addresses: &[&str]| {
        let mut changed = options(vec![setup.backend.address.to_string()]);
        changed.listen = addresses.iter().map(|text| Listen::plain(text.parse().unwrap())).collect();
        changed
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let problems = gateway.reload(with(&["127.0.0.1:0", &taken])).unwrap_err();
    assert_eq!(problems[0].path, "listen[1].address");
    assert!(problems.len() == 1 && problems[0].message.contains(&taken), "{problems:?}");
    assert_eq!(gateway.addresses(), [first]);

    gateway.reload(with(&["127.0.0.1:0", "127.0.0.2:0"])).unwrap();
    let second = gateway.addresses()[1];
    assert_eq!(gateway.addresses()[0], first);
    let mut client = Connection::open(second);
    assert_eq!(client.get("/v1/say/x", "").status, 200);
    gateway.reload(with(&["127.0.0.1:0"])).unwrap();
    while std::net::TcpStream::connect(second).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(client.get("/v1/say/x", "").status, 200, "connections outlive their address");
    assert_eq!(setup.connect().get("/v1/say/x", "").status, 200);
}

#[test]
fn a_higher_bound_lets_in_who_waits() {
    let setup = Setup::with(|options| options.limits.connections = 1);
    let mut first = setup.connect();
    assert_eq!(first.get("/v1/say/x", "").status, 200);
    let mut second = setup.connect();
    second.send(b"GET /v1/say/x HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(first.get("/v1/say/x", "").status, 200);
    assert_eq!(setup.metric("aqueduct_gateway_connections"), 1);
    setup.gateway.as_ref().unwrap().reload(options(vec![setup.backend.address.to_string()])).unwrap();
    assert_eq!(second.answer().unwrap().status, 200);
}
