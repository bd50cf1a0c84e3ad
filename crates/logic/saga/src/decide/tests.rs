//! Table-driven: a plan and what happened, to what follows.

use super::*;
use crate::plan::Plan;
use crate::tests::bench::plan;

const DEADLINE: Millis = 1000;
const MOST: u32 = 3;

fn spot(state: &State, word: &str) -> Spot {
    // `c0` is the execution of that step, `-c0` its compensation.
    let (op, name) = word.strip_prefix('-').map_or((Op::Execute, word), |name| (Op::Compensate, name));
    let step = state.plan.steps.iter().position(|step| step.name == name).unwrap();
    Spot { step, op }
}

/// `c0:done`, `c0:no`, `c0:eh` (to be asked again at once), `c0:later` (at 500), `c0:broken`, `retry`, `skip`, `crash`, `past` (the deadline).
fn happen(state: &mut State, now: &mut Millis, word: &str) {
    let actor = "x".to_owned();
    let event = match word {
        "past" => return *now = DEADLINE,
        "crash" => return state.orphan(),
        "retry" => Event::Retried { actor },
        "skip" => Event::Skipped { actor },
        "abandon" => Event::Abandoned { actor },
        answer => {
            let (name, answer) = answer.split_once(':').unwrap();
            let spot = spot(state, name);
            let (reason, op) = ("why".to_owned(), *state.op(spot).unwrap());
            match answer {
                "done" => Event::Done { spot, output: "out".into() },
                "no" => Event::Rejected { spot, reason },
                "eh" | "later" => {
                    let (attempt, failures) = (op.attempt, op.failures + 1);
                    let retry_at = if answer == "eh" { 0 } else { 500 };
                    Event::Unknown { spot, attempt, failures, reason, retry_at }
                }
                "unsent" => Event::Withdrawn { spot },
                "broken" => Event::Parked { spot: Some(spot), reason },
                other => panic!("{other}"),
            }
        }
    };
    state.apply(&event).unwrap();
}

/// Intents as `c0#1`, everything else in capitals.
fn word(plan: &Plan, event: &Event) -> String {
    match event {
        Event::Sent { spot, attempt } => {
            let sign = if spot.op == Op::Compensate { "-" } else { "" };
            format!("{sign}{}#{attempt}", plan.steps[spot.step].name)
        }
        Event::Turned { .. } => "TURNED".into(),
        Event::Completed => "COMPLETED".into(),
        Event::Compensated => "COMPENSATED".into(),
        Event::Parked { .. } => "PARKED".into(),
        other => panic!("{other:?}"),
    }
}

/// What follows from the creation, and then from each thing that happens.
fn check(shape: &str, happens: &str, expect: &str) {
    let (plan, context) = (plan(shape), Vec::new());
    let mut state = State::created(Event::Created { plan, context, deadline_at: Some(DEADLINE) }).unwrap();
    let mut now = 0;
    let mut lines = Vec::new();
    let mut follow = |state: &mut State, now| {
        let events = advance(state, now, MOST);
        let words: Vec<_> = events.iter().map(|event| word(&state.plan, event)).collect();
        lines.push(if words.is_empty() { "-".to_owned() } else { words.join("+") });
    };
    follow(&mut state, now);
    for happening in happens.split_whitespace() {
        happen(&mut state, &mut now, happening);
        follow(&mut state, now);
    }
    assert_eq!(lines.join(" "), expect, "{shape}: {happens}");
}

#[test]
fn the_way_forward() {
    check("cpr", "c0:done p1:done r2:done", "c0#1 p1#1 r2#1 COMPLETED");
    check("c", "c0:done", "c0#1 COMPLETED");
    check("c", "c0:eh c0:eh c0:eh c0:eh c0:done", "c0#1 c0#2 c0#3 c0#4 c0#5 COMPLETED");
    check("p", "p0:later past p0:done", "p0#1 - p0#2 COMPLETED");
    check("c+cp", "c1:done c0:done p2:done", "c0#1+c1#1 - p2#1 COMPLETED");
    check("r+r", "r0:eh r1:done r0:done", "r0#1+r1#1 r0#2 - COMPLETED");
}

#[test]
fn rejections_turn_before_they_park() {
    check("c", "c0:no", "c0#1 TURNED+COMPENSATED");
    check("ccp", "c0:done c1:no -c0:done", "c0#1 c1#1 TURNED+-c0#1 COMPENSATED");
    check("ccp", "c0:done c1:done p2:no -c1:done -c0:done", "c0#1 c1#1 p2#1 TURNED+-c1#1 -c0#1 COMPENSATED");
    // An earlier attempt may have arrived, but a rejection is for good.
    check("cc", "c0:done c1:eh c1:no", "c0#1 c1#1 c1#2 TURNED+-c0#1");
    // Beside what was refused: whether it arrived or not.
    check("c+c", "c0:no -c1:done", "c0#1+c1#1 TURNED+-c1#1 COMPENSATED");
    check("pr", "p0:done r1:no", "p0#1 r1#1 PARKED");
    check("c", "c0:eh past -c0:no", "c0#1 c0#2 TURNED+-c0#1 PARKED");
}

