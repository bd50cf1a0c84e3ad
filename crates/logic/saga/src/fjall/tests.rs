use super::*;
use crate::tests::bench::{LONG, Reply, Script, check, id, submission, timeline, until};
use crate::{Coordinator, Options, SubmitError};

fn open(folder: &Path) -> Coordinator<Fjall> {
    let store = Fjall::open(folder, Clock::system()).unwrap();
    Coordinator::open(store, Options::default()).unwrap()
}

#[tokio::test]
async fn sagas_end_and_are_read_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let sagas = open(folder.path());
    let script = Script::default();
    until(&sagas, &script, async {
        for number in 0..200 {
            sagas.submit(submission(&format!("s{number}"), "cp")).await.unwrap();
        }
        for number in 0..200 {
            let view = sagas.wait(&id(&format!("s{number}")), LONG).await.unwrap();
            check(&view.unwrap(), Status::Completed, "");
        }
    })
    .await;
    drop(sagas);
    let sagas = open(folder.path());
    let view = sagas.get(&id("s7")).await.unwrap().unwrap();
    check(&view, Status::Completed, "");
    assert_eq!(view.timeline.len(), 6);
    assert!(!sagas.submit(submission("s7", "cp")).await.unwrap().created);
    let mut other = submission("s7", "cp");
    other.plan.fingerprint = [9; 32];
    assert_eq!(sagas.submit(other).await, Err(SubmitError::Conflict));
    let all = sagas.list(Filter { limit: 1000, ..Filter::default() }).await.unwrap();
    assert_eq!(all.len(), 200);
    let page =
        Filter { after: Some(id("s198")), status: Some(Status::Completed), limit: 2, ..Filter::default() };
    let page = sagas.list(page).await.unwrap();
    assert_eq!(page.iter().map(|saga| saga.id.as_str()).collect::<Vec<_>>(), ["s199", "s2"]);
}

/// Acknowledged and then gone: the next process goes on where it was, with the next attempt.
#[tokio::test]
async fn what_was_under_way_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::default().on("c1 execute", [Reply::Silence, Reply::Done]);
    let sagas = open(folder.path());
    until(&sagas, &script, async {
        sagas.submit(submission("s", "ccp")).await.unwrap();
        script.called(2).await;
    })
    .await;
    sagas.submit(submission("t", "r")).await.unwrap();
    drop(sagas);
    let sagas = open(folder.path());
    for name in ["s", "t"] {
        let view = until(&sagas, &script, sagas.wait(&id(name), LONG)).await.unwrap().unwrap();
        check(&view, Status::Completed, "");
    }
    let calls = script.calls();
    assert_eq!(calls[..2], ["c0 execute 1", "c1 execute 1"]);
    assert!(calls.contains(&"c1 execute 2".to_owned()), "{calls:?}");
}

#[tokio::test]
async fn a_folder_has_one_user_and_one_format() {
    let folder = tempfile::tempdir().unwrap();
    let store = Fjall::open(folder.path(), Clock::system()).unwrap();
    let refused = Fjall::open(folder.path(), Clock::system()).unwrap_err().to_string();
    assert!(refused.contains(&format!("in use by process {}", std::process::id())), "{refused}");
    drop(store);
    std::fs::write(folder.path().join("FORMAT"), "aqueduct-saga 2\n").unwrap();
    let refused = Fjall::open(folder.path(), Clock::system()).unwrap_err().to_string();
    assert!(refused.contains("aqueduct-saga 2") && refused.contains("aqueduct-saga 1"), "{refused}");
}

#[tokio::test]
async fn damaged_rows_park_their_sagas_and_the_rest_run() {
    let folder = tempfile::tempdir().unwrap();
    let sagas = open(folder.path());
    for name in ["header", "log", "good"] {
        sagas.submit(submission(name, "cp")).await.unwrap();
    }
    let database = sagas.shared.store.0.database.clone();
    drop(sagas);
    for (keyspace, key) in
        [("saga_headers", b"header".to_vec()), ("saga_log", b"log\0\0\0\0\0\0\0\0\x01".to_vec())]
    {
        let keyspace = database.keyspace(keyspace, ::fjall::KeyspaceCreateOptions::default).unwrap();
        assert!(keyspace.get(&key).unwrap().is_some());
        keyspace.insert(key, "garbage").unwrap();
    }
    drop(database);
    let sagas = open(folder.path());
    let script = Script::default();
    until(&sagas, &script, async {
        let good = sagas.wait(&id("good"), LONG).await.unwrap().unwrap();
        check(&good, Status::Completed, "");
        let stuck = crate::tests::bench::stuck(&sagas, 1).await;
        let reasons: Vec<_> = stuck.iter().map(|saga| (saga.id.as_str(), &*saga.reason)).collect();
        assert_eq!(reasons, [("log", "its log is damaged")]);
        // Where only the header was damaged, the log told how to go on.
        let view = sagas.wait(&id("header"), LONG).await.unwrap().unwrap();
        check(&view, Status::Completed, "");
        sagas.abandon(&id("log"), "ann").await.unwrap();
        let view = sagas.get(&id("log")).await.unwrap().unwrap();
        assert_eq!(timeline(&view), ["DAMAGED", "PARKED", "ABANDONED"]);
    })
    .await;
}

#[tokio::test]
async fn what_ended_is_forgotten_when_its_retention_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = Fjall::open(folder.path(), Clock::system()).unwrap();
    let sagas = Coordinator::open(store.clone(), Options::default()).unwrap();
    let script = Script::default().on("r1 execute", [Reply::Unknown]);
    until(&sagas, &script, async {
        for number in 0..5 {
            sagas.submit(submission(&format!("s{number}"), "cp")).await.unwrap();
            sagas.wait(&id(&format!("s{number}")), LONG).await.unwrap();
        }
        sagas.submit(submission("open", "cr")).await.unwrap();
        script.called(11).await;
    })
    .await;
    let later = store.now() + 1;
    assert_eq!(store.forget(later, 3).await, Ok(3));
    assert_eq!(store.forget(later, 3).await, Ok(2));
    assert_eq!(store.forget(later, 3).await, Ok(0));
    assert_eq!(sagas.get(&id("s0")).await, Ok(None));
    assert!(sagas.get(&id("open")).await.unwrap().is_some());
    assert_eq!(store.0.rows.list(&Filter::default()).unwrap().len(), 1);
    assert!(sagas.submit(submission("s0", "cp")).await.unwrap().created, "forgotten is unknown");
}

#[test]
fn headers_come_back_as_they_were() {
    let summary = Summary {
        id: id("x"),
        status: Status::Compensated,
        reason: "because".into(),
        definition: "transfer".into(),
        created_at: 5,
        deadline_at: Some(0),
        finished_at: Some(1 << 60),
    };
    let header = crate::store::Header { summary, epoch: 300, seq: 2, due_at: None, fingerprint: [3; 32] };
    let bytes = header::encode(&header);
    assert_eq!(header::decode(id("x"), &bytes), Some(header));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        assert_eq!(header::decode(id("x"), &flipped), None);
    }
}
