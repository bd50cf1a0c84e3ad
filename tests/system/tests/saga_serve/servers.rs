//! Two coordinators on one database, of which one stands still past its lease.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_kit::Scratch;
use aqueduct_kit::mariadb::MariaDb;
use serde_json::Value;
use tokio::time::Instant;

use crate::calls::Op;
use crate::check::Story;
use crate::coordinator::{Coordinator, Owned};
use crate::faults::{Fault, Script, When};
use crate::ledger::{FIRST, Ledger};
use crate::plans::{Kind, Plan, Step};
use crate::world::{World, pass};

pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// Longer than the lease, and than the other one needs to finish.
pub(crate) const STILL: Duration = Duration::from_millis(2500);

pub(crate) struct Pair {
    pub(crate) world: Arc<World>,
    pub(crate) first: Owned,
    pub(crate) other: Owned,
    pub(crate) urls: [String; 2],
    pub(crate) database: MariaDb,
    _scratch: Scratch,
}

impl Pair {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_in(name, [Vec::new(), Vec::new()])
    }

    /// The same, and the first and the other one have more in their environments.
    pub(crate) fn start_in(name: &str, [env, other_env]: [Vec<(String, String)>; 2]) -> Self {
        let scratch = Scratch::new(name);
        let database = MariaDb::start(&scratch).unwrap();
        database.sql("CREATE DATABASE sagas").unwrap();
        let mysql = format!("{{ server: \"{}\", database: sagas, user: root }}", database.address());
        let config = format!("saga:\n  lease: 1s\n  attempt_timeout: 400ms\n  mysql: {mysql}\n");
        let config = scratch.write("sagas.yaml", config).display().to_string();
        let start = |env| Coordinator::start_in(Scratch::new(name), &["--config", &config], env);
        let first = start(env);
        let ledger = Ledger::new(&["lender0", "spender0"]);
        let (world, peers) = World::start(&first, ledger, Script::quiet());
        let urls = [peers[0].url("a"), peers[1].url("b")];
        // They serve until the end of the test's process.
        std::mem::forget(peers);
        Self { world, first, other: start(other_env), urls, database, _scratch: scratch }
    }

    pub(crate) fn transfer(&self, id: &str, deadline: Duration) -> Plan {
        let [a, b] = &self.urls;
        let steps = vec![
            Step::new(Kind::Compensable, "debit", "lender0", 1, format!("{a}/debit")),
            Step::new(Kind::Pivot, "credit", "spender0", 1, format!("{b}/credit")),
            Step::new(Kind::Retriable, "note", "", 0, format!("{b}/note")),
        ];
        Plan { id: id.to_owned(), deadline, steps }
    }

    /// Submits to the first a transfer at whose callback it stands still or dies; the other one ends it, and the first finds that when it
    /// is back.
    pub(crate) fn run(&self, id: &str, deadline: Duration, at: (&str, Op), fault: Fault) -> Value {
        let plan = self.transfer(id, deadline);
        self.world.script.plant(id, at, &[fault]);
        let submitted = Instant::now();
        let answer = self.world.coordinator.submit(&plan.body());
        if !answer.is_ok_and(|answer| answer.status() == 200) {
            assert_eq!(self.other.submit(&plan.body()).unwrap().status(), 200);
        }
        let acknowledged = Some(Instant::now());
        let end = self.other.wait(id, &["COMPLETED", "COMPENSATED", "PARKED"]);
        let calls = self.world.calls.of(id).len();
        // When it stands still, so long from the callback on; it is back when it answers.
        let same = self.world.coordinator.wait(id, &["COMPLETED", "COMPENSATED", "PARKED"]);
        pass(LEASE / 2);
        assert_eq!(same["status"], end["status"], "{id} ended twice");
        let arrived = self.world.calls.of(id);
        let story = Story { plan: &plan, submitted, acknowledged, calls: &arrived, end: &end };
        let wrong = story.violations(Some(&self.world.ledger));
        assert!(wrong.is_empty(), "{id}: {}", wrong.join("\n"));
        assert_eq!(arrived.len(), calls, "{id}: who lost it went on: {arrived:#?}");
        assert_eq!(self.other.get(id).unwrap().1["status"], end["status"]);
        assert_eq!(self.world.ledger.sum(), 2 * FIRST);
        end
    }
}

/// The other one has turned the saga when it wakes up with the answer to the debit: the credit must not be sent.
#[test]
fn who_stood_still_past_its_lease_writes_and_sends_nothing() {
    let pair = Pair::start("saga-zombie");
    // Shorter than the lease: the other one comes when it is over.
    let (short, long) = (LEASE * 7 / 10, Duration::from_mins(10));
    for (step, deadline, end) in [
        ("debit", short, "COMPENSATED"),
        ("debit", long, "COMPLETED"),
        ("credit", long, "COMPLETED"),
        ("note", long, "COMPLETED"),
    ] {
        let id = format!("z-{step}-{}", deadline.as_secs());
        let saga = pair.run(&id, deadline, (step, Op::Execute), Fault::Freeze(STILL));
        assert_eq!(saga["status"], end, "{saga:#}");
    }
}

/// One dies at a callback, and the other goes on within a lease.
#[test]
fn another_coordinator_takes_over_at_any_callback() {
    let pair = Pair::start("saga-heir");
    for (step, place) in [
        ("debit", When::Before),
        ("debit", When::Applied),
        ("credit", When::Applied),
        ("credit", When::Answered),
        ("note", When::Answered),
    ] {
        let (id, down) = (format!("h-{step}-{place:?}"), Fault::Crash(place, LEASE + LEASE / 5));
        let saga = pair.run(&id, Duration::from_mins(10), (step, Op::Execute), down);
        assert_eq!(saga["status"], "COMPLETED", "{saga:#}");
    }
}
