use super::{from_json, from_proto};
use crate::proto::{SubmitRequest, step::Kind};
use aqueduct_saga::Submit;
use std::time::Duration;

const GOOD: &str = r#"{"sagaId":"t-1","deadlineMs":5000,"steps":[
    {"name":"debit","kind":"COMPENSABLE","url":"http://bank/debit","payload":{ "cents" : 1.10, "to":12345678901234567890 }},
    {"name":"credit","kind":"PIVOT","url":"grpc://bank:1","payload":1e400}]}"#;

fn submit(text: &str) -> Submit {
    from_json(text.as_bytes(), Vec::new()).unwrap()
}

#[test]
fn payloads_are_kept_as_they_are_written() {
    let submit = submit(GOOD);
    assert_eq!((submit.id.as_str(), submit.deadline), ("t-1", Some(Duration::from_secs(5))));
    let payloads: Vec<_> = submit.plan.steps.iter().map(|step| step.payload.as_ref()).collect();
    assert_eq!(payloads, [br#"{ "cents" : 1.10, "to":12345678901234567890 }"#.as_slice(), b"1e400"]);
}

#[test]
fn only_what_is_said_tells_submissions_apart() {
    let same = |text: &str| submit(text).plan.fingerprint == submit(GOOD).plan.fingerprint;
    let other = r#"{ "steps": [{"url":"http://bank/debit","payload":{"to":12345678901234567890,"cents":1.10},
        "kind":"COMPENSABLE","n\u0061me":"debit"},
        {"name":"credit","kind":"PIVOT","url":"grpc:\/\/bank:1","payload":1e400}], "deadlineMs":5000,"sagaId":"t-1"}"#;
    assert!(same(other));
    for (from, to) in [
        ("1.10", "1.1"),
        ("12345678901234567890", "12345678901234567891"),
        ("1e400", "1e401"),
        ("5000", "5001"),
        ("http://bank/debit", "http://bank/debits"),
        ("COMPENSABLE", "PIVOT"),
        ("\"debit\"", "\"debits\""),
        ("t-1", "t-2"),
    ] {
        let text = GOOD.replace(from, to);
        let text = if to == "PIVOT" {
            text.replacen("PIVOT\",\"url\":\"grpc", "RETRIABLE\",\"url\":\"grpc", 1)
        } else {
            text
        };
        assert!(!same(&text), "{from} became {to}");
    }
}

#[test]
fn over_grpc_it_is_the_same_submission() {
    let step = |name: &str, kind: Kind, url: &str, payload: &str| crate::proto::Step {
        name: name.into(),
        kind: kind.into(),
        url: url.into(),
        payload: payload.into(),
    };
    let request = SubmitRequest {
        saga_id: "t-1".into(),
        deadline_ms: 5000,
        steps: vec![
            step(
                "debit",
                Kind::Compensable,
                "http://bank/debit",
                r#"{"to":12345678901234567890,"cents":1.10}"#,
            ),
            step("credit", Kind::Pivot, "grpc://bank:1", "1e400"),
        ],
    };
    let over_grpc = from_proto(request.clone(), Vec::new()).unwrap();
    assert_eq!(over_grpc.plan.fingerprint, submit(GOOD).plan.fingerprint);
    let broken = SubmitRequest { steps: vec![step("a", Kind::Pivot, "http://b", "{]")], ..request.clone() };
    assert!(from_proto(broken, Vec::new()).unwrap_err().starts_with("steps[0].payload is no JSON"));
    let no_kind = SubmitRequest { steps: vec![step("a", Kind::Unspecified, "http://b", "{}")], ..request };
    assert!(from_proto(no_kind, Vec::new()).unwrap_err().starts_with("steps[0].kind"));
}

