//! Sagas that cannot go on, and what an operator may do with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use aqueduct_kit::Scratch;
use serde_json::json;

use super::coordinator::{Sagas, saga};
use super::participant::{Participant, Reply};

const LONG: Duration = Duration::from_mins(1);

/// Agrees to everything but what the last step and the compensation are about, until it is mended.
fn stubborn(refusal: u16) -> (Participant, Arc<AtomicBool>) {
    let mended = Arc::<AtomicBool>::default();
    let is_mended = Arc::clone(&mended);
    let bank = Participant::start(move |seen| match seen.short().as_str() {
        _ if is_mended.load(SeqCst) => Reply::With(200, ""),
        "credit execute 1" => Reply::With(409, ""),
        call if call.starts_with("notify") || call.contains("compensate") => {
            Reply::With(refusal, "not today")
        }
        _ => Reply::With(200, ""),
    });
    (bank, mended)
}

#[test]
fn a_compensation_that_keeps_failing_parks_and_goes_on_when_retried() {
    let scratch = Scratch::new("saga-parked");
    let sagas = Sagas::start(&scratch, &["--most-attempts", "3"]);
    let (bank, mended) = stubborn(503);
    let steps = [("debit", "COMPENSABLE", bank.url("/a")), ("credit", "PIVOT", bank.url("/c"))];
    sagas.submit(&saga("stuck", LONG, &steps));
    let view = sagas.wait("stuck", "PARKED");
    assert_eq!(view["reason"], "compensate of debit failed 3 times: 503 Service Unavailable: not today");
    assert_eq!(view["finishedAt"], json!(null));
    let calls = [
        "debit execute 1",
        "credit execute 1",
        "debit compensate 1",
        "debit compensate 2",
        "debit compensate 3",
    ];
    assert_eq!(bank.calls(), calls);
    assert!(sagas.metrics().contains("aqueduct_saga_parkings_total 1"));

    // The attempts count anew, and their numbers rise on.
    let answer = sagas.decide("stuck", "retry", "ada");
    assert_eq!((answer.status(), &answer.json()["sagaId"]), (200, &json!("stuck")), "{}", answer.text());
    bank.wait(8);
    sagas.wait("stuck", "PARKED");
    assert_eq!(bank.calls().last().unwrap(), "debit compensate 6");
    mended.store(true, SeqCst);
    assert_eq!(sagas.decide("stuck", "retry", "grace").status(), 200);
    let view = sagas.wait("stuck", "COMPENSATED");
    assert_eq!(bank.calls().last().unwrap(), "debit compensate 7");
    let timeline = view["timeline"].as_array().unwrap();
    let retried: Vec<_> =
        timeline.iter().filter(|line| line["what"] == "RETRIED").map(|line| &line["detail"]).collect();
    assert_eq!(retried, ["ada", "grace"]);
}

#[test]
fn a_refusal_parks_at_once_and_can_be_skipped_or_abandoned() {
    let scratch = Scratch::new("saga-refused");
    let sagas = Sagas::start(&scratch, &[]);
    let (bank, _) = stubborn(409);
    let steps = |second: &str, kind: &str| {
        saga(second, LONG, &[("debit", "COMPENSABLE", bank.url("/a")), (second, kind, bank.url("/c"))])
    };
    // A retriable step that is refused, and a compensation that is.
    sagas.submit(&steps("notify", "RETRIABLE"));
    let view = sagas.wait("notify", "PARKED");
    assert_eq!(view["reason"], "execute of notify was rejected: 409 Conflict: not today");
    assert_eq!(bank.calls(), ["debit execute 1", "notify execute 1"]);
    assert_eq!(sagas.decide("notify", "skip", "ada").status(), 200);
    sagas.wait("notify", "COMPLETED");

    sagas.submit(&steps("credit", "PIVOT"));
    sagas.wait("credit", "PARKED");
    assert_eq!(sagas.decide("credit", "abandon", "grace").status(), 200);
    let view = sagas.wait("credit", "ABANDONED");
    assert_eq!(
        view["reason"],
        "abandoned by grace: compensate of debit was rejected: 409 Conflict: not today"
    );
    // It is over: nothing can be decided any more.
    for what in ["retry", "skip", "abandon"] {
        let answer = sagas.decide("credit", what, "ada");
        assert_eq!((answer.status(), &answer.json()["code"]), (409, &json!(9)), "{}", answer.text());
        assert!(answer.text().contains("ABANDONED"), "{}", answer.text());
        assert_eq!(sagas.decide("nobody", what, "ada").status(), 404);
        let nameless = sagas.client().request("POST", &format!("/v1/sagas/credit:{what}"), &[], b"").unwrap();
        assert_eq!(nameless.status(), 400);
        assert!(nameless.text().contains("x-saga-actor"), "{}", nameless.text());
    }
}

#[test]
fn a_running_saga_cannot_be_decided_on() {
    let scratch = Scratch::new("saga-running");
    let sagas = Sagas::start(&scratch, &[]);
    let bank = Participant::start(|_| Reply::With(500, ""));
    sagas.submit(&saga("busy", LONG, &[("credit", "PIVOT", bank.url("/c"))]));
    bank.wait(2);
    for what in ["retry", "skip", "abandon"] {
        assert_eq!(sagas.decide("busy", what, "ada").status(), 409);
    }
}
