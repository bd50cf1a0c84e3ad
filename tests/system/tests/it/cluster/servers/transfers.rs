//! Money through three nodes on one MariaDB: each request to any of them, while nodes are killed or stand still, and while the
//! database is away. At rest the sum is what it was, no balance is negative, and every effect counts once.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, faults, until};
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::flow::Instances;
use crate::cluster::{Below, awhile, figure, health, wait_health};
use crate::site::{Site, no_panic};
use crate::transfers::{
    Random, balances, check_sum, end_of, expected, open_accounts, post, race_of_64, wrong_is_told,
};

const CLIENTS: u64 = 12;
const NODES: usize = 3;
/// A saga belongs to who claimed it for so long, in seconds; longer than that nothing is waited for that takes a lease.
const LEASE: u64 = 10;
/// What has been submitted and has not ended.
const OPEN: &str = "SELECT COUNT(*) FROM shop_0.saga WHERE finished_at IS NULL";

/// Clients of all nodes.
struct Crowd {
    edges: Vec<SocketAddr>,
    /// A node that nobody asks: one that stands still answers nobody.
    avoided: AtomicUsize,
    stop: AtomicBool,
    taken: Mutex<Vec<String>>,
}

impl Crowd {
    fn new(nodes: &Instances) -> Self {
        let edges = nodes.sites.iter().map(Site::edge).collect();
        let (avoided, stop) = (AtomicUsize::new(usize::MAX), AtomicBool::new(false));
        Self { edges, avoided, stop, taken: Mutex::default() }
    }

    fn run(&self, number: u64) {
        let mut random = Random(number << 20);
        let mut clients: Vec<Client> = self.edges.iter().map(|edge| Client::new(*edge)).collect();
        for at in 0_u64.. {
            if self.stop.load(SeqCst) {
                return;
            }
            let node = usize::try_from(random.below(self.edges.len() as u64)).unwrap();
            if node == self.avoided.load(SeqCst) {
                continue;
            }
            let id = format!("c{number}-{at}");
            let transfer = random.transfer(&id);
            // The same is not sent again, so that nobody is helped by that.
            match post(&mut clients[node], &transfer, if at % 2 == 0 { "wait=1" } else { "respond-async" }) {
                Ok(answer) if answer.status() == 200 => self.taken.lock().unwrap().push(id),
                Ok(answer) => {
                    assert!(answer.status() >= 500, "{}", answer.text());
                    awhile(Duration::from_millis(20));
                }
                Err(_) => awhile(Duration::from_millis(20)),
            }
        }
    }

    fn taken(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    fn go_on(&self, more: usize) {
        let wanted = self.taken() + more;
        let reached = until(within(90), || (self.taken() >= wanted).then_some(()));
        assert!(reached.is_some(), "{} of {wanted} acknowledged", self.taken());
    }
}

/// Runs a crowd while `faults` does what it does, and checks everything afterwards.
fn survive(
    (mut below, mut nodes): (Below, Instances),
    faults: impl FnOnce(&Crowd, &mut Below, &mut Instances),
) {
    let crowd = Crowd::new(&nodes);
    open_accounts(&mut nodes.sites[0].client());
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let crowd = &crowd;
            scope.spawn(move || crowd.run(number));
        }
        // A panic here must not leave the clients at work.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            crowd.go_on(60);
            faults(&crowd, &mut below, &mut nodes);
        }));
        crowd.stop.store(true, SeqCst);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
    nodes.wait_well();
    wait_at_rest(&below);
    let mut clients: Vec<Client> = nodes.sites.iter().map(Site::client).collect();
    for (at, id) in crowd.taken.lock().unwrap().iter().enumerate() {
        end_of(&mut clients[at % NODES], id);
    }
    // Those that were taken and not acknowledged count as well.
    let all = below.primary.sql("SELECT id FROM shop_0.saga").unwrap();
    let ends = |clients: &mut [Client]| -> Vec<Value> {
        all.lines().enumerate().map(|(at, id)| end_of(&mut clients[at % NODES], id)).collect()
    };
    let ended = ends(&mut clients);
    for client in &mut clients {
        check_sum(client);
        assert_eq!(balances(client), expected(&ended));
    }
    check_effects(&below);
    clients.rotate_left(1);
    assert_eq!(ends(&mut clients), ended, "what has ended stays as it is, and is the same at each node");
    nodes.no_panic();
}

fn wait_at_rest(below: &Below) {
    let mut last = String::new();
    // Three leases, and the longest pause.
    let rested = until(within(3 * LEASE + 5), || {
        last = below.primary.sql(OPEN).unwrap();
        (last == "0").then_some(())
    });
    assert!(rested.is_some(), "{last} transfers do not end");
}

