//! The promise: while a gateway takes up other configurations and is replaced by its successors, no request fails, and
//! no client has to try again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Process, rounds, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::gateway_alone::Pair;
use crate::shop::Shop;
use crate::site::{binary, no_panic};
use crate::steady::Steady;

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Plan {
    requests: usize,
    reloads: usize,
    upgrades: usize,
}

const USUAL: Plan = Plan { requests: 20_000, reloads: 20, upgrades: 2 };
const FULL: Plan = Plan { requests: 1_000_000, reloads: 100, upgrades: 3 };

/// Gateways that follow each other. Only the first is a child of this test.
struct Line<'a> {
    pair: &'a Pair,
    first: Process,
    pids: Vec<i32>,
}

impl Line<'_> {
    fn signal(&self, signal: Signal) {
        let pid = self.pids.last().copied().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn status(&self) -> Option<serde_json::Value> {
        Some(Client::new(self.pair.admin.address()).get("/api/status").ok()?.json())
    }

    /// Another configuration, of which `mark` is a part; it is in use at the end.
    fn reload(&self, mark: usize) {
        // More workers and fewer, other limits, other timeouts, and an address that comes and goes.
        let workers = [3, 1, 4, 2][mark % 4];
        let other =
            mark.is_multiple_of(3).then(|| format!(", {{ address: \"{}\" }}", self.pair.spare.address()));
        let text = self.pair.yaml(&other.unwrap_or_default())
            + &format!("workers: {workers}\nlimits: {{ body_bytes: {} }}\n", 100_000 + mark)
            + &format!("timeouts: {{ request: {}s, drain: 10s }}\n", 10 + mark % 5);
        self.pair.scratch.write("next.yaml", &text);
        fs::rename(self.pair.scratch.join("next.yaml"), self.pair.scratch.join("smallest.yaml")).unwrap();
        self.signal(Signal::HUP);
        let in_use = until(within(60), || {
            let page = Client::new(self.pair.admin.address()).get("/api/config").ok()?.json();
            (page["config"]["limits"]["body_bytes"] == 100_000 + mark).then_some(())
        });
        assert!(in_use.is_some(), "configuration {mark} is not in use; {}", self.first.printed());
    }

    /// The next gateway; the one before has ended at the end.
    fn upgrade(&mut self) {
        let before = self.pids.last().copied().unwrap();
        self.signal(Signal::USR2);
        let next = until(within(60), || {
            let pid = i32::try_from(self.status()?["pid"].as_i64()?).ok()?;
            (pid != before).then_some(pid)
        });
        self.pids.push(next.unwrap_or_else(|| panic!("no successor; {}", self.first.printed())));
        if self.pids.len() == 2 {
            assert_eq!(self.first.wait_exit(within(60)).unwrap().code(), Some(0));
        }
        assert!(until(within(60), || is_gone(before).then_some(())).is_some(), "{before} has not ended");
        let stopped = self.first.printed().matches("stopped").count();
        assert_eq!(stopped, self.pids.len() - 1, "each ends in order: {}", self.first.printed());
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        // The first ends with its handle.
        for pid in self.pids.iter().skip(1).filter(|pid| !is_gone(**pid)) {
            if let Some(pid) = Pid::from_raw(*pid) {
                // It may have ended in between.
                kill_process(pid, Signal::KILL).unwrap_or_default();
            }
        }
    }
}

/// Whether the process has ended; whoever inherited it may not have asked for its status yet.
fn is_gone(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn no_request_fails_over_reloads_and_upgrades() {
    let plan = if rounds(u32::MAX) == u32::MAX { USUAL } else { FULL };
    let pair = Pair::new("promise");
    let service = pair.serve();
    let first = pair.gateway();
    pair.wait_ready(200);
    let mut shop = Shop::new(pair.edge.address());
    let id = shop.create(3).id;
    let pids = vec![i32::try_from(first.pid()).unwrap()];
    let mut line = Line { pair: &pair, first, pids };
    let load = Steady::start(pair.edge.address(), format!("/v1/orders/{id}"));
    let steps = plan.reloads + plan.upgrades;
    let every = plan.reloads / (plan.upgrades + 1) + 1;
    let mut mark = 0;
    for step in 1..=steps {
        load.wait(step * plan.requests / (steps + 1));
        if step % every == 0 && line.pids.len() <= plan.upgrades {
            line.upgrade();
        } else {
            mark += 1;
            line.reload(mark);
        }
    }
    load.wait(plan.requests);
    let done = load.end();
    assert_eq!((line.pids.len(), mark), (plan.upgrades + 1, plan.reloads));
    assert!(done.connections > plan.upgrades * 8, "{done:?}");
    println!("{} requests, {} connections: {plan:?}", done.answered, done.connections);
    no_panic(&service);
    no_panic(&line.first);
    line.signal(Signal::TERM);
    let last = line.pids.last().copied().unwrap();
    assert!(until(within(60), || is_gone(last).then_some(())).is_some());
}

#[test]
fn a_successor_that_does_not_start_changes_nothing() {
    let pair = Pair::new("upgrade-fails");
    let service = pair.serve();
    let mut gateway = pair.gateway();
    pair.wait_ready(200);
    let id = Shop::new(pair.edge.address()).create(3).id;
    pair.scratch.write("smallest.yaml", "listen: nowhere\n");
    gateway.upgrade().unwrap();
    let why = gateway.wait_line("not upgraded; this process goes on", within(60)).unwrap();
    assert!(why.contains("exit status: 2"), "{why}");
    gateway.wait_line("smallest.yaml:1:9: ", within(10)).unwrap();
    assert_eq!(Shop::new(pair.edge.address()).get(id).version, 1);
    assert_eq!(gateway.exited(), None);
    gateway.terminate().unwrap();
    assert_eq!(gateway.wait_exit(within(30)).unwrap().code(), Some(0));
    no_panic(&service);
}

/// Whoever is asked to stop takes with it the successor that it has begun to start.
#[test]
fn a_stop_while_a_successor_starts_leaves_nobody_behind() {
    let pair = Pair::new("upgrade-stopped");
    // So many sockets that a successor which takes none keeps its predecessor in the middle of handing them over.
    let port = pair.edge.number();
    let more: Vec<_> = (2..=16).map(|host| format!(", {{ address: \"127.0.0.{host}:{port}\" }}")).collect();
    pair.scratch.write("smallest.yaml", pair.yaml(&more.concat()) + "workers: 24\n");
    let called = pair.scratch.join("aqueduct");
    std::os::unix::fs::symlink(binary(), &called).unwrap();
    let mut gateway = pair.gateway_called(&called);
    fs::remove_file(&called).unwrap();
    pair.scratch.write("aqueduct", "#!/bin/sh\necho \"the successor is $$\"\nexec sleep 120\n");
    fs::set_permissions(&called, fs::Permissions::from_mode(0o755)).unwrap();

    gateway.upgrade().unwrap();
    let said = gateway.wait_line("the successor is ", within(60)).unwrap();
    let pid: i32 = said.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(!is_gone(pid));
    gateway.terminate().unwrap();
    // Its output ends only when nobody holds it any more.
    let (status, printed) = gateway.finish(within(60)).unwrap();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(printed.contains("stopped") && !printed.contains("taken over"), "{printed}");
    assert!(is_gone(pid), "{pid} is left: {printed}");
    no_panic(&gateway);
}
