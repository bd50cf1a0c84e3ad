//! Money moves while the coordinator is killed and stopped at callbacks, and answers are lost, in runs drawn from seeds.
//!
//! `AQUEDUCT_SAGAS` is how many seeds are run; `AQUEDUCT_SAGA_SEED=7` runs one again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::until;
use aqueduct_sim::random::Random;
use serde_json::Value;
use tokio::time::Instant;

use crate::check::Story;
use crate::coordinator::{Coordinator, FAST, TERMINAL};
use crate::faults::Script;
use crate::ledger::Ledger;
use crate::plans::Plan;
use crate::world::World;

const ACCOUNTS: [&str; 6] = ["lender0", "lender1", "lender2", "spender0", "spender1", "spender2"];
const SAGAS: usize = 16;

#[test]
fn no_crash_at_a_callback_loses_money() {
    if let Ok(seed) = std::env::var("AQUEDUCT_SAGA_SEED") {
        return run(seed.parse().unwrap());
    }
    for seed in 0..u64::from(aqueduct_kit::sagas(3)) {
        run(seed);
    }
}

/// Names the seed when a run fails, however it does.
struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "goes with the failure's own report")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("AQUEDUCT_SAGA_SEED={} runs this again", self.0);
        }
    }
}

fn run(seed: u64) {
    let _named = Seed(seed);
    let coordinator = Coordinator::start("saga-crashes", FAST);
    let script = Script::new(seed, 5, 40);
    let (world, peers) = World::start(&coordinator, Ledger::new(&ACCOUNTS), script);
    let first = world.ledger.sum();
    let (random, urls) = (Random::new(seed, "plans"), [peers[0].url("a"), peers[1].url("b")]);
    let plans: Vec<Plan> =
        (0..SAGAS).map(|number| Plan::draw(format!("s{seed}-{number}"), &random, &urls)).collect();

    let stop = AtomicBool::new(false);
    let (submitted, ends) = thread::scope(|scope| {
        // Whoever submits is one of four, and does not stop before the answer.
        let submitters: Vec<_> =
            plans.chunks(SAGAS / 4).map(|some| scope.spawn(|| submit(&world, some))).collect();
        let looker = scope.spawn(|| look(&world, &plans, &stop));
        let submitted: BTreeMap<_, _> = submitters.into_iter().flat_map(|it| it.join().unwrap()).collect();
        stop.store(true, Relaxed);
        (submitted, looker.join().unwrap())
    });

    let mut wrong = ends.wrong;
    settle(&world, &ends.ends, &mut wrong);
    for plan in &plans {
        let (id, unknown) = (plan.id.as_str(), Value::Null);
        let (at, acknowledged) = submitted[id];
        let story = Story {
            plan,
            submitted: at,
            acknowledged: Some(acknowledged),
            calls: &world.calls.of(id),
            end: ends.ends.get(id).unwrap_or(&unknown),
        };
        wrong.extend(story.violations(Some(&world.ledger)));
    }
    if world.ledger.sum() != first {
        wrong.push(format!("the sum is {} and was {first}", world.ledger.sum()));
    }
    wrong.extend(world.ledger.wrong());
    let odd = world.calls.odd.lock().unwrap();
    assert!(odd.is_empty(), "seed {seed}: requests that the contract does not know: {odd:#?}");
    assert!(wrong.is_empty(), "seed {seed}: {}", wrong.join("\n"));
}

/// Submits each until it is acknowledged, some twice. When each was submitted first, and when that was answered.
fn submit<'a>(world: &World, plans: &'a [Plan]) -> Vec<(&'a str, (Instant, Instant))> {
    let each = plans.iter().enumerate().map(|(number, plan)| {
        let (first, body) = (Instant::now(), plan.body());
        let acknowledged = acknowledged(world, &body);
        // Who acknowledged must still know, whatever has happened to it in the meantime.
        if number % 3 == 0 {
            self::acknowledged(world, &body);
            let other = body.replace("\"cents\":", "\"cents\":9");
            let refused = until(within(60), || answer(world, &other));
            assert_eq!(refused, Some(409), "another content of {}", plan.id);
        }
        (plan.id.as_str(), (first, acknowledged))
    });
    each.collect()
}

fn acknowledged(world: &World, body: &str) -> Instant {
    let status = until(within(60), || answer(world, body));
    assert_eq!(status, Some(200), "{body}");
    Instant::now()
}

/// The status of the answer, if one comes and is no 503.
fn answer(world: &World, body: &str) -> Option<u16> {
    let answer = world.coordinator.submit(body).ok()?;
    (answer.status() != 503).then_some(answer.status())
}

#[derive(Default)]
struct Ends {
    ends: BTreeMap<String, Value>,
    wrong: Vec<String>,
}

/// Looks at all sagas again and again until all have ended; decides on parked ones. What was seen once must be seen again, and an
/// end must stay.
fn look(world: &Arc<World>, plans: &[Plan], all_submitted: &AtomicBool) -> Ends {
    let (mut seen, mut found) = (BTreeMap::<&str, Value>::new(), Ends::default());
    let ended = until(within(90), || {
        let complete = all_submitted.load(Relaxed);
        for Plan { id, .. } in plans {
            // Nobody answers while it is down.
            let Ok((status, saga)) = world.coordinator.get(id) else { continue };
            match status {
                200 => {}
                404 if !seen.contains_key(id.as_str()) && !complete => continue,
                503 => continue,
                _ => found.wrong.push(format!("{id} was acknowledged, and is answered {status}: {saga}")),
            }
            if saga["status"] == "PARKED" {
                assert_ne!(saga["reason"], "", "{saga:#}");
                world.ledger.mend(id);
                // It may be killed before it answers.
                if let Ok(answer) = world.coordinator.operate(id, "retry", "ann") {
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                }
            }
            if is_terminal(&saga) {
                let end = found.ends.entry(id.clone()).or_insert_with(|| saga.clone());
                if end["status"] != saga["status"] {
                    found.wrong.push(format!("{id} ended twice: {end:#} {saga:#}"));
                }
            }
            seen.insert(id, saga);
        }
        (complete && found.ends.len() == plans.len() || !found.wrong.is_empty()).then_some(())
    });
    if ended.is_none() {
        let open = seen.iter().filter(|(_, saga)| !is_terminal(saga));
        found.wrong.extend(open.map(|(id, saga)| format!("{id} does not end: {saga:#}")));
    }
    found
}

fn is_terminal(saga: &Value) -> bool {
    saga["status"].as_str().is_some_and(|status| TERMINAL.contains(&status))
}

/// All is at rest: the last copies arrive, it is killed once more, and nothing changes any more.
fn settle(world: &World, ends: &BTreeMap<String, Value>, wrong: &mut Vec<String>) {
    world.copies_until(usize::MAX);
    world.coordinator.kill();
    world.coordinator.restart();
    for (id, end) in ends {
        let again = until(Duration::from_secs(20), || world.coordinator.get(id).ok());
        match again {
            Some((200, saga)) if saga["status"] == end["status"] => {}
            other => wrong.push(format!("{id} was {}, and is {other:?}", end["status"])),
        }
    }
}