/// Each effect has one row of the barrier, and made one version of its account.
fn check_effects(below: &Below) {
    for shard in 0..4 {
        let sql = |sql: &str| below.primary.sql(&sql.replace("SHARD", &format!("shop_{shard}"))).unwrap();
        let made = sql("SELECT COUNT(*) FROM SHARD.saga_barrier WHERE outcome = 'ok'");
        let versions = sql("SELECT COALESCE(SUM(version - 1), 0) FROM SHARD.accounts");
        assert_eq!(made, versions, "shard {shard}");
        assert_eq!(sql("SELECT COUNT(*) FROM SHARD.accounts WHERE balance < 0 OR held <> 0"), "0");
    }
}

fn start(name: &str) -> (Below, Instances) {
    let below = Below::start(name);
    let nodes = Instances::start(name, &below, NODES);
    (below, nodes)
}

#[test]
fn no_transfer_is_lost_by_kill_9_of_any_node() {
    survive(start("transfers-kill"), |crowd, _, nodes| {
        for _ in 0..faults() {
            for number in [1, 2, 0] {
                nodes.replace(number);
                crowd.go_on(60);
            }
            // Two at once: the third has all of it.
            nodes.processes[1].kill().unwrap();
            nodes.processes[2].kill().unwrap();
            crowd.go_on(30);
            nodes.replace(1);
            nodes.replace(2);
            crowd.go_on(30);
        }
    });
}

#[test]
fn who_stands_still_past_its_lease_keeps_nothing_and_spoils_nothing() {
    survive(start("transfers-still"), |crowd, below, nodes| {
        for _ in 0..faults() {
            crowd.avoided.store(1, SeqCst);
            nodes.processes[1].pause().unwrap();
            let before = below.primary.sql("SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)").unwrap();
            crowd.go_on(60);
            // What it had is taken over, and its locks do not outlive it.
            let left = format!("{OPEN} AND created_at <= {before}");
            let over = until(within(3 * LEASE), || (below.primary.sql(&left).unwrap() == "0").then_some(()));
            assert!(over.is_some(), "{} transfers wait for it", below.primary.sql(&left).unwrap());
            nodes.processes[1].resume().unwrap();
            crowd.avoided.store(usize::MAX, SeqCst);
            crowd.go_on(60);
        }
    });
}

#[test]
fn no_transfer_is_lost_while_the_database_is_away() {
    survive(start("transfers-away"), |crowd, below, nodes| {
        let away = Duration::from_secs(10);
        for _ in 0..faults() {
            below.primary.kill9().unwrap();
            let began = Instant::now();
            let said = || health(&nodes.sites[1]).1["checks"]["saga"].clone();
            let told = until(within(8), || (said()["ok"] == false).then_some(()));
            assert!(told.is_some(), "{}", said());
            awhile(away.saturating_sub(began.elapsed()));
            below.primary.restart().unwrap();
            crowd.go_on(60);
            // One that stands still is as good as gone, but knows of all that was asked of it.
            below.primary.pause().unwrap();
            awhile(away);
            below.primary.resume().unwrap();
            crowd.go_on(60);
        }
    });
}

#[test]
fn a_database_that_hands_over_takes_the_transfers_along() {
    let below = Below::start("transfers-handover");
    let nodes = Instances::start_as("transfers-handover", &below, (NODES, below.create_user()));
    survive((below, nodes), |crowd, below, _| {
        for _ in 0..faults() {
            below.primary.sql("SET GLOBAL read_only=1").unwrap();
            below.replica.wait_caught_up(&below.primary, within(60)).unwrap();
            below.replica.sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0").unwrap();
            std::mem::swap(&mut below.primary, &mut below.replica);
            crowd.go_on(60);
            below.replica.follow(below.primary.port()).unwrap();
            crowd.go_on(30);
        }
    });
}

#[test]
fn of_64_transfers_at_once_through_three_nodes_as_many_succeed_as_there_is_money_for() {
    let (below, nodes) = start("transfers-race");
    open_accounts(&mut nodes.sites[0].client());
    race_of_64(|at, transfer| {
        let mut client = nodes.sites[at % NODES].client();
        assert_eq!(post(&mut client, transfer, "respond-async").unwrap().status(), 200);
        let id = transfer["transferId"].as_str().unwrap();
        end_of(&mut nodes.sites[(at + 1) % NODES].client(), id)
    });
    wait_at_rest(&below);
    let mut client = nodes.sites[2].client();
    assert_eq!(balances(&mut client)[0], 0);
    check_sum(&mut client);
    check_effects(&below);
    // They were spread over nodes.
    let submitted = |site: &Site| figure(site, "aqueduct_saga_submitted_total");
    assert!(nodes.sites.iter().all(|site| submitted(site) > 20), "each took its part");
    nodes.no_panic();
}

#[test]
fn what_is_wrong_is_told_as_on_the_embedded_store() {
    let below = Below::start("transfers-bad");
    let site = Site::with_config("transfers-bad", &below.yaml(""));
    let process = site.up();
    wait_health(&site, "ok");
    wrong_is_told(&site);
    check_effects(&below);
    no_panic(&process);
}
