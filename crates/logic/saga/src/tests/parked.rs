//! Parked sagas: what parks one, that it slows no other, and what somebody may decide.

use super::bench::{LONG, Reply, Script, check, id, open, plan, run_parked, submission, timeline, until};
use crate::{Definition, Filter, Memory, OperateError, Plan, Status, Submit, What};

#[tokio::test(start_paused = true)]
async fn thirty_failures_of_what_must_succeed_park() {
    for step in ["r2 execute", "c0 compensate"] {
        let script = Script::default().on(step, [Reply::Unknown]);
        let script = if step == "r2 execute" { script } else { script.on("p1 execute", [Reply::Rejected]) };
        let (_, view) = run_parked(&script, "cpr").await;
        check(&view, Status::Parked, "failed 30 times: eh");
        let sends = script.calls().iter().filter(|call| call.starts_with(step)).count();
        assert_eq!(sends, 30);
        assert_eq!(*script.calls().last().unwrap(), format!("{step} 30"));
        assert_eq!(view.finished_at, None);
    }
}

#[tokio::test(start_paused = true)]
async fn rejections_of_what_must_succeed_park_at_once() {
    let script = Script::default().on("r2 execute", [Reply::Rejected]);
    let (_, view) = run_parked(&script, "cpr").await;
    check(&view, Status::Parked, "execute of r2 was rejected: no");
    assert_eq!(script.calls(), ["c0 execute 1", "p1 execute 1", "r2 execute 1"]);

    let script = Script::default().on("p1 execute", [Reply::Rejected]).on("c0 compensate", [Reply::Rejected]);
    let (_, view) = run_parked(&script, "cp").await;
    check(&view, Status::Parked, "compensate of c0 was rejected: no");
}

