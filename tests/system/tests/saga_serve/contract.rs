//! What the coordinator answers to those who submit, ask and decide: a line of the contract, and the status that it must have.

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Process};
use serde_json::Value;

use crate::coordinator::{Coordinator, FAST};
use crate::desk::Desk;
use crate::peer::Answer;

/// A step, as it is submitted.
fn step(name: &str, kind: &str, url: &str, payload: &str) -> String {
    format!("{{\"name\":\"{name}\",\"kind\":\"{kind}\",\"url\":\"{url}\",\"payload\":{payload}}}")
}

/// Steps of these kinds.
fn steps(kinds: &str, url: &str) -> String {
    let step = |(at, kind): (usize, char)| {
        let kind = match kind {
            'C' => "COMPENSABLE",
            'P' => "PIVOT",
            'R' => "RETRIABLE",
            _ => "SOMETHING",
        };
        step(&format!("step-{at}"), kind, url, "{}")
    };
    kinds.chars().enumerate().map(step).collect::<Vec<_>>().join(",")
}

fn saga(id: &str, deadline: &str, steps: &str) -> String {
    format!("{{\"sagaId\":\"{id}\",\"deadlineMs\":{deadline},\"steps\":[{steps}]}}")
}

#[test]
fn what_is_no_saga_is_a_bad_request() {
    let coordinator = Coordinator::start("saga-contract", FAST);
    let (desk, url) = Desk::open(|_, _| Answer::ok());
    let check = |body: &str, expect: u16, why: &str| {
        let answer = coordinator.submit(body).unwrap();
        assert_eq!(answer.status(), expect, "{why}: {body}\n{}", answer.text());
        assert!(expect == 200 || answer.text().len() > 10, "{why}: nobody is told what is wrong");
    };
    for (at, kinds) in ["C", "P", "R", "CC", "CP", "CR", "PR", "PRR", "CCPRR", "CCRR"].iter().enumerate() {
        check(&saga(&format!("shape-{at}"), "60000", &steps(kinds, &url)), 200, kinds);
    }
    for kinds in ["PC", "RC", "RP", "PP", "CPP", "CPC", "CPRP", "CPRC", "RPC", "x", "Cx", ""] {
        check(&saga("bad", "60000", &steps(kinds, &url)), 400, kinds);
    }
    let one = |kind: &str| step("a", kind, &url, "{}");
    for kind in ["compensable", "Pivot", "", "COMPENSABLE ", "KIND_UNSPECIFIED", "0"] {
        check(&saga("bad", "60000", &one(kind)), 400, "a kind that is none");
    }
    let twice = [one("COMPENSABLE"), step("b", "COMPENSABLE", &url, "{}"), one("COMPENSABLE")].join(",");
    check(&saga("bad", "60000", &twice), 400, "names are unique");
    for deadline in ["0", "-1", "-0", "1.5", "1.0", "1e3", "\"100\"", "null", "true", "[1]", "", "01", "NaN"]
    {
        check(&saga("bad", deadline, &one("PIVOT")), 400, "the deadline is a positive integer");
    }
    for (deadline, id) in [("1", "short"), ("9223372036854775807", "long")] {
        check(&saga(id, deadline, &one("COMPENSABLE")), 200, "the deadline is a positive integer");
    }
    for id in ["", "a b", "a\\nb", "\\u0000", &"x".repeat(129)] {
        check(&saga(id, "60000", &one("PIVOT")), 400, "an id that is none");
    }
    for bad in ["", "nowhere", "/debit", "ftp://127.0.0.1/x", "http://", "127.0.0.1:80"] {
        check(&saga("bad", "60000", &step("a", "PIVOT", bad, "{}")), 400, "a URL that cannot be called");
    }
    for payload in ["", "{", "{a:1}", "01", "nul", "'a'", "{} {}"] {
        check(&saga("bad", "60000", &step("a", "PIVOT", &url, payload)), 400, "a payload that is no JSON");
    }
    for body in
        ["", "null", "[]", "{}", "\"saga\"", "{\"sagaId\":\"bad\"}", "{\"sagaId\":\"bad\",\"deadlineMs\":1}"]
    {
        check(body, 400, "no saga at all");
    }
    let (whole, number) = (saga("bad", "60000", &one("PIVOT")), saga("bad", "60000", "7"));
    check(&number, 400, "a step that is none");
    for field in ["sagaId", "deadlineMs", "steps", "name", "kind", "url"] {
        check(&whole.replace(&format!("\"{field}\""), "\"other\""), 400, field);
    }
    check(whole.strip_suffix('}').unwrap(), 400, "a half");
    check(&whole.replacen('{', "{\"sagaId\":\"twice\",", 1), 400, "a key that stands twice");
    let not_utf8 = [&b"{\"sagaId\":\"\xff"[..], whole.as_bytes()].concat();
    let headers = [("content-type", "application/json")];
    let answer = coordinator.client().request("POST", "/v1/sagas", &headers, &not_utf8).unwrap();
    assert_eq!(answer.status(), 400, "not UTF-8");
    for id in ["bad", "twice"] {
        assert_eq!(coordinator.get(id).unwrap().0, 404, "what was refused is not there");
        assert!(desk.calls.of(id).is_empty(), "what was refused is not run");
    }
}

