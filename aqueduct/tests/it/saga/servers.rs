//! Coordinators that share a database.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::process::within;
use aqueduct_kit::{Port, Scratch, until};
use serde_json::json;

use super::coordinator::{Sagas, saga};
use super::participant::{Participant, Reply};
use crate::kit::run;

const LONG: Duration = Duration::from_mins(1);

fn start(name: &str) -> (Scratch, MariaDb) {
    let scratch = Scratch::new(name);
    let database = MariaDb::start(&scratch).unwrap();
    database.sql("CREATE DATABASE sagas").unwrap();
    let config = format!(
        "saga:\n  lease: 2s\n  mysql: {{ server: \"{}\", database: sagas, user: root }}\n",
        database.address()
    );
    fs::write(scratch.path().join("sagas.yaml"), config).unwrap();
    (scratch, database)
}

#[test]
fn another_coordinator_goes_on_where_one_was_killed() {
    let (scratch, _database) = start("saga-two");
    let flags = ["--config", "sagas.yaml"];
    let (mut one, other) = (Sagas::start(&scratch, &flags), Sagas::start(&scratch, &flags));
    let open = Arc::<AtomicBool>::default();
    let is_open = Arc::clone(&open);
    let bank =
        Participant::start(move |_| if is_open.load(SeqCst) { Reply::With(200, "") } else { Reply::Silence });
    let steps = [("debit", "COMPENSABLE", bank.url("/a")), ("credit", "PIVOT", bank.url("/c"))];
    let body = saga("shared", LONG, &steps);
    one.submit(&body);
    bank.wait(1);
    // Either of them knows it.
    assert_eq!(other.post("/v1/sagas", &body).json()["created"], false);
    assert_eq!(other.get("shared")["status"], "RUNNING");
    one.process.kill().unwrap();
    open.store(true, SeqCst);
    other.wait("shared", "COMPLETED");
    assert_eq!(bank.calls(), ["debit execute 1", "debit execute 2", "credit execute 1"]);
    assert_eq!(other.stop(), Some(0));
}

#[test]
fn a_database_that_stands_still_makes_it_unready_until_it_goes_on() {
    let (scratch, mut database) = start("saga-still");
    let sagas = Sagas::start(&scratch, &["--config", "sagas.yaml"]);
    let bank = Participant::start(|_| Reply::With(200, ""));
    let is = |status: u16| {
        let looked =
            until(within(60), || (sagas.client().get("/readyz").ok()?.status() == status).then_some(()));
        assert!(looked.is_some(), "/readyz is not {status}");
    };
    database.kill9().unwrap();
    is(503);
    let body = saga("later", LONG, &[("credit", "PIVOT", bank.url("/c"))]);
    let answer = sagas.post("/v1/sagas", &body);
    assert_eq!((answer.status(), &answer.json()["code"]), (503, &json!(14)), "{}", answer.text());
    assert!(answer.text().contains("the store does not answer"), "{}", answer.text());
    database.restart().unwrap();
    is(200);
    sagas.submit(&body);
    sagas.wait("later", "COMPLETED");
    assert_eq!(bank.calls(), ["credit execute 1"]);
}

#[test]
fn a_file_that_cannot_be_used_is_refused() {
    let scratch = Scratch::new("saga-file");
    let check = |text: &str, code: i32, expect: &str| {
        fs::write(scratch.path().join("c.yaml"), text).unwrap();
        let ended = run(scratch.path(), &["saga", "serve", "--config", "c.yaml", "--listen", "127.0.0.1:0"]);
        assert_eq!(ended.code, Some(code), "{text}: {}", ended.stderr);
        assert!(ended.reason().contains(expect), "{text}: {}", ended.stderr);
    };
    check("saga: { retention: 1h }\n", 2, "names no database: in its section `saga`, `mysql` is wanted");
    check("saga: { mysq: 1 }\n", 2, "unknown key `mysq`; did you mean `mysql`?");
    let nobody = Port::free().address();
    let text = format!("saga: {{ mysql: {{ server: \"{nobody}\", database: sagas, user: root }} }}\n");
    check(&text, 1, &format!("cannot use the database sagas at {nobody}: the store does not answer"));
    let both = run(scratch.path(), &["saga", "serve", "--config", "c.yaml", "--data", "data"]);
    assert_eq!(both.code, Some(2));
    assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
}
