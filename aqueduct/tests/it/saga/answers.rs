//! What the answers of participants mean: 2xx, 409, everything else, and none at all.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use aqueduct_kit::Scratch;

use super::coordinator::{Sagas, saga};
use super::participant::{Participant, Reply};

const LONG: Duration = Duration::from_mins(1);

#[test]
fn whatever_is_neither_2xx_nor_409_is_asked_again() {
    let scratch = Scratch::new("saga-unknown");
    let sagas = Sagas::start(&scratch, &["--attempt-timeout", "300ms"]);
    let elsewhere = Participant::start(|_| Reply::With(200, ""));
    let to = elsewhere.url("/execute");
    let count = AtomicU32::new(0);
    let bank = Participant::start(move |_| match count.fetch_add(1, SeqCst) {
        0 => Reply::With(500, "no"),
        1 => Reply::Redirect(to.clone()),
        2 => Reply::Lost,
        3 => Reply::Garbage,
        4 => Reply::Silence,
        5 => Reply::With(404, ""),
        6 => Reply::With(429, ""),
        7 => Reply::Lost,
        8 => Reply::Lost,
        _ => Reply::With(202, "at last"),
    });
    sagas.submit(&saga("again", LONG, &[("debit", "COMPENSABLE", bank.url("/a"))]));
    let view = sagas.wait("again", "COMPLETED");
    let attempts: Vec<_> = (1..=10).map(|attempt| format!("debit execute {attempt}")).collect();
    assert_eq!(bank.calls(), attempts);
    assert_eq!(elsewhere.calls(), [""; 0], "a redirect was followed");
    let timeline = view["timeline"].to_string();
    for detail in
        ["500 Internal Server Error: no", "307 Temporary Redirect", "no answer within 300ms", "404 Not Found"]
    {
        assert!(timeline.contains(detail), "{detail}: {timeline}");
    }
    assert_eq!(view["steps"][0]["output"], "at last");
    let metrics = sagas.metrics();
    for line in [
        "aqueduct_saga_calls_total{op=\"execute\",outcome=\"done\"} 1",
        "aqueduct_saga_calls_total{op=\"execute\",outcome=\"unknown\"} 8",
        "aqueduct_saga_calls_total{op=\"execute\",outcome=\"cut\"} 1",
        "aqueduct_saga_sends_total 10",
        "aqueduct_saga_retries_total 9",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[test]
fn a_step_without_an_answer_is_undone_first_when_the_deadline_is_over() {
    let scratch = Scratch::new("saga-deadline");
    // The attempt would last for a minute: the deadline cuts it.
    let sagas = Sagas::start(&scratch, &["--attempt-timeout", "1m"]);
    let bank = Participant::start(|seen| match seen.short().as_str() {
        "reserve execute 1" => Reply::Silence,
        _ => Reply::With(200, ""),
    });
    let steps = [
        ("debit", "COMPENSABLE", bank.url("/a")),
        ("reserve", "COMPENSABLE", bank.url("/b")),
        ("credit", "PIVOT", bank.url("/c")),
    ];
    sagas.submit(&saga("late", Duration::from_millis(700), &steps));
    let view = sagas.wait("late", "COMPENSATED");
    let expect = ["debit execute 1", "reserve execute 1", "reserve compensate 1", "debit compensate 1"];
    assert_eq!(bank.calls(), expect);
    assert_eq!(view["reason"], "the deadline is over");
}

#[test]
fn once_the_pivot_was_sent_the_deadline_turns_nothing() {
    let scratch = Scratch::new("saga-pivot");
    let sagas = Sagas::start(&scratch, &[]);
    let (count, deadline) = (AtomicU32::new(0), Duration::from_millis(400));
    // Answered when the deadline is long over: the pauses alone are longer than that.
    let bank = Participant::start(move |seen| match seen.header("x-saga-step") {
        "credit" if count.fetch_add(1, SeqCst) < 7 => Reply::Lost,
        _ => Reply::With(200, ""),
    });
    let steps = [("debit", "COMPENSABLE", bank.url("/a")), ("credit", "PIVOT", bank.url("/c"))];
    sagas.submit(&saga("past", deadline, &steps));
    let view = sagas.wait("past", "COMPLETED");
    assert!(view["finishedAt"].as_u64() > view["deadlineAt"].as_u64(), "{view:#}");
    assert!(!bank.calls().iter().any(|call| call.contains("compensate")), "{:?}", bank.calls());
    assert_eq!(bank.calls().len(), 9);
}
