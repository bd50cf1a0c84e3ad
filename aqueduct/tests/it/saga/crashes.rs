//! Ends of the process, wanted and not, and what the next one knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::{Client, Port, Scratch, until};

use super::coordinator::{Sagas, saga};
use super::participant::{Participant, Reply};
use crate::kit::run;

const LONG: Duration = Duration::from_mins(1);

#[test]
fn attempts_rise_over_a_kill_and_an_acknowledged_saga_ends() {
    let scratch = Scratch::new("saga-kill");
    let sagas = Sagas::start(&scratch, &[]);
    let open = Arc::<AtomicBool>::default();
    let is_open = Arc::clone(&open);
    // The participant has the call, and its answer never comes.
    let bank =
        Participant::start(move |_| if is_open.load(SeqCst) { Reply::With(200, "") } else { Reply::Silence });
    let steps = [("debit", "COMPENSABLE", bank.url("/a")), ("credit", "PIVOT", bank.url("/c"))];
    let body = saga("kept", LONG, &steps);
    sagas.submit(&body);
    bank.wait(1);
    let sagas = sagas.crash(&scratch, &[]);
    bank.wait(2);
    open.store(true, SeqCst);
    let sagas = sagas.crash(&scratch, &[]);
    sagas.wait("kept", "COMPLETED");
    assert_eq!(bank.calls(), ["debit execute 1", "debit execute 2", "debit execute 3", "credit execute 1"]);
    // And it is still that saga.
    assert_eq!(sagas.post("/v1/sagas", &body).json()["created"], false);
}

#[test]
fn a_deadline_that_passed_while_nobody_was_there_turns_the_saga() {
    let scratch = Scratch::new("saga-later");
    let mut sagas = Sagas::start(&scratch, &[]);
    let bank = Participant::start(|seen| {
        if seen.header("x-saga-op") == "execute" { Reply::Silence } else { Reply::With(200, "") }
    });
    sagas.submit(&saga("later", Duration::from_millis(1500), &[("debit", "COMPENSABLE", bank.url("/a"))]));
    bank.wait(1);
    let deadline = sagas.get("later")["deadlineAt"].as_u64().unwrap();
    sagas.process.kill().unwrap();
    let now = aqueduct_runtime::clock::now_unix_ms;
    until(within(10), || (now() > deadline).then_some(())).unwrap();
    let sagas = Sagas::start_on((sagas.port, sagas.admin), scratch.path(), &[]);
    sagas.wait("later", "COMPENSATED");
    assert_eq!(bank.calls(), ["debit execute 1", "debit compensate 1"]);
}

#[test]
fn a_second_process_on_the_folder_is_refused() {
    let scratch = Scratch::new("saga-second");
    let sagas = Sagas::start(&scratch, &[]);
    let port = Port::free().address().to_string();
    let second = run(scratch.path(), &["saga", "serve", "--data", "data", "--listen", &port]);
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    let pid = sagas.process.pid();
    let expect =
        format!("is in use by process {pid}: one process at a time; stop that one, or choose another folder");
    assert!(second.reason().contains(&expect), "{}", second.stderr);
    // The first one is none the worse for it.
    assert_eq!(sagas.client().get("/readyz").unwrap().status(), 200);
    let third = run(
        scratch.path(),
        &["saga", "serve", "--data", "other", "--listen", &sagas.port.address().to_string()],
    );
    assert_eq!(third.code, Some(1));
    assert!(third.reason().contains("choose another address with --listen"), "{}", third.stderr);
}

#[test]
fn a_call_under_way_is_answered_and_noted_before_the_end() {
    let scratch = Scratch::new("saga-drain");
    let mut sagas = Sagas::start(&scratch, &[]);
    let open = Arc::<AtomicBool>::default();
    let is_open = Arc::clone(&open);
    let bank = Participant::start(move |seen| {
        if seen.header("x-saga-step") == "debit" {
            until(Duration::from_secs(4), || is_open.load(SeqCst).then_some(()));
        }
        Reply::With(200, "")
    });
    let steps = [("debit", "COMPENSABLE", bank.url("/a")), ("credit", "PIVOT", bank.url("/c"))];
    sagas.submit(&saga("drained", LONG, &steps));
    bank.wait(1);
    sagas.process.terminate().unwrap();
    sagas.process.wait_line("draining", within(10)).unwrap();
    let ready = Client::new(sagas.admin.address()).get("/readyz").unwrap();
    assert_eq!((ready.status(), ready.text().as_str()), (503, r#"{"status":"draining"}"#));
    open.store(true, SeqCst);
    assert_eq!(sagas.process.wait_exit(within(30)).unwrap().code(), Some(0));
    sagas.process.wait_line("stopped", within(10)).unwrap();
    assert_eq!(bank.calls(), ["debit execute 1"]);
    let sagas = Sagas::start_on((sagas.port, sagas.admin), scratch.path(), &[]);
    sagas.wait("drained", "COMPLETED");
    assert_eq!(bank.calls(), ["debit execute 1", "credit execute 1"]);
    assert_eq!(sagas.stop(), Some(0));
}

#[test]
fn finished_sagas_are_readable_until_their_retention_ends() {
    let scratch = Scratch::new("saga-retention");
    let sagas = Sagas::start(&scratch, &[]);
    let bank = Participant::start(|_| Reply::With(200, ""));
    let body = saga("old", LONG, &[("credit", "PIVOT", bank.url("/c"))]);
    sagas.submit(&body);
    sagas.wait("old", "COMPLETED");
    let sagas = sagas.crash(&scratch, &[]);
    assert_eq!(sagas.get("old")["status"], "COMPLETED");
    let sagas = sagas.crash(&scratch, &["--retention", "1ms"]);
    let gone =
        until(within(30), || (sagas.client().get("/v1/sagas/old").ok()?.status() == 404).then_some(()));
    assert!(gone.is_some());
}

#[test]
fn what_is_wrong_with_the_flags_is_said() {
    let scratch = Scratch::new("saga-flags");
    let check = |args: &[&str], expect: &str| {
        let ended = run(scratch.path(), &[&["saga", "serve"], args].concat());
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expect), "{args:?}: {}", ended.stderr);
    };
    check(&["--attempt-timeout", "0s"], "attempt_timeout must be in 1ms..=3600s");
    check(&["--attempt-timeout", "5"], "a duration needs a unit, such as 5s");
    check(&["--most-attempts", "0"], "a number from 1 to 1000000 is wanted");
    check(&["--listen", "8090"], "--listen");
}
