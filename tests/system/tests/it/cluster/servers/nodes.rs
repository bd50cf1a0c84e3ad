//! Several nodes, none of which holds anything: each request of a flow goes to another one, some are killed, and it goes on.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::thread;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, until};
use serde_json::{Value, json};

use crate::cluster::Below;
use crate::cluster::events::{Events, check_order};
use crate::cluster::flow::Instances;
use crate::shop::{EVENTS, Order, Shop, good};

const TOKEN: &str = "x-aqueduct-token";

/// Who asks another node each time, and brings along what it was answered.
struct Traveller {
    nodes: Vec<Shop>,
    at: usize,
    token: String,
}

impl Traveller {
    fn new(edges: &[SocketAddr]) -> Self {
        Self { nodes: edges.iter().map(|edge| Shop::new(*edge)).collect(), at: 0, token: String::new() }
    }

    /// Asks until it is answered well: a node may be gone.
    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let mut last = String::new();
        let answer = until(within(60), || {
            self.at = (self.at + 1) % self.nodes.len();
            let headers = [("content-type", "application/json"), (TOKEN, self.token.as_str())];
            let headers = if self.token.is_empty() { &headers[..1] } else { &headers[..] };
            match self.nodes[self.at].client.request(method, path, headers, body.as_bytes()) {
                Ok(answer) if answer.status() == 200 => Some(answer),
                Ok(answer) => {
                    last = answer.text();
                    None
                }
                Err(error) => {
                    last = error.to_string();
                    None
                }
            }
        });
        let answer = answer.unwrap_or_else(|| panic!("{method} {path}: {last}"));
        if let Some(token) = answer.header(TOKEN) {
            token.clone_into(&mut self.token);
        }
        answer.json()
    }

    fn flow(&mut self, user: i64, mut between: impl FnMut(usize)) -> i64 {
        let id = Order::read(&self.ask("POST", "/v1/orders", &Shop::basket(user))).id;
        for (version, event) in (2..).zip(EVENTS) {
            between(version);
            let id_of_event = json!({ "eventId": format!("{id}-{event}") });
            let moved = Order::read(&self.ask("POST", &format!("/v1/orders/{id}:{event}"), &id_of_event));
            assert_eq!(moved.version, version, "{event}");
            let seen = Order::read(&self.ask("GET", &format!("/v1/orders/{id}"), &Value::Null));
            assert_eq!(seen.version, version, "another node, with the token");
        }
        let listed = self.ask("GET", &format!("/v1/orders?userId={user}"), &Value::Null);
        assert_eq!(Order::read(&listed["orders"][0]), Order { id, status: "COMPLETED".into(), version: 4 });
        id
    }
}

#[test]
fn any_node_serves_any_request_and_the_rest_go_on_when_some_are_killed() {
    let below = Below::start("nodes");
    let events = Events::listen(&below);
    let mut nodes = Instances::start("nodes", &below, 3);
    let edges: Vec<_> = nodes.sites.iter().map(crate::site::Site::edge).collect();
    let mut traveller = Traveller::new(&edges);
    let mut done = BTreeMap::new();
    done.insert(traveller.flow(1, |_| ()), 4);
    // With a node less at each step: the third, and then the first, which brings the changes to the caches.
    let killed = traveller.flow(2, |version| match version {
        2 => nodes.processes[2].kill().unwrap(),
        3 => nodes.replace(2),
        _ => nodes.replace(0),
    });
    done.insert(killed, 4);
    nodes.wait_well();
    done.insert(traveller.flow(3, |_| ()), 4);
    // Whoever brought the outboxes to the bus may have been killed: another one has.
    check_order(&events.wait_for(&done));
    for id in done.keys() {
        assert_eq!(below.history(*id), [(2, 2, 1), (3, 3, 2), (4, 4, 3)]);
    }
    nodes.no_panic();
}

#[test]
fn a_watch_at_one_node_sees_what_the_others_do() {
    let below = Below::start("nodes-watch");
    let mut nodes = Instances::start("nodes-watch", &below, 3);
    let id = nodes.sites[0].shop().create(7).id;
    let edge = nodes.sites[1].edge();
    let (shown, shows) = std::sync::mpsc::channel();
    let watcher = thread::spawn(move || -> io::Result<()> {
        let mut lines = Client::new(edge).lines(&format!("/v1/orders/{id}:watch"), &[])?;
        while let Some(line) = lines.next_line()? {
            shown.send(Order::read(&serde_json::from_str(&line)?).version).unwrap();
        }
        Ok(())
    });
    let next = || shows.recv_timeout(within(60)).expect("a change is shown");
    assert_eq!(next(), 1);
    nodes.sites[0].shop().event(id, "pay", "");
    assert_eq!(next(), 2);
    nodes.sites[2].shop().event(id, "ship", "");
    assert_eq!(next(), 3);
    // The node that captures the changes ends; what is done at another one meanwhile is shown all the same.
    nodes.processes[0].kill().unwrap();
    nodes.sites[2].shop().event(id, "complete", "");
    nodes.processes[0] = nodes.sites[0].up();
    assert_eq!(next(), 4);
    watcher.join().unwrap().unwrap();
    assert!(shows.recv().is_err(), "nothing comes after the last state");
    nodes.no_panic();
}

#[test]
fn what_is_paid_is_shipped_by_a_worker_also_one_that_starts_later() {
    let below = Below::start("ship");
    let nodes = Instances::start("ship", &below, 1);
    let events = Events::listen(&below);
    let mut shop = nodes.sites[0].shop();
    // Nobody ships here but who is asked to.
    let early = shop.create(1).id;
    assert_eq!(shop.event(early, "pay", "").version, 2);
    let by_hand = shop.create(2).id;
    shop.event(by_hand, "pay", "");
    assert_eq!(shop.event(by_hand, "ship", "").version, 3);
    check_order(&events.wait_for(&BTreeMap::from([(early, 2), (by_hand, 3)])));
    assert_eq!(shop.get(early).version, 2);

    let yaml = below.yaml("shop: { ship_when_paid: true }") + "  cdc: { here: false }\n";
    let worker = crate::site::Site::with_config("ship-worker", &yaml);
    let process = worker.up();
    let shipped = |id: i64| {
        let mut at = Shop::new(nodes.sites[0].edge());
        let there = until(within(60), || {
            let order = good(&at.try_get(id).unwrap());
            (order.version == 3).then_some(())
        });
        assert!(there.is_some(), "order {id} is not shipped");
        assert_eq!(below.history(id), [(2, 2, 1), (3, 3, 2)]);
    };
    shipped(early);
    // The answer to the payment does not wait for it.
    let id = shop.create(3).id;
    assert_eq!(shop.event(id, "pay", "").status, "PAID");
    shipped(id);
    assert_eq!(below.history(by_hand), [(2, 2, 1), (3, 3, 2)]);
    assert_eq!(shop.event(id, "complete", "").version, 4);
    crate::site::no_panic(&process);
    nodes.no_panic();
}