/// The same id with the same canonical JSON is the same saga; with another it is a conflict.
#[test]
fn an_id_is_one_saga() {
    let coordinator = Coordinator::start("saga-same", FAST);
    let (desk, url) = Desk::open(|_, _| Answer::ok());
    let payload = r#"{"cents":9007199254740993,"rate":0.1,"who":"Ann","nested":{"a":[1,2],"b":null}}"#;
    let body = |payload: &str| saga("one", "60000", &step("pay", "PIVOT", &url, payload));
    let check = |body: &str, expect: u16, why: &str| {
        let answer = coordinator.submit(body).unwrap();
        assert_eq!(answer.status(), expect, "{why}: {}", answer.text());
    };
    check(&body(payload), 200, "it is new");
    for when in ["at once", "after its end", "after a crash"] {
        check(&body(payload), 200, when);
        let same: Value = serde_json::from_str(&body("7")).unwrap();
        let spread = serde_json::to_string_pretty(&same).unwrap().replace(": 7", &format!(" :\t{payload}"));
        check(&spread, 200, "blanks, and the order of keys");
        let turned =
            r#"{"nested":{"b":null,"a":[1,2]},"who":"A\u006en","rate":0.1,"cents":9007199254740993}"#;
        check(&body(turned), 200, "the order of keys, and escapes");
        for (from, to) in [
            // As doubles these are equal.
            ("9007199254740993", "9007199254740992"),
            ("0.1", "0.1000000000000000000001"),
            ("[1,2]", "[2,1]"),
            ("null", "false"),
            ("Ann", "ann"),
            ("9007199254740993", "\"9007199254740993\""),
        ] {
            check(&body(&payload.replace(from, to)), 409, &format!("{to} instead of {from}"));
        }
        check(&body(payload).replace("60000", "60001"), 409, "another deadline");
        check(&body(payload).replace("PIVOT", "RETRIABLE"), 409, "another kind");
        check(&body(payload).replace("\"pay\"", "\"pays\""), 409, "another name");
        check(&body(payload).replace(&url, &format!("{url}/x")), 409, "another url");
        if when == "at once" {
            coordinator.wait("one", &["COMPLETED"]);
        } else {
            coordinator.kill();
            coordinator.restart();
        }
    }
    assert_eq!(desk.calls.of("one").len(), 1, "it was run once");
    let two = format!("{},{}", step("a", "RETRIABLE", &url, "1"), step("b", "RETRIABLE", &url, "1"));
    let swapped = format!("{},{}", step("b", "RETRIABLE", &url, "1"), step("a", "RETRIABLE", &url, "1"));
    check(&saga("two", "60000", &two), 200, "it is new");
    check(&saga("two", "60000", &swapped), 409, "another order of steps");
}

