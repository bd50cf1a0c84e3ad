//! What every store promises, asked of those that are here.

use std::time::Duration;

use super::bench::id;
use crate::store::{Append, Change, Creation, Header, New, Store};
use crate::{Filter, Memory, Millis, Status, Summary};

const LEASE: Duration = Duration::from_secs(10);

fn new(name: &str, due_at: Millis) -> New {
    let summary = Summary {
        id: id(name),
        status: Status::Running,
        reason: String::new(),
        definition: "d".into(),
        created_at: due_at,
        deadline_at: None,
        finished_at: None,
    };
    let header = Header { summary, epoch: 0, seq: 1, due_at: Some(due_at), fingerprint: [7; 32] };
    New { header, row: b"first".to_vec() }
}

fn change(name: &str, epoch: u64, seq: u64, status: Status) -> Change {
    Change {
        id: id(name),
        epoch,
        seq,
        row: format!("row {epoch}.{seq}").into_bytes(),
        drops: Vec::new(),
        status,
        reason: "r".into(),
        due_at: None,
        finished_at: status.is_terminal().then_some(5),
    }
}

async fn check(store: impl Store) {
    let now = store.now();
    assert_eq!(store.create(new("b", now)).await, Ok(Creation::Created));
    assert_eq!(store.create(new("b", now)).await, Ok(Creation::Exists([7; 32])));
    assert_eq!(store.create(new("a", now - 5)).await, Ok(Creation::Created));
    assert_eq!(store.create(new("c", now + 100_000)).await, Ok(Creation::Created));

    // What is due, longest first, and to one claimer only.
    let claimed = store.claim(1, LEASE).await.unwrap();
    assert_eq!(claimed[0].header.summary.id, id("a"));
    assert_eq!((claimed[0].header.epoch, claimed[0].header.seq), (1, 1));
    assert_eq!(claimed[0].log, [(1, b"first".to_vec())]);
    assert_eq!(store.claim(9, LEASE).await.unwrap()[0].header.summary.id, id("b"));
    assert_eq!(store.claim(9, LEASE).await, Ok(Vec::new()));

    // A lease that is over: whoever had it cannot write any more.
    store.renew(vec![(id("a"), 1), (id("b"), 9)], store.now()).await.unwrap();
    let again = store.claim(9, LEASE).await.unwrap();
    assert_eq!(
        again.iter().map(|saga| (&saga.header.summary.id, saga.header.epoch)).collect::<Vec<_>>(),
        [(&id("a"), 2)]
    );
    assert_eq!(store.append(change("a", 1, 1, Status::Completed)).await, Ok(Append::Lost));
    assert_eq!(store.append(change("a", 2, 0, Status::Completed)).await, Ok(Append::Lost));
    assert_eq!(store.append(change("a", 2, 2, Status::Completed)).await, Ok(Append::Lost));
    assert_eq!(store.append(change("none", 0, 1, Status::Completed)).await, Ok(Append::Lost));
    assert_eq!(store.append(change("a", 2, 1, Status::Parked)).await, Ok(Append::Applied));
    let stored = store.load(&id("a")).await.unwrap().unwrap();
    assert_eq!(stored.log, [(1, b"first".to_vec()), (2, b"row 2.1".to_vec())]);
    assert_eq!((stored.header.seq, stored.header.due_at), (2, None));
    assert_eq!(store.renew(vec![(id("a"), 2)], 0).await, Ok(()), "a parked one stays so");
    assert_eq!(store.claim(9, LEASE).await, Ok(Vec::new()));

    let figures = store.figures().await.unwrap();
    assert_eq!((figures.running, figures.compensating, figures.parked), (2, 0, 1));
    assert_eq!(figures.oldest, Some(now - 5));
    let stuck = store.list(&Filter { stuck: true, ..Filter::default() }).await.unwrap();
    assert_eq!(stuck, std::slice::from_ref(&stored.header.summary));

    let last = Change { drops: vec![2], ..change("a", 2, 2, Status::Abandoned) };
    assert_eq!(store.append(last).await, Ok(Append::Applied));
    let stored = store.load(&id("a")).await.unwrap().unwrap();
    assert_eq!(stored.log.iter().map(|row| row.0).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(store.create(new("a", 0)).await, Ok(Creation::Exists([7; 32])), "also after its end");
    assert_eq!(store.append(change("a", 2, 3, Status::Completed)).await, Ok(Append::Lost));
    let all = store.list(&Filter { after: Some(id("a")), ..Filter::default() }).await.unwrap();
    assert_eq!(all.iter().map(|saga| saga.id.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    let ended = store.list(&Filter { status: Some(Status::Abandoned), ..Filter::default() }).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!((store.forget(5, 9).await, store.forget(6, 9).await), (Ok(0), Ok(1)));
    assert_eq!(store.load(&id("a")).await, Ok(None));
}

#[tokio::test]
async fn memory() {
    let store = Memory::default();
    check(store.clone()).await;
    // The answer to a change was lost, and it is asked for again; another one with its number is not it.
    store.claim(9, LEASE).await.unwrap();
    let change = change("b", 1, 1, Status::Parked);
    assert_eq!(store.append(change.clone()).await, Ok(Append::Applied));
    assert_eq!(store.append(change.clone()).await, Ok(Append::Applied));
    assert_eq!(store.append(Change { row: b"other".to_vec(), ..change }).await, Ok(Append::Lost));
    assert_eq!(store.load(&id("b")).await.unwrap().unwrap().log.len(), 2);
}

#[cfg(feature = "fjall")]
#[tokio::test]
async fn fjall() {
    let folder = tempfile::tempdir().unwrap();
    check(crate::fjall::Fjall::open(folder.path(), crate::Clock::system()).unwrap()).await;
}
