//! Random events of many clients through several nodes that are killed: whatever happens, each order has one history, it is legal, and
//! what was acknowledged is in it once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::{faults, until};
use aqueduct_sim::random::Random;

use crate::cluster::events::{Events, check_order};
use crate::cluster::flow::Instances;
use crate::cluster::{Below, awhile, table_of};
use crate::shop::{EVENTS, Order, Shop};

const CLIENTS: u64 = 64;
const NODES: usize = 3;
/// Orders that are fought for at a time.
const OPEN: usize = 12;

/// What all clients know.
struct Shared {
    edges: Vec<SocketAddr>,
    stop: AtomicBool,
    answered: AtomicUsize,
    open: Mutex<Vec<i64>>,
    /// Acknowledged: the order, the event's id, and the version that it was said to have led to.
    acknowledged: Mutex<Vec<(i64, String, usize)>>,
    created: Mutex<Vec<i64>>,
}

struct Client {
    shared: Arc<Shared>,
    nodes: Vec<Shop>,
    random: Random,
    number: u64,
}

impl Client {
    fn new(shared: &Arc<Shared>, number: u64) -> Self {
        let nodes = shared.edges.iter().map(|edge| Shop::new(*edge)).collect();
        Self { shared: Arc::clone(shared), nodes, random: Random::new(number, "random events"), number }
    }

    fn run(mut self) {
        let mut call = 0;
        while !self.shared.stop.load(Relaxed) {
            call += 1;
            let open = self.shared.open.lock().unwrap().clone();
            if open.is_empty() || self.random.range(0..24) == 0 {
                self.create();
            } else {
                let id = *self.random.pick(&open);
                let event = *self.random.pick(&EVENTS);
                self.event(id, event, &format!("{}/{call}", self.number));
            }
        }
    }

    fn node(&mut self) -> &mut Shop {
        let at = self.random.range(0..self.nodes.len() as u64);
        &mut self.nodes[usize::try_from(at).unwrap()]
    }

    fn create(&mut self) {
        let user = i64::try_from(self.random.range(1..40)).unwrap();
        // Where nobody answers an order may have been made; nobody knows its id.
        let Ok(answer) = self.node().try_create(user) else { return };
        if answer.status() == 200 {
            let id = Order::read(&answer.json()).id;
            self.shared.created.lock().unwrap().push(id);
            let mut open = self.shared.open.lock().unwrap();
            open.push(id);
            if open.len() > OPEN {
                open.remove(0);
            }
        }
    }

    /// Under one id until somebody knows what became of it, at whatever node.
    fn event(&mut self, id: i64, event: &str, event_id: &str) {
        let mut last = String::new();
        let known = until(within(90), || match self.node().try_event(id, event, event_id) {
            Ok(answer) if answer.status() == 200 => Some(Some(Order::read(&answer.json()).version)),
            // Illegal, which is as good an answer.
            Ok(answer) if answer.status() == 400 => Some(None),
            Ok(answer) => {
                last = answer.text();
                None
            }
            Err(error) => {
                last = error.to_string();
                awhile(Duration::from_millis(20));
                None
            }
        });
        self.shared.answered.fetch_add(1, Relaxed);
        if let Some(version) = known.unwrap_or_else(|| panic!("{event} of {id}: {last}")) {
            self.shared.acknowledged.lock().unwrap().push((id, event_id.to_owned(), version));
        }
    }
}

#[test]
fn each_order_has_one_legal_history_with_every_acknowledged_event_once() {
    let below = Below::start("random");
    let events = Events::listen(&below);
    let mut nodes = Instances::start("random", &below, NODES);
    let shared = Arc::new(Shared {
        edges: nodes.sites.iter().map(crate::site::Site::edge).collect(),
        stop: AtomicBool::new(false),
        answered: AtomicUsize::new(0),
        open: Mutex::default(),
        acknowledged: Mutex::default(),
        created: Mutex::default(),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = Client::new(&shared, number);
            thread::spawn(move || client.run())
        })
        .collect();
    let go_on = |calls: usize| {
        let before = shared.answered.load(Relaxed);
        let enough = || (shared.answered.load(Relaxed) >= before + calls).then_some(());
        assert!(until(within(60), enough).is_some(), "fewer than {calls} calls in a minute");
    };
    go_on(300);
    for _ in 0..faults() {
        for number in [1, 2, 0] {
            nodes.replace(number);
            go_on(150);
        }
    }
    shared.stop.store(true, Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    let acknowledged = std::mem::take(&mut *shared.acknowledged.lock().unwrap());
    let created = shared.created.lock().unwrap().clone();
    assert!(acknowledged.len() > 100 && created.len() > 30, "{} of {}", acknowledged.len(), created.len());
    let mut versions = BTreeMap::new();
    for id in created {
        versions.insert(id, check_history(&below, id, &acknowledged));
    }
    check_order(&events.wait_for(&versions));
    let aborted: u64 = nodes.sites.iter().map(|site| crate::cluster::figure(site, ABORTED)).sum();
    assert_eq!(aborted, 0, "the nodes wait for each other, and none gives up");
    nodes.no_panic();
}

const ABORTED: &str = "aqueduct_shop_changes_aborted_total";

/// The order's last version.
fn check_history(below: &Below, id: i64, acknowledged: &[(i64, String, usize)]) -> u64 {
    let history = below.history(id);
    for ((version, state, event), wanted) in history.iter().zip(2..) {
        // One event leads from each state to the next.
        assert_eq!((*version, *state, *event), (wanted, wanted, wanted - 1), "order {id}: {history:?}");
    }
    let last = 1 + history.len() as u64;
    let (database, table) = table_of(id);
    let row =
        below.primary.sql(&format!("SELECT version, state FROM {database}.orders_{table} WHERE id = {id}"));
    assert_eq!(row.unwrap(), format!("{last}\t{last}"), "order {id}");
    let ids =
        below.primary.sql(&format!("SELECT event_id FROM {database}.order_events_{table} WHERE id = {id}"));
    let ids = ids.unwrap();
    for (_, event_id, version) in acknowledged.iter().filter(|(order, ..)| *order == id) {
        let times = ids.lines().filter(|line| line == event_id).count();
        assert_eq!(times, 1, "{event_id} of {id}, acknowledged as version {version}, is there {times} times");
        assert!(*version as u64 <= last);
    }
    // Everybody asked until he knew, so nothing else is there either.
    let known = acknowledged.iter().filter(|(order, ..)| *order == id).count();
    assert_eq!(known, history.len(), "order {id}");
    last
}
