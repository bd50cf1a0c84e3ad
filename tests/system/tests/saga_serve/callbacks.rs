//! kill -9 of the coordinator at each callback of a transfer and at each place in it, with a restart before or after the deadline; and
//! what else is done to it there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::calls::Op;
use crate::check::Story;
use crate::coordinator::{Coordinator, FAST, Owned};
use crate::faults::{Fault, Script, When};
use crate::ledger::{FIRST, Ledger};
use crate::peer::Peer;
use crate::plans::{Kind, Plan, Step};
use crate::world::{World, pass};

const LONG: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(700);

/// Two participants, and a coordinator that lives through all of a test.
struct Scene {
    world: Arc<World>,
    peers: Vec<Peer>,
    _coordinator: Owned,
}

impl Scene {
    fn start(name: &str, flags: &[&str]) -> Self {
        let ledger = Ledger::new(&["lender0", "spender0"]);
        let coordinator = Coordinator::start(name, flags);
        let (world, peers) = World::start(&coordinator, ledger, Script::quiet());
        Self { world, peers, _coordinator: coordinator }
    }

    /// debit, credit, note; `to` is `nobody` for a pivot that is refused.
    fn transfer(&self, id: &str, to: &str, deadline: Duration) -> Plan {
        let (a, b) = (&self.peers[0], &self.peers[1]);
        let steps = vec![
            Step::new(Kind::Compensable, "grant", "", 0, a.url("grant")),
            Step::new(Kind::Compensable, "debit", "lender0", 1, a.url("debit")),
            Step::new(Kind::Pivot, "credit", to, 1, b.url("credit")),
            Step::new(Kind::Retriable, "note", "", 0, b.url("note")),
        ];
        Plan { id: id.to_owned(), deadline, steps }
    }

    /// Runs a saga at whose callback something happens once, and checks all invariants on it.
    fn run(&self, plan: &Plan, at: (&str, Op), faults: &[Fault]) -> Value {
        self.world.script.plant(&plan.id, at, faults);
        let submitted = Instant::now();
        let answer = self.world.coordinator.submit(&plan.body());
        // It may be killed before it answers: only then is it asked again.
        if !answer.is_ok_and(|answer| answer.status() == 200) {
            self.world.coordinator.restart();
            assert_eq!(self.world.coordinator.submit(&plan.body()).unwrap().status(), 200);
        }
        let acknowledged = Some(Instant::now());
        let end = self.world.coordinator.wait(&plan.id, &["COMPLETED", "COMPENSATED", "PARKED"]);
        let calls = self.world.calls.of(&plan.id);
        let story = Story { plan, submitted, acknowledged, calls: &calls, end: &end };
        let wrong = story.violations(Some(&self.world.ledger));
        assert!(wrong.is_empty(), "{faults:?} at {at:?}: {}", wrong.join("\n"));
        assert_eq!(self.world.ledger.sum(), 2 * FIRST, "{faults:?} at {at:?}");
        end
    }

    /// Whether its pivot was called: then it is completed, whatever the deadline says, and else compensated. How far it comes before a
    /// short deadline is the machine's affair.
    fn ends_as_decided(&self, saga: &Value) -> bool {
        let calls = self.world.calls.of(saga["sagaId"].as_str().unwrap());
        let decided = calls.iter().any(|it| it.call.step == "credit");
        assert_eq!(saga["status"], if decided { "COMPLETED" } else { "COMPENSATED" }, "{saga:#}");
        decided
    }
}

const PLACES: [When; 3] = [When::Before, When::Applied, When::Answered];

