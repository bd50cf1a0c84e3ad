//! Nodes that all want the same two numbers, while they are killed and paused, their clocks stepped, and the server killed.

use aqueduct_kit::process::within;
use aqueduct_kit::{Scratch, faults};

use super::Store;
use super::fleet::{Node, check};

const HOUR: i64 = 3_600_000;

fn fight(name: &str, start: fn(&Scratch) -> Store) {
    let scratch = Scratch::new(name);
    for round in 0..faults() {
        let mut store = start(&scratch);
        let mut nodes: Vec<_> =
            (0..3).map(|at| Node::start(&scratch, &store, &format!("{round}-{at}"))).collect();
        nodes.iter().for_each(Node::wait_more);
        killed_and_paused(&mut nodes);
        server_killed(&mut store, &nodes);
        clocks_stepped(&mut nodes);
        let minted: Vec<_> = nodes.iter().flat_map(Node::minted).collect();
        assert!(minted.len() > 1_000, "{}", minted.len());
        check(&minted);
    }
}

/// Whoever is paused for longer than a term loses its number to whoever begins meanwhile, and notices when it goes on.
fn killed_and_paused(nodes: &mut [Node]) {
    for _ in 0..3 {
        let worker = nodes[1].number();
        nodes[1].process.pause().unwrap();
        nodes[0].replace_by(&format!("{worker},any"));
        assert_eq!(nodes[0].number(), worker);
        nodes[0].wait_more();
        nodes[1].process.resume().unwrap();
        nodes[1].process.wait_line(&format!("lost {worker}"), within(60)).unwrap();
        nodes[1].wait_more();
        nodes.swap(0, 1);
    }
}

fn server_killed(store: &mut Store, nodes: &[Node]) {
    store.server().kill9().unwrap();
    nodes[1].process.wait_line("late: ", within(60)).unwrap();
    store.server().restart().unwrap();
    nodes.iter().for_each(Node::wait_more);
}

/// An hour ahead and back, and an hour behind: each time the node goes on, and is killed and begins anew in between.
fn clocks_stepped(nodes: &mut [Node]) {
    let near = |off: i64, of: i64| (off - of).abs() < 60_000;
    nodes[0].set_clock(HOUR);
    nodes[0].wait_minted(|off| near(off, HOUR));
    nodes[0].set_clock(0);
    // Under the old number it would have to wait for an hour.
    nodes[0].replace();
    nodes[0].wait_minted(|off| near(off, 0));

    nodes[1].set_clock(-HOUR);
    nodes[1].replace();
    nodes[1].wait_minted(|off| near(off, -HOUR));
    nodes[1].set_clock(0);
    nodes[1].wait_minted(|off| near(off, 0));

    // What was minted an hour ahead must not come again when that hour is shown for the second time.
    nodes[2].set_clock(HOUR);
    nodes[2].wait_minted(|off| near(off, HOUR));
    nodes[2].replace();
    nodes[2].wait_minted(|off| near(off, HOUR));
}

#[test]
fn no_two_nodes_share_a_number_in_mysql() {
    fight("ids-mysql", Store::mysql);
}

#[test]
fn no_two_nodes_share_a_number_in_etcd() {
    fight("ids-etcd", Store::etcd);
}
