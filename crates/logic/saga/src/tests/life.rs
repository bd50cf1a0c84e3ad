//! One saga at a time: which calls are made, in which order, and where it ends.

use std::time::Duration;

use super::bench::{LONG, Reply, Script, check, id, open, run_one, submission, timeline, until};
use crate::{Memory, Phase, Status, Store, Submit, SubmitError};

#[tokio::test(start_paused = true)]
async fn steps_run_in_order_and_the_log_tells_it() {
    let script = Script::default().on("c0 execute", [Reply::Output("a")]);
    let view = run_one(&script, "ccpr", None).await;
    check(&view, Status::Completed, "");
    assert_eq!(script.calls(), ["c0 execute 1", "c1 execute 1", "p2 execute 1", "r3 execute 1"]);
    let expect = [
        "CREATED",
        "SENT c0 execute 1",
        "DONE c0 execute 1",
        "SENT c1 execute 1",
        "DONE c1 execute 1",
        "SENT p2 execute 1",
        "DONE p2 execute 1",
        "SENT r3 execute 1",
        "DONE r3 execute 1",
        "COMPLETED",
    ];
    assert_eq!(timeline(&view), expect);
    assert!(view.finished_at.is_some());
    assert_eq!(view.steps[0].output.as_deref(), Some(&b"a"[..]));
    let call = &script.raw_calls()[1];
    assert_eq!((&*call.target, &*call.payload, call.number), ("to", &b"what"[..], 1));
    assert_eq!(call.outputs, [(0, "a".into())]);
    assert_eq!(call.context, [("trace".to_owned(), "t".to_owned())]);
}

/// What is rejected turns the saga; compensation goes backwards, over what was done and not over what was refused.
#[tokio::test(start_paused = true)]
async fn rejections_turn() {
    let check_calls = async |rejects: &str, expect: &[&str]| {
        let script = Script::default().on(rejects, [Reply::Rejected]);
        let view = run_one(&script, "ccpr", None).await;
        check(&view, Status::Compensated, "was rejected: no");
        assert_eq!(script.calls(), expect);
    };
    check_calls("c0 execute", &["c0 execute 1"]).await;
    check_calls("c1 execute", &["c0 execute 1", "c1 execute 1", "c0 compensate 1"]).await;
    let all = ["c0 execute 1", "c1 execute 1", "p2 execute 1", "c1 compensate 1", "c0 compensate 1"];
    check_calls("p2 execute", &all).await;
}

#[tokio::test(start_paused = true)]
async fn unknown_answers_are_asked_again() {
    let again = || [Reply::Unknown, Reply::Silence, Reply::Done];
    let script = Script::default().on("c0 execute", again()).on("p1 execute", again());
    let view = run_one(&script, "cpr", None).await;
    check(&view, Status::Completed, "");
    let calls = script.calls();
    assert_eq!(calls[..3], ["c0 execute 1", "c0 execute 2", "c0 execute 3"]);
    assert_eq!(calls[3..], ["p1 execute 1", "p1 execute 2", "p1 execute 3", "r2 execute 1"]);
    assert_eq!(view.timeline.iter().filter(|entry| entry.what == crate::What::Unknown).count(), 4);
}

