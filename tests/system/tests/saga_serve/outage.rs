//! The database of two coordinators is gone for a while, with sagas under way.

use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::until;
use tokio::time::Instant;

use crate::calls::Op;
use crate::check::Story;
use crate::coordinator::TERMINAL;
use crate::faults::Fault;
use crate::ledger::FIRST;
use crate::plans::Plan;
use crate::servers::{LEASE, Pair};
use crate::world::pass;

const DOWN: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_mins(10);
/// The longest pause before a call is made again.
const BACKOFF: Duration = Duration::from_secs(2);
/// For this machine, which does much else.
const SLACK: Duration = Duration::from_secs(3);

#[test]
fn a_store_that_is_down_for_ten_seconds_loses_nothing() {
    let mut pair = Pair::start("saga-outage");
    let mut acknowledged: Vec<(Plan, Instant, Instant)> = Vec::new();
    for number in 0..40 {
        let plan = pair.transfer(&format!("o-{number}"), LONG);
        // So that they are everywhere on their way when it goes: asked again some times, at one step or another.
        let step = ["debit", "credit", "note"][number % 3];
        pair.world.script.plant(&plan.id, (step, Op::Execute), &[Fault::Status(500); 4][..number % 5]);
        let submitted = Instant::now();
        let node = if number % 2 == 0 { &pair.first } else { &pair.other };
        assert_eq!(node.submit(&plan.body()).unwrap().status(), 200);
        acknowledged.push((plan, submitted, Instant::now()));
    }
    pair.database.kill9().unwrap();
    let gone = Instant::now();
    for node in [&pair.first, &pair.other] {
        let refused = node.submit(&pair.transfer("refused", LONG).body()).unwrap();
        assert_eq!(refused.status(), 503, "{}", refused.text());
        let noticed =
            until(within(30), || (node.client().get("/readyz").ok()?.status() == 503).then_some(()));
        assert!(noticed.is_some(), "/readyz does not tell that the store is gone");
    }
    pass(DOWN.saturating_sub(gone.elapsed()));
    pair.database.restart().unwrap();
    let back = Instant::now();

    let open = |node: &crate::coordinator::Coordinator| {
        let ends = acknowledged.iter().map(|(plan, ..)| node.get(&plan.id).ok().map(|(_, saga)| saga));
        ends.filter(|saga| saga.as_ref().is_none_or(|saga| saga["status"] != "COMPLETED")).count()
    };
    let ended = until(LEASE * 3 + BACKOFF + SLACK, || (open(&pair.first) == 0).then_some(()));
    assert!(ended.is_some(), "{} have not ended {:?} after it came back", open(&pair.first), back.elapsed());
    for (plan, submitted, answered) in &acknowledged {
        let end = pair.other.wait(&plan.id, &TERMINAL);
        let (calls, acknowledged) = (pair.world.calls.of(&plan.id), Some(*answered));
        let story = Story { plan, submitted: *submitted, acknowledged, calls: &calls, end: &end };
        let wrong = story.violations(Some(&pair.world.ledger));
        assert!(wrong.is_empty(), "{}: {}", plan.id, wrong.join("\n"));
    }
    // What was refused may be there or not; submitted again, it is.
    let refused = pair.transfer("refused", LONG);
    assert_eq!(pair.other.submit(&refused.body()).unwrap().status(), 200);
    assert_eq!(pair.first.wait("refused", &TERMINAL)["status"], "COMPLETED");
    assert_eq!(pair.world.ledger.sum(), 2 * FIRST);
}