#[test]
fn a_crash_at_any_callback_changes_no_end() {
    let scene = Scene::start("saga-callbacks", FAST);
    let mut number = 0;
    for (to, end) in [("spender0", "COMPLETED"), ("nobody", "COMPENSATED")] {
        let forward = ["grant", "debit", "credit", "note"].map(|step| (step, Op::Execute));
        let back = [("debit", Op::Compensate), ("grant", Op::Compensate)];
        let spots = forward.into_iter().take(if to == "nobody" { 3 } else { 4 });
        let back = back.into_iter().filter(|_| to == "nobody");
        for at in spots.chain(back) {
            for place in PLACES {
                number += 1;
                let plan = scene.transfer(&format!("c{number}"), to, LONG);
                let saga = scene.run(&plan, at, &[Fault::Crash(place, Duration::ZERO)]);
                assert_eq!(saga["status"], end, "{place:?} at {at:?}: {saga:#}");
            }
        }
    }
}

/// It is dead until the deadline is over: what was not decided turns, what was goes on.
#[test]
fn a_restart_behind_the_deadline_turns_what_was_not_decided() {
    let scene = Scene::start("saga-restarts", FAST);
    for (number, step) in ["grant", "debit", "credit", "note"].into_iter().enumerate() {
        for place in PLACES {
            let id = format!("d{number}-{place:?}");
            let plan = scene.transfer(&id, "spender0", SHORT);
            let saga = scene.run(&plan, (step, Op::Execute), &[Fault::Crash(place, SHORT)]);
            let decided = scene.ends_as_decided(&saga);
            // After the answer the next call may be on its way when it dies.
            let before = matches!(step, "grant" | "debit") && place != When::Answered;
            assert!(!(before && decided), "{place:?} at {step}: {saga:#}");
        }
    }
}

/// Several answers in a row are lost, then it dies, and comes back behind the deadline.
#[test]
fn lost_answers_and_a_crash_lose_nothing() {
    let scene = Scene::start("saga-lost", FAST);
    for (number, step) in ["grant", "debit", "credit", "note"].into_iter().enumerate() {
        for lost in [1, 4] {
            for end in [Fault::None, Fault::Crash(When::Applied, SHORT)] {
                let id = format!("l{number}-{lost}-{end:?}").replace(['(', ')', ',', ' '], "_");
                let plan = scene.transfer(&id, "spender0", if end == Fault::None { LONG } else { SHORT });
                let mut faults = vec![Fault::Lose(0); lost];
                faults.push(end);
                let saga = scene.run(&plan, (step, Op::Execute), &faults);
                let decided = scene.ends_as_decided(&saga);
                let before = matches!(step, "grant" | "debit") && end != Fault::None;
                assert!(!(before && decided) && (decided || end != Fault::None), "{saga:#}");
            }
        }
    }
}

/// SIGSTOP past the deadline at a callback; in a soak also past the lease, when the process takes over from itself. In `servers` another
/// one does, in a second.
#[test]
fn a_coordinator_that_stood_still_goes_on() {
    let scene = Scene::start("saga-frozen", FAST);
    // The embedded store's lease is 10 s.
    let past = Duration::from_millis(10_500);
    let mut cases = vec![
        ("debit", LONG, SHORT),
        ("debit", SHORT, SHORT * 2),
        ("credit", SHORT, SHORT * 2),
        ("note", SHORT, SHORT * 2),
    ];
    if aqueduct_kit::rounds(1) > 1 {
        cases.extend([("debit", LONG, past), ("credit", LONG, past)]);
    }
    for (step, deadline, still) in cases {
        let plan = scene.transfer(&format!("f-{step}-{still:?}"), "spender0", deadline);
        let saga = scene.run(&plan, (step, Op::Execute), &[Fault::Freeze(still)]);
        let decided = scene.ends_as_decided(&saga);
        assert!(if deadline == LONG { decided } else { !decided || step != "debit" }, "{saga:#}");
    }
}

