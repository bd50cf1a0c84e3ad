//! After a restart all sagas want to call at once: a participant has so many connections, and no more.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use aqueduct_kit::until;

use crate::coordinator::Coordinator;
use crate::peer::{Answer, Peer, Request};
use crate::plans::{Kind, Plan, Step};
use crate::world::pass;

const SAGAS: usize = 200;
const MOST: usize = 5;

/// Counts the calls that it has at a time, and holds them until it is opened; from then on each takes a moment.
#[derive(Default)]
struct Slow {
    now: AtomicUsize,
    most: AtomicUsize,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Slow {
    fn handle(&self) -> Answer {
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
        drop(open);
        // Long enough for others to come meanwhile, if there are any.
        pass(Duration::from_millis(5));
        self.now.fetch_sub(1, SeqCst);
        Answer::ok()
    }
}

#[test]
fn a_restart_with_many_sagas_does_not_flood_a_participant() {
    let most = MOST.to_string();
    let coordinator = Coordinator::start("saga-flood", &["--connections", &most]);
    let slow = Arc::new(Slow::default());
    let this = Arc::clone(&slow);
    let peer = Peer::start(move |_: &Request| this.handle());
    let id = |number: usize| format!("f-{number}");
    for number in 0..SAGAS {
        let step = Step::new(Kind::Retriable, "note", "", 0, peer.url("slow"));
        let plan = Plan { id: id(number), deadline: Duration::from_mins(10), steps: vec![step] };
        assert_eq!(coordinator.submit(&plan.body()).unwrap().status(), 200);
    }
    let full = until(Duration::from_secs(20), || (slow.now.load(SeqCst) == MOST).then_some(()));
    assert!(full.is_some(), "{} calls of {MOST}", slow.now.load(SeqCst));
    coordinator.kill();
    // Those that were held are over for the participant when it is opened; none of the dead process is counted twice.
    *slow.open.lock().unwrap() = true;
    slow.opened.notify_all();
    let over = until(Duration::from_secs(20), || (slow.now.load(SeqCst) == 0).then_some(()));
    assert!(over.is_some(), "{} calls of a dead process", slow.now.load(SeqCst));
    coordinator.restart();
    for number in 0..SAGAS {
        coordinator.wait(&id(number), &["COMPLETED"]);
    }
    assert_eq!(slow.most.load(SeqCst), MOST);
}