#[test]
fn a_deadline_is_a_positive_integer() {
    let with = |deadline: &str| from_json(GOOD.replace("5000", deadline).as_bytes(), Vec::new());
    assert_eq!(with("1").unwrap().deadline, Some(Duration::from_millis(1)));
    let never = Duration::from_millis(super::LONGEST_MS);
    assert_eq!(with("123456789012345678901234567890").unwrap().deadline, Some(never));
    for bad in ["0", "-1", "-0", "1.5", "5000.0", "5e3", "\"5000\"", "null", "true", "[]", "{}"] {
        let why = with(bad).unwrap_err();
        assert!(why.starts_with("deadlineMs: a positive integer is wanted here"), "{bad}: {why}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let check = |text: &str, expect: &str| {
        let why = from_json(text.as_bytes(), Vec::new()).unwrap_err();
        assert!(why.contains(expect), "{text}\n{why}");
    };
    let step = |fields: &str| format!(r#"{{"sagaId":"a","deadlineMs":1,"steps":[{{{fields}}}]}}"#);
    check("", "a submission is a JSON object");
    check("[\"a\",1,[]]", "a submission is a JSON object");
    check("{", "EOF");
    check(r#"{"sagaId":"a","deadlineMs":1,"steps":[]} x"#, "trailing characters");
    check(r#"{"deadlineMs":1,"steps":[]}"#, "missing field `sagaId`");
    check(r#"{"sagaId":"a","steps":[]}"#, "missing field `deadlineMs`");
    check(r#"{"sagaId":"a","deadlineMs":1}"#, "missing field `steps`");
    check(r#"{"sagaId":7,"deadlineMs":1,"steps":[]}"#, "expected a string");
    check(r#"{"sagaId":"a b","deadlineMs":1,"steps":[]}"#, "sagaId: a saga's id has 1 to 128");
    check(r#"{"sagaId":"a","deadlineMs":1,"steps":[]}"#, "1 to 100 steps, not 0");
    check(r#"{"sagaId":"a","sagaId":"a","deadlineMs":1,"steps":[]}"#, "duplicate field `sagaId`");
    check(r#"{"sagaId":"a","deadlineMs":1,"steps":[],"retries":3}"#, "unknown field `retries`");
    check(
        r#"{"sagaId":"a","deadlineMs":1,"steps":[["a","PIVOT","http://b",1]]}"#,
        "steps[0]: a step is a JSON object",
    );
    check(&step(r#""name":"a","kind":"PIVOT","payload":1"#), "steps[0]: missing field `url`");
    check(&step(r#""name":"a","kind":"PIVOT","url":"http://b""#), "steps[0]: missing field `payload`");
    check(
        &step(r#""name":"a","kind":"pivot","url":"http://b","payload":1"#),
        "steps[0].kind: COMPENSABLE, PIVOT or RETRIABLE",
    );
    check(&step(r#""name":"","kind":"PIVOT","url":"http://b","payload":1"#), "steps[0].name has 1 to 128");
    check(&step(r#""name":"a","kind":"PIVOT","url":"b","payload":1"#), "steps[0].url: \"b\" is no whole URL");
    check(&step(r#""name":"a","kind":"PIVOT","url":"http://b","payload":{"x":1,"x":2}"#), "stands twice");
    let two = |one: &str, other: &str| {
        let step = |name: &str, kind: &str| {
            format!(r#"{{"name":"{name}","kind":"{kind}","url":"http://b","payload":1}}"#)
        };
        let name = if one == "twice" { "a" } else { "b" };
        let kind = if one == "twice" { "COMPENSABLE" } else { one };
        format!(r#"{{"sagaId":"a","deadlineMs":1,"steps":[{},{}]}}"#, step("a", kind), step(name, other))
    };
    check(&two("twice", "COMPENSABLE"), "is the name of an earlier step");
    check(&two("PIVOT", "COMPENSABLE"), "a compensable step comes before the pivot");
    check(&two("RETRIABLE", "COMPENSABLE"), "a compensable step comes before the pivot");
    check(&two("PIVOT", "PIVOT"), "one pivot at most");
    check(&two("RETRIABLE", "PIVOT"), "a pivot comes before the retriable");
}