#[tokio::test(start_paused = true)]
async fn panics_and_garbage_park_and_harm_nobody_else() {
    for (reply, reason) in [(Reply::Panic, "it panicked: ouch"), (Reply::Broken, "garbage")] {
        let script = Script::default().on("c0 execute", [reply]);
        let (sagas, view) = run_parked(&script, "cp").await;
        check(&view, Status::Parked, reason);
        let other = Script::default();
        until(&sagas, &other, async {
            sagas.submit(submission("other", "cp")).await.unwrap();
            let view = sagas.wait(&id("other"), LONG).await.unwrap().unwrap();
            check(&view, Status::Completed, "");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn retry_begins_the_failures_anew_and_goes_on_counting_attempts() {
    let script = Script::default().on("r1 execute", [Reply::Unknown]);
    let (sagas, _) = run_parked(&script, "cr").await;
    until(&sagas, &script, async {
        sagas.retry(&id("s"), "ann").await.unwrap();
        let again = sagas.retry(&id("s"), "ann").await.unwrap_err();
        assert_eq!(again.to_string(), "only a parked saga can be retried, and this one is RUNNING");
        script.called(61).await;
    })
    .await;
    assert_eq!(script.calls()[30], "r1 execute 30");
    assert_eq!(script.calls()[31], "r1 execute 31");
    assert_eq!(script.calls()[60], "r1 execute 60");
    let view = sagas.get(&id("s")).await.unwrap().unwrap();
    let retried = view.timeline.iter().find(|entry| entry.what == What::Retried).unwrap();
    assert_eq!(retried.detail, "ann");
}

#[tokio::test(start_paused = true)]
async fn skip_goes_on_as_if_it_were_done() {
    let script = Script::default().on("r1 execute", [Reply::Rejected]);
    let (sagas, _) = run_parked(&script, "crr").await;
    let view = until(&sagas, &script, async {
        sagas.skip(&id("s"), "ann").await.unwrap();
        sagas.wait(&id("s"), LONG).await.unwrap().unwrap()
    })
    .await;
    check(&view, Status::Completed, "");
    assert_eq!(script.calls(), ["c0 execute 1", "r1 execute 1", "r2 execute 1"]);

    let script = Script::default().on("p2 execute", [Reply::Rejected]).on("c1 compensate", [Reply::Rejected]);
    let (sagas, _) = run_parked(&script, "ccp").await;
    let view = until(&sagas, &script, async {
        sagas.skip(&id("s"), "ann").await.unwrap();
        sagas.wait(&id("s"), LONG).await.unwrap().unwrap()
    })
    .await;
    check(&view, Status::Compensated, "p2 was rejected: no");
    assert_eq!(*script.calls().last().unwrap(), "c0 compensate 1");
    let lines = timeline(&view);
    assert_eq!(
        lines[lines.len() - 4..],
        ["SKIPPED", "SENT c0 compensate 1", "DONE c0 compensate 1", "COMPENSATED"]
    );
}

#[tokio::test(start_paused = true)]
async fn abandon_ends_it() {
    let script = Script::default().on("r1 execute", [Reply::Rejected]);
    let (sagas, _) = run_parked(&script, "cr").await;
    sagas.abandon(&id("s"), "ann").await.unwrap();
    let view = sagas.get(&id("s")).await.unwrap().unwrap();
    check(&view, Status::Abandoned, "abandoned by ann: execute of r1 was rejected: no");
    assert!(view.finished_at.is_some());
    for (wanted, decided) in [
        ("retried", sagas.retry(&id("s"), "x").await),
        ("skipped", sagas.skip(&id("s"), "x").await),
        ("abandoned", sagas.abandon(&id("s"), "x").await),
    ] {
        assert_eq!(decided, Err(OperateError::NotParked { wanted, status: Status::Abandoned }));
    }
    assert_eq!(sagas.retry(&id("none"), "x").await, Err(OperateError::NotFound));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_definition_is_parked_and_not_run() {
    let script = Script::default();
    let sagas = open(&Memory::default());
    let definition = Definition::Typed { name: "transfer".into(), hash: [0xab; 32], input: "1".into() };
    let submit = Submit { plan: Plan { definition, ..plan("cp") }, ..submission("s", "cp") };
    until(&sagas, &script, async {
        sagas.submit(submit).await.unwrap();
        let view = super::bench::parked(&sagas).await;
        check(&view, Status::Parked, "unknown here: transfer with hash abababab…");
        let skip = sagas.skip(&id("s"), "x").await;
        assert_eq!(skip, Err(OperateError::NothingToSkip), "there is nothing to skip");
    })
    .await;
    assert_eq!(script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_row_parks_its_saga_and_the_rest_run() {
    let (store, script) = (Memory::default(), Script::default());
    let sagas = open(&store);
    for name in ["bad", "good"] {
        sagas.submit(submission(name, "cp")).await.unwrap();
    }
    store.damage(&id("bad"), 1);
    until(&sagas, &script, async {
        let good = sagas.wait(&id("good"), LONG).await.unwrap().unwrap();
        check(&good, Status::Completed, "");
        let stuck = super::bench::stuck(&sagas, 1).await;
        assert_eq!((stuck[0].id.as_str(), &*stuck[0].reason), ("bad", "its log is damaged"));
        let view = sagas.get(&id("bad")).await.unwrap().unwrap();
        assert_eq!(timeline(&view), ["DAMAGED", "PARKED"]);
        // It is looked at again, and is still damaged.
        assert_eq!(sagas.skip(&id("bad"), "x").await, Err(OperateError::NothingToSkip));
        sagas.retry(&id("bad"), "x").await.unwrap();
        super::bench::stuck(&sagas, 1).await;
        sagas.abandon(&id("bad"), "x").await.unwrap();
        assert_eq!(sagas.list(Filter { stuck: true, ..Filter::default() }).await.unwrap(), []);
    })
    .await;
    assert_eq!(script.calls(), ["c0 execute 1", "p1 execute 1"], "those of the good one");
}
