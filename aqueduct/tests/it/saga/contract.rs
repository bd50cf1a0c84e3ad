//! What a client submits, and what participants are asked because of it.

use std::time::Duration;

use aqueduct_kit::Scratch;
use serde_json::json;

use super::coordinator::{Sagas, saga};
use super::participant::{Participant, Reply};

const LONG: Duration = Duration::from_mins(1);

fn willing() -> Participant {
    Participant::start(|_| Reply::With(200, ""))
}

#[test]
fn steps_run_in_order_with_the_payload_as_it_was_written() {
    let scratch = Scratch::new("saga-order");
    let sagas = Sagas::start(&scratch, &[]);
    let bank = Participant::start(|seen| {
        if seen.header("x-saga-step") == "debit" {
            Reply::With(201, r#"{ "id": 1.10 }"#)
        } else {
            Reply::With(204, "")
        }
    });
    let payload = r#"{ "amount" : 12345678901234567890, "rate":1.10,"huge":1e400, "b":1,"a":"\u00e9\/" }"#;
    let step = |name: &str, kind: &str, path: &str| {
        format!(r#"{{"name":"{name}","kind":"{kind}","url":"{}","payload":{payload}}}"#, bank.url(path))
    };
    let body = format!(
        r#"{{"sagaId":"t-1","deadlineMs":60000,"steps":[{},{},{}]}}"#,
        step("debit", "COMPENSABLE", "/accounts/a"),
        step("credit", "PIVOT", "/accounts/b/"),
        step("notify", "RETRIABLE", ""),
    );
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("traceparent", trace),
        ("x-aqueduct-color", "blue"),
        ("x-other", "stays here"),
    ];
    let answer = sagas.client().request("POST", "/v1/sagas", &headers, body.as_bytes()).unwrap();
    assert_eq!((answer.status(), answer.json()), (200, json!({"sagaId": "t-1", "created": true})));
    let view = sagas.wait("t-1", "COMPLETED");
    assert_eq!(bank.calls(), ["debit execute 1", "credit execute 1", "notify execute 1"]);
    let seen = bank.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
    let expect =
        ["POST /accounts/a/execute HTTP/1.1", "POST /accounts/b/execute HTTP/1.1", "POST /execute HTTP/1.1"];
    assert_eq!(lines, expect);
    for call in &seen {
        assert_eq!(call.body, payload);
        assert_eq!(call.header("x-saga-id"), "t-1");
        assert_eq!(call.header("content-type"), "application/json");
        assert_eq!((call.header("traceparent"), call.header("x-aqueduct-color")), (trace, "blue"));
        assert_eq!(call.header("x-other"), "");
    }
    let text = sagas.client().get("/v1/sagas/t-1").unwrap().text();
    assert!(text.contains(r#""output":{ "id": 1.10 }"#), "{text}");
    assert_eq!(view["reason"], "");
    let whats: Vec<_> =
        view["timeline"].as_array().unwrap().iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["CREATED", "SENT", "DONE", "SENT", "DONE", "SENT", "DONE", "COMPLETED"]);
    assert_eq!(sagas.stop(), Some(0));
}

#[test]
fn the_same_submission_is_the_same_saga_and_another_a_conflict() {
    let scratch = Scratch::new("saga-same");
    let sagas = Sagas::start(&scratch, &[]);
    let bank = willing();
    let url = bank.url("");
    let text = |payload: &str, deadline: u32| {
        format!(
            r#"{{"sagaId":"same","deadlineMs":{deadline},"steps":[{{"name":"a","kind":"PIVOT","url":"{url}","payload":{payload}}}]}}"#
        )
    };
    let post = |body: &str| {
        let headers = [("content-type", "application/json")];
        sagas.client().request("POST", "/v1/sagas", &headers, body.as_bytes()).unwrap()
    };
    let first = text(r#"{"x":1,"y":12345678901234567890}"#, 60_000);
    assert_eq!(post(&first).json()["created"], true);
    sagas.wait("same", "COMPLETED");
    // The same in another order, with other blanks and escapes; also once it has ended.
    let other = format!(
        "{{ \"steps\":\n[{{\"payload\": {{ \"y\":12345678901234567890, \"\\u0078\":1 }},\"url\":\"{url}\",\"kind\":\"PIVOT\",\"name\":\"a\"}}],\"deadlineMs\":60000,\"sagaId\":\"same\"}}"
    );
    for same in [&first, &other] {
        let answer = post(same);
        assert_eq!((answer.status(), answer.json()), (200, json!({"sagaId": "same", "created": false})));
    }
    for conflict in [
        text(r#"{"x":1,"y":12345678901234567891}"#, 60_000),
        text(r#"{"x":1.0,"y":12345678901234567890}"#, 60_000),
        text(r#"{"x":1,"y":12345678901234567890}"#, 60_001),
    ] {
        let answer = post(&conflict);
        assert_eq!((answer.status(), &answer.json()["code"]), (409, &json!(6)), "{}", answer.text());
    }
    assert_eq!(bank.calls(), ["a execute 1"]);
}

#[test]
fn a_refused_pivot_undoes_the_steps_before_it_in_reverse_order() {
    let scratch = Scratch::new("saga-reverse");
    let sagas = Sagas::start(&scratch, &[]);
    let bank = Participant::start(|seen| match seen.short().as_str() {
        "credit execute 1" => Reply::With(409, "too much at once"),
        _ => Reply::With(200, ""),
    });
    let steps = [
        ("debit", "COMPENSABLE", bank.url("/a")),
        ("reserve", "COMPENSABLE", bank.url("/b")),
        ("credit", "PIVOT", bank.url("/c")),
        ("notify", "RETRIABLE", bank.url("/d")),
    ];
    sagas.submit(&saga("back", LONG, &steps));
    let view = sagas.wait("back", "COMPENSATED");
    let expect = [
        "debit execute 1",
        "reserve execute 1",
        "credit execute 1",
        "reserve compensate 1",
        "debit compensate 1",
    ];
    assert_eq!(bank.calls(), expect);
    assert_eq!(view["reason"], "credit was rejected: 409 Conflict: too much at once");
    let seen = bank.seen();
    let last = seen.last().unwrap();
    assert_eq!(
        (last.line.as_str(), last.body.as_str()),
        ("POST /a/compensate HTTP/1.1", r#"{"of":"debit"}"#)
    );
}

#[test]
fn a_rejected_first_step_ends_compensated_and_nobody_else_is_asked() {
    let scratch = Scratch::new("saga-first");
    let sagas = Sagas::start(&scratch, &[]);
    let bank = Participant::start(|_| Reply::With(409, ""));
    let steps = [("debit", "COMPENSABLE", bank.url("/a")), ("credit", "PIVOT", bank.url("/c"))];
    sagas.submit(&saga("first", LONG, &steps));
    sagas.wait("first", "COMPENSATED");
    assert_eq!(bank.calls(), ["debit execute 1"]);
}
