//! Requests that are refused, each with a reason in JSON.

use aqueduct_kit::Scratch;
use serde_json::{Value, json};

use super::coordinator::Sagas;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends a request that must be refused with this status and code, for this reason. Answers the methods that are allowed.
fn check(
    sagas: &Sagas,
    request: (&str, &str, &[(&str, &str)], &str),
    expect: (u16, u8, &str),
) -> Option<String> {
    let (method, path, headers, body) = request;
    let (status, code, reason) = expect;
    let answer = sagas.client().request(method, path, headers, body.as_bytes()).unwrap();
    let told = answer.json();
    assert_eq!(
        (answer.status(), &told["code"]),
        (status, &json!(code)),
        "{method} {path}: {}",
        answer.text()
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(told["message"].as_str().unwrap().contains(reason), "{method} {path}: {}", answer.text());
    answer.header("allow").map(str::to_owned)
}

/// A good submission, but for a change.
fn text(change: fn(&mut Value)) -> String {
    let step = |name: &str, kind: &str| json!({"name": name, "kind": kind, "url": "http://127.0.0.1:1/x", "payload": {}});
    let steps = [step("a", "COMPENSABLE"), step("b", "PIVOT")];
    let mut saga = json!({"sagaId": "bad", "deadlineMs": 1000, "steps": steps});
    change(&mut saga);
    saga.to_string()
}

#[test]
fn a_submission_that_breaks_the_contract_is_refused() {
    let scratch = Scratch::new("saga-contract");
    let sagas = Sagas::start(&scratch, &[]);
    let post = |body: &str, reason: &str| {
        check(&sagas, ("POST", "/v1/sagas", &[JSON], body), (400, 3, reason));
    };
    post("", "a submission is a JSON object");
    post("{", "EOF");
    post("\"a saga\"", "a submission is a JSON object");
    post(&text(|saga| saga["steps"] = json!([])), "1 to 100 steps");
    post(&text(|saga| saga["steps"][1]["name"] = json!("a")), "the name of an earlier step");
    post(&text(|saga| saga["steps"][1]["name"] = json!("")), "steps[1].name");
    post(&text(|saga| saga["steps"][0]["kind"] = json!("PIVOT")), "one pivot at most");
    post(
        &text(|saga| saga["steps"][0]["kind"] = json!("RETRIABLE")),
        "a pivot comes before the retriable steps",
    );
    post(&text(|saga| saga["steps"][1]["kind"] = json!("UNDOABLE")), "COMPENSABLE, PIVOT or RETRIABLE");
    post(&text(|saga| saga["steps"][1]["url"] = json!("ftp://127.0.0.1/x")), "steps[1].url");
    post(
        &text(|saga| drop(saga["steps"][1].as_object_mut().unwrap().remove("url"))),
        "steps[1]: missing field `url`",
    );
    post(&text(|saga| saga["steps"][1]["uri"] = json!("x")), "steps[1]: unknown field `uri`");
    for bad in [json!(0), json!(-1), json!(1.5), json!("1000"), json!(null)] {
        let body = text(|_| ()).replace("1000", &bad.to_string());
        post(&body, "deadlineMs: a positive integer is wanted here");
    }
    post(
        &text(|saga| drop(saga.as_object_mut().unwrap().remove("deadlineMs"))),
        "missing field `deadlineMs`",
    );
    post(&text(|saga| saga["sagaId"] = json!("")), "sagaId");
    post(&text(|saga| saga["retries"] = json!(3)), "unknown field `retries`");
    assert_eq!(sagas.client().get("/v1/sagas/bad").unwrap().status(), 404);
}

#[test]
fn other_requests_are_refused_with_what_there_is() {
    let scratch = Scratch::new("saga-requests");
    let sagas = Sagas::start(&scratch, &[]);
    let good = text(|_| ());
    check(
        &sagas,
        ("POST", "/v1/sagas", &[("content-type", "text/plain"), ("origin", "http://elsewhere")], &good),
        (415, 3, "application/json is wanted"),
    );
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let taken = sagas.client().request("POST", "/v1/sagas", &form, good.as_bytes()).unwrap();
    assert_eq!(
        taken.status(),
        200,
        "what curl and others send where they are told nothing: {}",
        taken.text()
    );
    let large = format!("{{\"sagaId\":\"{}", "x".repeat(5 << 20));
    let head = format!(
        "POST /v1/sagas HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        large.len()
    );
    let mut client = sagas.client();
    client.send(head.as_bytes()).unwrap();
    let answer = client.read_response(false).unwrap();
    assert_eq!((answer.status(), &answer.json()["code"]), (413, &json!(8)));

    check(&sagas, ("GET", "/v1/sagas/none", &[], ""), (404, 5, "there is no such saga"));
    check(&sagas, ("GET", "/v1/sagas/with%20blank", &[], ""), (404, 5, "there is no such saga"));
    check(&sagas, ("GET", "/v2/sagas", &[], ""), (404, 5, "nothing is at /v2/sagas"));
    check(&sagas, ("GET", "/v1/sagas/%zz", &[], ""), (400, 3, "hexadecimal"));
    let allow = check(&sagas, ("GET", "/v1/sagas", &[], ""), (405, 12, "only POST here"));
    assert_eq!(allow.as_deref(), Some("POST"));
    let allow = check(&sagas, ("DELETE", "/v1/sagas/x", &[], ""), (405, 12, "only GET"));
    assert_eq!(allow.as_deref(), Some("GET, HEAD"));
    check(&sagas, ("POST", "/v1/sagas/x:restart", &[], ""), (405, 12, ":retry, :skip or :abandon"));
    check(&sagas, ("POST", "/readyz", &[], ""), (405, 12, "only GET and HEAD here"));
}

#[test]
fn an_id_with_any_character_that_it_may_have_is_found() {
    let scratch = Scratch::new("saga-ids");
    let sagas = Sagas::start(&scratch, &[]);
    for (id, path) in
        [("transfer:42", "transfer:42"), ("a/b:retry", "a%2Fb%3Aretry"), ("50%+?", "50%25%2B%3F")]
    {
        let step = json!({"name": "a", "kind": "PIVOT", "url": "http://127.0.0.1:1", "payload": null});
        sagas.submit(&json!({"sagaId": id, "deadlineMs": 60_000, "steps": [step]}));
        assert_eq!(sagas.get(path)["sagaId"], id);
        let answer = sagas.decide(path, "retry", "ada");
        assert_eq!(answer.status(), 409, "{id}: {}", answer.text());
    }
}