/// The deadline turns before the pivot was sent; the step without an answer is undone first.
#[tokio::test(start_paused = true)]
async fn the_deadline_turns_before_the_pivot() {
    let script = Script::default().on("c1 execute", [Reply::Silence]);
    let view = run_one(&script, "ccp", Some(Duration::from_secs(3))).await;
    check(&view, Status::Compensated, "deadline");
    assert_eq!(script.calls(), ["c0 execute 1", "c1 execute 1", "c1 compensate 1", "c0 compensate 1"]);
    let call = &script.raw_calls()[1];
    assert!(call.timeout <= Duration::from_secs(3), "it is cut at the deadline: {:?}", call.timeout);
    let turned = view.timeline.iter().find(|entry| entry.what == crate::What::Turned).unwrap();
    let after = turned.at - view.created_at;
    assert!((3000..3050).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_does_not_turn_behind_the_pivot() {
    let silent = || [Reply::Silence, Reply::Unknown, Reply::Done];
    let deadline = Some(Duration::from_secs(1));
    for (shape, step) in [("cpr", "p1 execute"), ("cpr", "r2 execute"), ("cr", "r1 execute")] {
        let script = Script::default().on(step, silent());
        let view = run_one(&script, shape, deadline).await;
        check(&view, Status::Completed, "");
        assert!(view.finished_at.unwrap() > view.deadline_at.unwrap() + 3000, "{step}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_over_at_a_late_start_turns() {
    let store = Memory::default();
    let sagas = open(&store);
    let submit = Submit { deadline: Some(Duration::from_secs(1)), ..submission("s", "cp") };
    sagas.submit(submit).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let script = Script::default();
    let sagas = open(&store);
    let view = until(&sagas, &script, sagas.wait(&id("s"), LONG)).await.unwrap().unwrap();
    check(&view, Status::Compensated, "deadline");
    assert_eq!(script.calls(), [""; 0], "nothing was sent, so nothing is undone");
}

/// After a crash the attempt goes on counting, and a step that was sent without an answer is undone first.
#[tokio::test(start_paused = true)]
async fn a_crash_after_an_intent() {
    let store = Memory::default();
    let sagas = open(&store);
    let script = Script::default().on("c1 execute", [Reply::Silence]);
    let submit = Submit { deadline: Some(Duration::from_mins(1)), ..submission("s", "ccp") };
    until(&sagas, &script, async {
        sagas.submit(submit).await.unwrap();
        script.called(2).await;
    })
    .await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let sagas = open(&store);
    until(&sagas, &script, script.called(3)).await;
    assert_eq!(script.calls()[2], "c1 execute 2");
    tokio::time::sleep(Duration::from_secs(100)).await;
    let sagas = open(&store);
    let view = until(&sagas, &script, sagas.wait(&id("s"), LONG)).await.unwrap().unwrap();
    check(&view, Status::Compensated, "deadline");
    assert_eq!(script.calls()[3..], ["c1 compensate 1", "c0 compensate 1"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_submission_is_the_same_saga() {
    let store = Memory::default();
    let sagas = open(&store);
    let script = Script::default();
    until(&sagas, &script, async {
        assert!(sagas.submit(submission("s", "cp")).await.unwrap().created);
        assert!(!sagas.submit(submission("s", "cp")).await.unwrap().created);
        let mut other = submission("s", "cp");
        other.plan.fingerprint = [2; 32];
        assert_eq!(sagas.submit(other.clone()).await, Err(SubmitError::Conflict));
        sagas.wait(&id("s"), LONG).await.unwrap();
        assert!(!sagas.submit(submission("s", "cp")).await.unwrap().created, "after its end too");
        assert_eq!(sagas.submit(other).await, Err(SubmitError::Conflict));
    })
    .await;
    assert_eq!(script.calls(), ["c0 execute 1", "p1 execute 1"]);
    let refused = sagas.submit(submission("t", "pc")).await;
    assert!(matches!(refused, Err(SubmitError::Invalid(why)) if why.contains("before the pivot")));
    assert!(store.load(&id("t")).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn steps_of_a_stage_run_side_by_side() {
    let script = Script::default().on("c1 execute", [Reply::Silence]).on("c3 execute", [Reply::Rejected]);
    let view = run_one(&script, "cc+c+cp", None).await;
    check(&view, Status::Compensated, "c3 was rejected");
    let calls = script.calls();
    assert_eq!(calls[..4], ["c0 execute 1", "c1 execute 1", "c2 execute 1", "c3 execute 1"]);
    assert_eq!(calls[4..], ["c1 compensate 1", "c2 compensate 1", "c0 compensate 1"]);
    assert_eq!(view.steps[3].compensate.phase, Phase::Idle, "what was refused is not undone");
}

/// A participant that is away for an hour: its attempts are numbered on, and the log stays short.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_asked_again_for_long_leaves_a_short_log() {
    let script = Script::default().on("p0 execute", [Reply::Unknown]);
    let sagas = open(&Memory::default());
    sagas.submit(submission("s", "p")).await.unwrap();
    until(&sagas, &script, script.called(1000)).await;
    assert_eq!(script.calls()[999], "p0 execute 1000");
    let view = sagas.get(&id("s")).await.unwrap().unwrap();
    assert!(view.timeline.len() < 30, "{}", view.timeline.len());
    assert_eq!(view.steps[0].execute.attempts, 1000);
    // Whoever takes over knows it too.
    until(&sagas, &script, script.called(1001)).await;
    assert_eq!(script.calls()[1000], "p0 execute 1001");
}