#[test]
fn the_deadline() {
    check("cp", "past", "c0#1 TURNED+-c0#1");
    check("cp", "c0:done past", "c0#1 p1#1 -");
    check("cp", "c0:later past -c0:done", "c0#1 - TURNED+-c0#1 COMPENSATED");
    check("cp", "c0:done past p1:eh", "c0#1 p1#1 - p1#2");
    check("cp", "c0:done past p1:no -c0:done", "c0#1 p1#1 - TURNED+-c0#1 COMPENSATED");
    check("cr", "c0:done past r1:done", "c0#1 r1#1 - COMPLETED");
    check("cp", "c0:done past p1:unsent -c0:done", "c0#1 p1#1 - TURNED+-c0#1 COMPENSATED");
    check("c", "c0:done", "c0#1 COMPLETED");
}

#[test]
fn failures_park_what_must_succeed() {
    check("r", "r0:eh r0:eh r0:eh", "r0#1 r0#2 r0#3 PARKED");
    check("r", "r0:eh r0:eh r0:eh retry r0:eh r0:eh r0:eh", "r0#1 r0#2 r0#3 PARKED r0#4 r0#5 r0#6 PARKED");
    check("rr", "r0:no skip r1:done", "r0#1 PARKED r1#1 COMPLETED");
    check("r", "r0:no retry r0:done", "r0#1 PARKED r0#2 COMPLETED");
    check("r", "r0:no abandon", "r0#1 PARKED -");
    check("cc", "c0:done c1:no -c0:no skip", "c0#1 c1#1 TURNED+-c0#1 PARKED COMPENSATED");
    check("cp", "c0:broken past retry -c0:done", "c0#1 - - TURNED+-c0#1 COMPENSATED");
    check("cp", "c0:broken skip", "c0#1 - p1#1");
}

/// Attempts go on counting, and what was sent without an answer is sent again, or undone.
#[test]
fn a_takeover() {
    check("cp", "crash c0:done crash p1:done", "c0#1 c0#2 p1#1 p1#2 COMPLETED");
    check("cp", "past crash -c0:done", "c0#1 TURNED+-c0#1 -c0#2 COMPENSATED");
    check("ccp", "c0:done crash past -c1:done -c0:done", "c0#1 c1#1 c1#2 TURNED+-c1#1 -c0#1 COMPENSATED");
}

#[test]
fn what_cannot_follow_is_nonsense() {
    let created = |shape: &str| Event::Created { plan: plan(shape), context: Vec::new(), deadline_at: None };
    let far = Spot { step: 9, op: Op::Execute };
    let actor = || "x".to_owned();
    for events in [
        vec![],
        vec![Event::Completed],
        vec![created("pc")],
        vec![created("c"), created("c")],
        vec![created("c"), Event::Sent { spot: far, attempt: 1 }],
        vec![created("c"), Event::Retried { actor: actor() }],
        vec![created("c"), Event::Abandoned { actor: actor() }],
        vec![created("c"), Event::Completed, Event::Turned { reason: String::new() }],
        vec![created("c"), Event::Parked { spot: None, reason: String::new() }, Event::Completed],
        vec![
            created("c"),
            Event::Parked { spot: None, reason: String::new() },
            Event::Skipped { actor: actor() },
        ],
    ] {
        assert!(State::fold(events.clone()).is_err(), "{events:?}");
    }
}

#[test]
fn timers() {
    let created = Event::Created { plan: plan("c+cp"), context: Vec::new(), deadline_at: Some(DEADLINE) };
    let mut state = State::created(created).unwrap();
    let mut now = 0;
    advance(&mut state, now, MOST);
    assert_eq!(wake(&state), Some(DEADLINE), "both are under way");
    happen(&mut state, &mut now, "c0:later");
    assert_eq!(wake(&state), Some(500));
    happen(&mut state, &mut now, "c1:done");
    assert_eq!(advance(&mut state, 499, MOST), []);
    assert_eq!(advance(&mut state, 500, MOST).len(), 1);
    happen(&mut state, &mut now, "c0:done");
    advance(&mut state, 500, MOST);
    assert_eq!(wake(&state), None, "behind the pivot there is no deadline");
}
