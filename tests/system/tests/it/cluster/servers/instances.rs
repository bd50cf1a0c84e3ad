//! Several instances on the same servers, each request of a flow to another, while something goes wrong: read-your-writes by token,
//! nothing stale unmarked, nothing lost.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aqueduct_kit::faults;
use aqueduct_kit::process::within;
use aqueduct_kit::until;
use serde_json::Value;

use crate::cluster::flow::{Flow, Instances};
use crate::cluster::{Below, awhile};
use crate::shop::{EVENTS, Order};
use crate::site::Site;

#[test]
fn a_replica_that_lags_and_instances_that_are_killed_break_no_promise() {
    let below = Below::start("instances");
    let mut instances = Instances::start("instances", &below, 3);
    for _ in 0..faults() {
        let flow = Flow::start(&instances);
        flow.go_on(20);
        flow.fault("the replica lags");
        below.replica.sql("STOP SLAVE SQL_THREAD").unwrap();
        flow.go_on(20);
        below.replica.sql("START SLAVE SQL_THREAD").unwrap();
        flow.go_on(10);
        // One that only answers, and then the one that captures the changes, too.
        for number in [1, 0] {
            flow.fault("kill -9 of an instance");
            instances.replace(number);
            flow.go_on(10);
        }
        flow.check(&instances);
    }
    instances.no_panic();
}

#[test]
fn a_master_of_redis_that_is_killed_and_a_bus_that_is_break_no_promise() {
    let mut below = Below::start("instances-redis");
    let instances = Instances::start("instances-redis", &below, 2);
    for _ in 0..faults() {
        let flow = Flow::start(&instances);
        flow.go_on(20);
        flow.fault("kill -9 of a master");
        let slot = 7;
        let master = below.redis.master_of(slot).unwrap();
        below.redis.nodes[master].kill9().unwrap();
        flow.go_on(10);
        below.redis.wait_failover(slot, master, within(60)).unwrap();
        below.redis.nodes[master].restart().unwrap();
        flow.go_on(10);

        let watched: Vec<_> = instances.sites.iter().map(Watched::start).collect();
        flow.fault("kill -9 of the bus");
        below.nats.kill9().unwrap();
        // Paid while nobody can be told.
        for watched in &watched {
            watched.pay(&instances.sites);
        }
        awhile(Duration::from_millis(1300));
        below.nats.restart().unwrap();
        flow.go_on(10);
        for watched in watched {
            watched.end(&instances.sites);
        }
        flow.check(&instances);
        below.redis.wait_whole(within(60)).unwrap();
    }
    instances.no_panic();
}

#[test]
fn a_database_that_hands_over_to_its_replica_breaks_no_promise() {
    let mut below = Below::start("instances-handover");
    let instances = Instances::start_as("instances-handover", &below, (2, below.create_user()));
    for _ in 0..faults() {
        let flow = Flow::start(&instances);
        flow.go_on(20);
        flow.fault("the database hands over");
        below.primary.sql("SET GLOBAL read_only=1").unwrap();
        below.replica.wait_caught_up(&below.primary, within(60)).unwrap();
        below.replica.sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0").unwrap();
        std::mem::swap(&mut below.primary, &mut below.replica);
        flow.go_on(20);
        below.replica.follow(below.primary.port()).unwrap();
        flow.go_on(10);
        flow.check(&instances);
    }
    instances.no_panic();
}

/// An order that is watched at one instance and changed at another.
struct Watched {
    id: i64,
    watcher: JoinHandle<Vec<usize>>,
}

impl Watched {
    fn start(site: &Site) -> Self {
        let id = site.shop().create(7).id;
        let edge = site.edge();
        let (begun, begins) = std::sync::mpsc::channel();
        let watcher = thread::spawn(move || {
            let mut versions = Vec::new();
            let done = until(within(90), || {
                // A stream that ends early is begun anew, with the order as it is then.
                let ended = watch(edge, id, &mut versions, &begun);
                (ended.is_ok() && versions.last() == Some(&4)).then_some(())
            });
            assert!(done.is_some(), "order {id} was only seen in {versions:?}");
            versions
        });
        begins.recv_timeout(within(60)).expect("the order is shown");
        Self { id, watcher }
    }

    fn pay(&self, sites: &[Site]) {
        assert_eq!(sites.last().unwrap().shop().event(self.id, EVENTS[0], "").version, 2);
    }

    fn end(self, sites: &[Site]) {
        for event in &EVENTS[1..] {
            sites.last().unwrap().shop().event(self.id, event, "");
        }
        let versions = self.watcher.join().unwrap();
        assert!(versions.is_sorted(), "{versions:?}");
        for version in 1..=4 {
            assert!(versions.contains(&version), "version {version} was not shown: {versions:?}");
        }
    }
}

fn watch(
    edge: std::net::SocketAddr,
    id: i64,
    versions: &mut Vec<usize>,
    begun: &std::sync::mpsc::Sender<()>,
) -> io::Result<()> {
    let mut lines = aqueduct_kit::Client::new(edge).lines(&format!("/v1/orders/{id}:watch"), &[])?;
    while let Some(line) = lines.next_line()? {
        let line: Value = serde_json::from_str(&line)?;
        if line["error"].is_object() {
            break;
        }
        versions.push(Order::read(&line).version);
        // Nobody listens any more after the first.
        begun.send(()).ok();
    }
    Ok(())
}