/// It dies again and again at one call, and answers are lost in between, until the log keeps no more of its attempts: their numbers rise
/// through all lives.
#[test]
fn attempts_rise_over_restarts() {
    let scene = Scene::start("saga-lives", FAST);
    let lives = aqueduct_kit::rounds(4).min(30);
    let deaths = [
        Fault::Crash(When::Before, Duration::ZERO),
        Fault::Crash(When::Applied, Duration::ZERO),
        Fault::Lose(0),
    ];
    let faults = deaths.repeat(lives as usize);
    let plan = scene.transfer("lives", "spender0", LONG);
    scene.run(&plan, ("debit", Op::Execute), &faults);
    let calls = scene.world.calls.of("lives");
    let debits: Vec<u32> =
        calls.iter().filter(|it| it.call.step == "debit").map(|it| it.call.attempt).collect();
    assert_eq!(debits, (1..=lives * 3 + 1).collect::<Vec<_>>());
}

/// A hundred submissions, each followed by kill -9 as soon as it is acknowledged: all are there.
#[test]
fn what_is_acknowledged_is_there_after_a_crash() {
    let scene = Scene::start("saga-acknowledged", FAST);
    let rounds = aqueduct_kit::rounds(8);
    let acknowledged = Mutex::new(Vec::new());
    for round in 0..rounds {
        std::thread::scope(|scope| {
            for client in 0..4 {
                let (scene, acknowledged) = (&scene, &acknowledged);
                scope.spawn(move || {
                    for number in 0.. {
                        let id = format!("k{round}-{client}-{number}");
                        let plan = scene.transfer(&id, "spender0", LONG);
                        match scene.world.coordinator.submit(&plan.body()) {
                            Ok(answer) if answer.status() == 200 => acknowledged.lock().unwrap().push(id),
                            _ => return,
                        }
                    }
                });
            }
            pass(Duration::from_millis(u64::from(20 + round * 7 % 60)));
            scene.world.coordinator.kill();
        });
        scene.world.coordinator.restart();
        for id in acknowledged.lock().unwrap().iter() {
            let (status, saga) = scene.world.coordinator.get(id).unwrap();
            assert_eq!(status, 200, "{id} was acknowledged, and is lost: {saga}");
        }
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= rounds as usize, "{}", acknowledged.len());
    for id in &acknowledged {
        scene.world.coordinator.wait(id, &["COMPLETED", "COMPENSATED"]);
    }
    assert_eq!(scene.world.ledger.sum(), 2 * FIRST);
}

/// 64 at once want a thirtieth of what one account has; it dies meanwhile. Thirty get it.
#[test]
fn a_race_on_one_account_gives_out_what_is_there() {
    let scene = Scene::start("saga-race", FAST);
    let share = FIRST / 30;
    let plan = |number: usize| {
        let mut plan = scene.transfer(&format!("race{number}"), "spender0", LONG);
        for step in &mut plan.steps[1..3] {
            step.payload = step.payload.replace("\"cents\":1,", &format!("\"cents\":{share},"));
        }
        plan
    };
    scene.world.script.plant("race7", ("debit", Op::Execute), &[Fault::Crash(When::Applied, Duration::ZERO)]);
    scene.world.script.plant(
        "race9",
        ("credit", Op::Execute),
        &[Fault::Crash(When::Answered, Duration::ZERO)],
    );
    std::thread::scope(|scope| {
        for number in 0..64 {
            let (scene, body) = (&scene, plan(number).body());
            scope.spawn(move || {
                let done = aqueduct_kit::until(Duration::from_mins(1), || {
                    scene
                        .world
                        .coordinator
                        .submit(&body)
                        .ok()
                        .filter(|answer| answer.status() == 200)
                        .map(drop)
                });
                assert_eq!(done, Some(()));
            });
        }
    });
    let ends: Vec<Value> = (0..64)
        .map(|number| scene.world.coordinator.wait(&format!("race{number}"), &["COMPLETED", "COMPENSATED"]))
        .collect();
    let completed = ends.iter().filter(|saga| saga["status"] == "COMPLETED").count();
    assert_eq!(completed, 30);
    assert_eq!(scene.world.ledger.balance("lender0"), FIRST - 30 * share);
    assert_eq!(scene.world.ledger.sum(), 2 * FIRST);
    assert!(scene.world.ledger.wrong().is_empty());
}
