//! What the coordinator makes of a participant's answers: done, refused for good, or unknown.

use std::time::Duration;

use aqueduct_kit::procfs;
use tokio::time::Instant;

use crate::calls::{Arrived, Op};
use crate::coordinator::{Coordinator, FAST};
use crate::desk::Desk;
use crate::peer::Answer;
use crate::plans::{Kind, Plan, Step};

/// Steps named by their kind: `C0`, `C1`, `P2`, …
fn plan(id: &str, kinds: &str, deadline: Duration, url: &str) -> Plan {
    let step = |(at, letter): (usize, char)| {
        let kind = match letter {
            'C' => Kind::Compensable,
            'P' => Kind::Pivot,
            _ => Kind::Retriable,
        };
        Step { name: format!("{letter}{at}"), ..Step::new(kind, "note", "", 0, url.to_owned()) }
    };
    Plan { id: id.to_owned(), deadline, steps: kinds.chars().enumerate().map(step).collect() }
}

const LONG: Duration = Duration::from_mins(10);

fn submit(coordinator: &Coordinator, plan: &Plan) {
    let answer = coordinator.submit(&plan.body()).unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

/// `C0+` is an execution of the step C0, `C0-` its compensation.
fn told(desk: &Desk, saga: &str) -> String {
    let one = |(step, op, attempt)| format!("{step}{}{attempt}", if op == Op::Execute { '+' } else { '-' });
    desk.told(saga).into_iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Where a saga stands still or ends, and what was called until then. The desk refuses for good what is in `refused`, such as `P2+`.
#[test]
fn a_refusal_turns_a_saga_or_parks_it() {
    let coordinator = Coordinator::start("saga-refusals", FAST);
    let check = |kinds: &str, refused: &'static str, end: &str, calls: &str| {
        let (desk, url) = Desk::open(move |call, _| {
            let spot = format!("{}{}", call.step, if call.op == Op::Execute { '+' } else { '-' });
            if refused.split(' ').any(|it| it == spot) {
                Answer::Reply(409, b"no".to_vec())
            } else {
                Answer::ok()
            }
        });
        let plan = plan(&format!("{kinds}{}", refused.replace([' ', '+'], "_")), kinds, LONG, &url);
        submit(&coordinator, &plan);
        let saga = coordinator.wait(&plan.id, &["COMPLETED", "COMPENSATED", "PARKED"]);
        assert_eq!(saga["status"], end, "{kinds}, refused {refused}: {saga:#}");
        assert_eq!(told(&desk, &plan.id), calls, "{kinds}, refused {refused}");
        let named = refused
            .split(' ')
            .any(|it| saga["reason"].as_str().unwrap().contains(it.trim_end_matches(['+', '-'])));
        assert!(refused.is_empty() || named, "the reason names what was refused: {saga:#}");
    };
    check("CCPRR", "", "COMPLETED", "C0+1 C1+1 P2+1 R3+1 R4+1");
    check("RR", "", "COMPLETED", "R0+1 R1+1");
    check("C", "C0+", "COMPENSATED", "C0+1");
    check("CPR", "C0+", "COMPENSATED", "C0+1");
    check("P", "P0+", "COMPENSATED", "P0+1");
    check("CCPR", "C1+", "COMPENSATED", "C0+1 C1+1 C0-1");
    check("CCCPR", "P3+", "COMPENSATED", "C0+1 C1+1 C2+1 P3+1 C2-1 C1-1 C0-1");
    check("CCC", "C2+", "COMPENSATED", "C0+1 C1+1 C2+1 C1-1 C0-1");
    check("CPR", "R2+", "PARKED", "C0+1 P1+1 R2+1");
    check("CR", "R1+", "PARKED", "C0+1 R1+1");
    check("R", "R0+", "PARKED", "R0+1");
    check("CCP", "P2+ C1-", "PARKED", "C0+1 C1+1 P2+1 C1-1");
    check("CCP", "P2+ C0-", "PARKED", "C0+1 C1+1 P2+1 C1-1 C0-1");
}

/// Every 2xx is done; 409 is a refusal; anything else says nothing, and is asked again with a pause that grows.
#[test]
fn anything_else_is_asked_again() {
    let coordinator = Coordinator::start("saga-unknown", FAST);
    for status in [200, 201, 202, 204, 206, 299] {
        let body = if status == 204 { Vec::new() } else { b"{\"receipt\":12345678901234567890}".to_vec() };
        let (desk, url) = Desk::open(move |_, _| Answer::Reply(status, body.clone()));
        let plan = plan(&format!("done-{status}"), "P", LONG, &url);
        submit(&coordinator, &plan);
        let saga = coordinator.wait(&plan.id, &["COMPLETED"]);
        assert_eq!(told(&desk, &plan.id), "P0+1", "{status}");
        let kept = saga.to_string().contains("12345678901234567890");
        assert!(status == 204 || kept, "the body is kept as output: {saga:#}");
    }
    let raw = |bytes: &'static [u8]| move || Answer::Raw(bytes.to_vec());
    let mut unknown: Vec<(String, Box<dyn Fn() -> Answer + Send + Sync>)> = vec![
        ("closed".into(), Box::new(|| Answer::Close)),
        ("silent".into(), Box::new(|| Answer::Silence)),
        ("garbage".into(), Box::new(raw(b"\x16\x03\x01 not HTTP\r\n\r\n"))),
        ("half".into(), Box::new(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"))),
        ("a head without end".into(), Box::new(raw(b"HTTP/1.1 200 OK\r\nx: "))),
        (
            "two lengths".into(),
            Box::new(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}")),
        ),
        ("an early hint only".into(), Box::new(raw(b"HTTP/1.1 103 Early Hints\r\n\r\n"))),
        (
            "a broken chunk".into(),
            Box::new(raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")),
        ),
    ];
    let all = (300..600).step_by(1).filter(|status| *status != 409 && (status % 100 < 20 || *status > 500));
    for status in all.filter(|status| *status < 520) {
        unknown.push((status.to_string(), Box::new(move || Answer::Reply(status, b"{}".to_vec()))));
    }
    // One at a time would wait for each pause.
    let mut started = Vec::new();
    for (number, (name, answer)) in unknown.into_iter().enumerate() {
        // For a step of each kind, and a compensation.
        let (kinds, at) = [("CPR", "C0+"), ("CPR", "P1+"), ("CPR", "R2+"), ("CP", "C0-")][number % 4];
        let (desk, url) = Desk::open(move |call, count| {
            let spot = format!("{}{}", call.step, if call.op == Op::Execute { '+' } else { '-' });
            let refused = at == "C0-" && spot == "P1+";
            if spot == at && count <= 2 {
                answer()
            } else {
                Answer::Reply(if refused { 409 } else { 200 }, b"{}".to_vec())
            }
        });
        let plan = plan(&format!("unknown-{number}"), kinds, LONG, &url);
        submit(&coordinator, &plan);
        started.push((plan.id, name, at, desk));
    }
    for (id, name, at, desk) in started {
        let saga = coordinator.wait(&id, &["COMPLETED", "COMPENSATED", "PARKED"]);
        let (expect, calls) = match at {
            "C0+" => ("COMPLETED", "C0+1 C0+2 C0+3 P1+1 R2+1"),
            "P1+" => ("COMPLETED", "C0+1 P1+1 P1+2 P1+3 R2+1"),
            "R2+" => ("COMPLETED", "C0+1 P1+1 R2+1 R2+2 R2+3"),
            _ => ("COMPENSATED", "C0+1 P1+1 C0-1 C0-2 C0-3"),
        };
        assert_eq!(saga["status"], expect, "{name}: {saga:#}");
        assert_eq!(told(&desk, &id), calls, "{name}");
        assert!(desk.calls.odd.lock().unwrap().is_empty(), "{name}: a redirect was followed");
    }
}

/// A body of a gigabyte is not kept, whatever it counts as.
#[test]
fn an_endless_answer_is_not_kept() {
    let coordinator = Coordinator::start("saga-endless", FAST);
    let (desk, url) = Desk::open(|_, count| {
        if count > 2 {
            return Answer::ok();
        }
        let (head, mebibyte) =
            (b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_vec(), vec![b' '; 1 << 20]);
        Answer::Raw([head, mebibyte.repeat(200)].concat())
    });
    let plan = plan("endless", "P", LONG, &url);
    submit(&coordinator, &plan);
    coordinator.wait("endless", &["COMPLETED"]);
    assert!(!desk.told("endless").is_empty());
    let resident = procfs::resident_bytes(coordinator.pid()).unwrap();
    assert!(resident < 150 << 20, "{resident} bytes are resident");
}

/// So many failed attempts park a compensation or a retriable step; `retry` counts anew, and attempts go on.
#[test]
fn a_step_that_keeps_failing_parks_its_saga() {
    let coordinator =
        Coordinator::start("saga-parks", &["--most-attempts", "4", "--attempt-timeout", "400ms"]);
    let (desk, url) = Desk::open(|call, count| match (call.step.as_str(), call.op) {
        ("P1", _) if call.saga == "back" => Answer::Reply(409, Vec::new()),
        ("C0", Op::Compensate) | ("R2", _) if count <= 10 => Answer::Reply(500, Vec::new()),
        // Neither a compensable step nor a pivot is given up.
        ("C0" | "P1", Op::Execute) if call.saga == "stubborn" && count <= 6 => Answer::Reply(500, Vec::new()),
        _ => Answer::ok(),
    });
    for id in ["back", "on", "stubborn"] {
        submit(&coordinator, &plan(id, if id == "stubborn" { "CP" } else { "CPR" }, LONG, &url));
    }
    for (id, end, spot) in
        [("back", "COMPENSATED", ("C0", Op::Compensate)), ("on", "COMPLETED", ("R2", Op::Execute))]
    {
        for round in 1..=3 {
            let wanted = if round < 3 { "PARKED" } else { end };
            let saga = coordinator.wait(id, &["PARKED", "COMPENSATED", "COMPLETED"]);
            assert_eq!(saga["status"], wanted, "{id}, round {round}: {saga:#}");
            let attempts: Vec<u32> = attempts(&desk, id, spot);
            let until = if round < 3 { round * 4 } else { 11 };
            assert_eq!(attempts, (1..=until).collect::<Vec<_>>(), "{id}, round {round}");
            if round < 3 {
                assert_eq!(coordinator.operate(id, "retry", "ann").unwrap().status(), 200);
            }
        }
    }
    let saga = coordinator.wait("stubborn", &["COMPLETED", "PARKED"]);
    assert_eq!(saga["status"], "COMPLETED", "{saga:#}");
}

fn attempts(desk: &Desk, saga: &str, spot: (&str, Op)) -> Vec<u32> {
    let of = desk.told(saga).into_iter().filter(|(step, op, _)| (step.as_str(), *op) == spot);
    of.map(|(_, _, attempt)| attempt).collect()
}

/// The pauses between attempts double from 50 ms to 2 s; jitter takes half away at most.
#[test]
fn attempts_are_apart() {
    let coordinator = Coordinator::start("saga-backoff", FAST);
    let (desk, url) =
        Desk::open(|_, count| if count <= 7 { Answer::Reply(503, Vec::new()) } else { Answer::ok() });
    submit(&coordinator, &plan("apart", "P", LONG, &url));
    coordinator.wait("apart", &["COMPLETED"]);
    let calls = desk.calls.of("apart");
    let gaps = calls.array_windows().map(|[one, next]: &[Arrived; 2]| next.at - one.at);
    for (number, gap) in (0..).zip(gaps) {
        let whole = (Duration::from_millis(50) * 2_u32.pow(number)).min(Duration::from_secs(2));
        assert!(gap >= whole / 2, "attempt {} came after {gap:?}, not {whole:?}", number + 2);
    }
}

/// One attempt lasts as long as the flag says, and is cut at the deadline in front of the pivot.
#[test]
fn a_deadline_turns_what_is_not_decided() {
    let coordinator = Coordinator::start("saga-deadline", &["--attempt-timeout", "1m"]);
    let second = Duration::from_secs(1);
    // Silence at a spot, until the other side closes; then everything is answered.
    let check = |id: &str, kinds: &str, silent: &'static str, end: &str, calls: &str| {
        let (desk, url) = Desk::open(move |call, _| {
            if call.op == Op::Execute && call.step == silent { Answer::Silence } else { Answer::ok() }
        });
        let began = Instant::now();
        submit(&coordinator, &plan(id, kinds, second, &url));
        coordinator.wait(id, &[end]);
        assert_eq!(told(&desk, id), calls, "{id}");
        assert!(began.elapsed() >= second, "{id} turned before its deadline");
    };
    check("first", "CCPR", "C0", "COMPENSATED", "C0+1 C0-1");
    check("second", "CCPR", "C1", "COMPENSATED", "C0+1 C1+1 C1-1 C0-1");
    check("without", "CCC", "C2", "COMPENSATED", "C0+1 C1+1 C2+1 C2-1 C1-1 C0-1");
    // The pivot was sent: an attempt lasts on, and no deadline leads back.
    let (desk, url) = Desk::open(|call, count| match call.step.as_str() {
        "P1" | "R2" if count <= 6 => Answer::Reply(503, Vec::new()),
        _ => Answer::ok(),
    });
    submit(&coordinator, &plan("decided", "CPR", Duration::from_millis(300), &url));
    coordinator.wait("decided", &["COMPLETED"]);
    assert_eq!(
        told(&desk, "decided"),
        "C0+1 P1+1 P1+2 P1+3 P1+4 P1+5 P1+6 P1+7 R2+1 R2+2 R2+3 R2+4 R2+5 R2+6 R2+7"
    );
}

/// A poisoned saga slows no other: a hundred that nobody answers, and one beside them.
#[test]
fn who_does_not_answer_slows_nobody_else() {
    let coordinator = Coordinator::start("saga-poisoned", &["--attempt-timeout", "1m"]);
    let (silent, url) = Desk::open(|_, _| Answer::Silence);
    for number in 0..100 {
        submit(&coordinator, &plan(&format!("poisoned-{number}"), "CPR", LONG, &url));
    }
    for number in 0..100 {
        silent.wait(&format!("poisoned-{number}"), 1);
    }
    let (desk, url) = Desk::open(|_, _| Answer::ok());
    submit(&coordinator, &plan("well", "CCPRR", LONG, &url));
    coordinator.wait("well", &["COMPLETED"]);
    assert_eq!(told(&desk, "well"), "C0+1 C1+1 P2+1 R3+1 R4+1");
}
