//! What two hundred peers of a kind that misbehave cost a gateway at most, while they do and once they are gone.
//! `docs/hostile-peers.md` has the figures that are printed.

mod clients;
mod frames;
mod servers;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use aqueduct_kit::process::within;
use aqueduct_kit::procfs::{open_files, resident_bytes};
use aqueduct_kit::{Client, Process, until};

use crate::gateway_alone::Pair;
use crate::shop::Shop;
use crate::site::no_panic;

/// So many at once of each kind.
const PEERS: usize = 200;
/// A gateway may be larger by this than one that has answered a request, in bytes of memory.
const MEMORY: u64 = 96 << 20;
/// Files and sockets that are open may be so many more than the clients and the connections for their calls.
const FILES: usize = PEERS + 16;
/// Besides what there was: the connections to the upstream, of each of two workers four.
const LEFT: usize = 8;

/// What a process has.
#[derive(Debug, Clone, Copy)]
struct Size {
    memory: u64,
    files: usize,
}

impl Size {
    fn of(process: &Process) -> Self {
        let pid = process.pid();
        Self { memory: resident_bytes(pid).unwrap(), files: open_files(pid).unwrap() }
    }

    fn max(self, other: Self) -> Self {
        Self { memory: self.memory.max(other.memory), files: self.files.max(other.files) }
    }
}

/// The end of the storm, also of one that fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// The most that a process has during the storm.
fn most(process: &Process, storm: impl FnOnce()) -> Size {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = Size::of(process);
            until(within(110), || {
                most = most.max(Size::of(process));
                over.load(SeqCst).then_some(())
            });
            most
        });
        let ended = Over(&over);
        storm();
        drop(ended);
        watching.join().unwrap()
    })
}

/// Measures one kind of peer: the row of the table. The bounds hold, and nothing is left of what it opened.
fn check(gateway: &Process, name: &str, storm: impl FnOnce()) -> String {
    let idle = Size::of(gateway);
    let most = most(gateway, storm);
    let (memory, files) = (most.memory.saturating_sub(idle.memory), most.files.saturating_sub(idle.files));
    assert!(memory < MEMORY, "{name}: {memory} bytes");
    assert!(files <= FILES, "{name}: {files} open files");
    let gone = until(within(60), || (Size::of(gateway).files <= idle.files + LEFT).then_some(()));
    assert!(gone.is_some(), "{name}: {:?} is left of {most:?}, {idle:?} before", Size::of(gateway));
    no_panic(gateway);
    format!("| {name} | {} MiB | {files} |", memory.div_ceil(1 << 20))
}

/// Makes one of a kind in each of so many threads, and collects what they keep.
fn all<T: Send>(peer: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let peer = &peer;
        let threads: Vec<_> = (0..PEERS).map(|index| scope.spawn(move || peer(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Those of clients, that of the well-behaved one among them.
fn connections(pair: &Pair) -> usize {
    let metrics = Client::new(pair.admin.address()).get("/metrics").unwrap().text();
    let value = metrics.lines().find_map(|line| line.strip_prefix("aqueduct_gateway_connections "));
    value.unwrap().parse().unwrap()
}

#[test]
fn clients_that_misbehave_cost_no_more_than_their_bound() {
    println!("{}", check_clients("hostile-clients", &clients::ALL));
}

#[test]
fn clients_that_flood_cost_no_more_than_their_bound() {
    println!("{}", check_clients("hostile-floods", &clients::FLOODS));
}

fn check_clients(site: &str, peers: &[(&str, clients::Peer)]) -> String {
    let pair = Pair::new(site);
    pair.scratch.write("smallest.yaml", pair.yaml("") + "workers: 2\n");
    let _service = pair.serve();
    let (mut id, mut rows) = (None, Vec::new());
    for (name, peer) in peers {
        let gateway = pair.gateway();
        pair.wait_ready(200);
        let edge = pair.edge.address();
        let mut shop = Shop::new(edge);
        let id = *id.get_or_insert_with(|| shop.create(1).id);
        shop.get(id);
        let target = clients::Target { edge, order: id };
        let row = check(&gateway, name, || {
            let kept: Vec<TcpStream> = all(|index| peer(index, target)).into_iter().flatten().collect();
            // All of them are in at once before the first may go.
            let arrived = until(within(60), || (connections(&pair) > kept.len()).then_some(()));
            assert!(arrived.is_some(), "{name}: {} of {}", connections(&pair), kept.len());
            assert_eq!(shop.get(id).version, 1, "{name}: others are served");
        });
        rows.push(row);
    }
    rows.join("\n")
}

#[test]
fn servers_that_misbehave_cost_no_more_than_their_bound() {
    for (name, server) in servers::ALL {
        let pair = Pair::new("hostile-servers");
        pair.scratch.write("smallest.yaml", pair.yaml("") + "workers: 2\n");
        servers::start(TcpListener::bind(pair.upstream()).unwrap(), server);
        let gateway = pair.gateway();
        let edge: SocketAddr = pair.edge.address();
        assert_eq!(Client::new(edge).get("/livez").unwrap().status(), 200);
        let row = check(&gateway, name, || {
            let statuses = all(|_| {
                let mut client = Client::new(edge);
                let limit = ("x-request-timeout", "3s");
                client.request("GET", "/v1/orders/1", &[limit], b"").unwrap().status()
            });
            assert!(statuses.iter().all(|status| (500..=504).contains(status)), "{name}: {statuses:?}");
            assert_eq!(Client::new(edge).get("/livez").unwrap().status(), 200, "{name}");
        });
        println!("{row}");
    }
}