/// Many submit the same at the same time: each is answered, and it is run once.
#[test]
fn submissions_at_the_same_time_are_one_saga() {
    let coordinator = Coordinator::start("saga-together", FAST);
    let (desk, url) = Desk::open(|_, _| Answer::ok());
    for round in 0..10 {
        let body = |payload| saga(&format!("r{round}"), "60000", &step("pay", "PIVOT", &url, payload));
        let (mine, other) = (body("1"), body("2"));
        let statuses: Vec<(bool, u16)> = std::thread::scope(|scope| {
            let one = |number: usize| {
                let (coordinator, body) =
                    (&coordinator, if number.is_multiple_of(4) { &other } else { &mine });
                scope.spawn(move || (number.is_multiple_of(4), coordinator.submit(body).unwrap().status()))
            };
            let all: Vec<_> = (0..16).map(one).collect();
            all.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let of = |which: bool| statuses.iter().filter(move |(is, _)| *is == which).map(|(_, status)| *status);
        let won = of(true).all(|status| status == 200);
        let fits = |which, expect| of(which).all(|status| status == expect);
        assert!(if won { fits(false, 409) } else { fits(false, 200) && fits(true, 409) }, "{statuses:?}");
        coordinator.wait(&format!("r{round}"), &["COMPLETED"]);
        assert_eq!(desk.calls.of(&format!("r{round}")).len(), 1);
    }
}

#[test]
fn sagas_are_shown_and_decided_on() {
    let coordinator = Coordinator::start("saga-operate", FAST);
    // What is called `stuck` is refused for good; the rest is not answered.
    let (_desk, url) = Desk::open(|call, _| match call.step.as_str() {
        "stuck" => Answer::Reply(409, b"no way".to_vec()),
        "open" => Answer::Reply(503, Vec::new()),
        _ => Answer::ok(),
    });
    let submit = |id: &str, steps: &str| {
        assert_eq!(coordinator.submit(&saga(id, "60000", steps)).unwrap().status(), 200);
    };
    let decide = |id: &str, what: &str| coordinator.operate(id, what, "ann").unwrap().status();

    assert_eq!(coordinator.get("nobody").unwrap().0, 404);
    for what in ["retry", "skip", "abandon"] {
        assert_eq!(decide("nobody", what), 404, "{what}");
    }
    submit("done", &step("a", "PIVOT", &url, "{}"));
    let done = coordinator.wait("done", &["COMPLETED"]);
    assert!(done["reason"].is_string() && done["timeline"].is_array(), "{done:#}");
    submit("open", &step("open", "PIVOT", &url, "{}"));
    coordinator.wait("open", &["RUNNING"]);
    for what in ["retry", "skip", "abandon"] {
        assert_eq!((decide("done", what), decide("open", what)), (409, 409), "{what} is for what is parked");
    }
    for (id, what, end) in
        [("s", "skip", "COMPLETED"), ("a", "abandon", "ABANDONED"), ("r", "retry", "PARKED")]
    {
        submit(id, &[step("a", "PIVOT", &url, "{}"), step("stuck", "RETRIABLE", &url, "{}")].join(","));
        let parked = coordinator.wait(id, &["PARKED"]);
        assert!(parked["reason"].as_str().unwrap().contains("stuck"), "{parked:#}");
        // Not terminal, and there after a crash.
        coordinator.kill();
        coordinator.restart();
        assert_eq!(coordinator.get(id).unwrap().1["status"], "PARKED");
        assert_eq!(decide(id, what), 200, "{what}");
        let ended = coordinator.wait(id, &[end]);
        let told = ended["timeline"].to_string();
        assert!(told.contains("ann"), "{what} is logged with its actor: {told}");
        if id != "r" {
            assert_eq!(decide(id, what), 409, "{what} of what has ended");
            assert_eq!(coordinator.get(id).unwrap().1["status"], end);
        }
    }
}

#[test]
fn a_folder_has_one_process() {
    let coordinator = Coordinator::start("saga-second", FAST);
    let (_desk, url) = Desk::open(|_, _| Answer::ok());
    let port = Port::free();
    let mut second = Process::start("second", &mut coordinator.command(port.address())).unwrap();
    let (status, printed) = second.finish(within(30)).unwrap();
    assert!(!status.success(), "a second process on the folder: {printed}");
    assert!(printed.contains("data"), "it says what is wrong: {printed}");
    // The first goes on as if nothing had been.
    assert_eq!(coordinator.submit(&saga("x", "60000", &steps("P", &url))).unwrap().status(), 200);
    coordinator.wait("x", &["COMPLETED"]);
    assert_eq!(Client::new(coordinator.address()).get("/readyz").unwrap().status(), 200);
}
