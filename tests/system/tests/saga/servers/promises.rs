//! What the store promises of creations and transitions that come at once, and so are one transaction: each has its own answer.

use aqueduct_runtime::task;
use aqueduct_saga::mysql::Mysql;
use aqueduct_saga::store::{Append, Change, Creation, Header, New};
use aqueduct_saga::{Millis, SagaId, Status, Store as _, StoreError, Summary};
use futures_util::future::{join, join_all};

use super::bank::{Site, in_time};

type Answer = Result<Append, StoreError>;

/// Due long after the test.
const LATER: Millis = 1 << 50;

fn new(name: &str, fingerprint: u8) -> New {
    let summary = Summary {
        id: SagaId::new(name).unwrap(),
        status: Status::Running,
        reason: String::new(),
        definition: "d".into(),
        created_at: 1,
        deadline_at: Some(2),
        finished_at: None,
    };
    let header = Header { summary, epoch: 1, seq: 1, due_at: Some(LATER), fingerprint: [fingerprint; 32] };
    New { header, row: b"first".to_vec() }
}

fn change(name: &str, epoch: u64, seq: u64, status: Status) -> Change {
    Change {
        id: SagaId::new(name).unwrap(),
        epoch,
        seq,
        row: format!("row {epoch}.{seq}").into_bytes(),
        drops: Vec::new(),
        status,
        reason: format!("it's {seq}"),
        due_at: Some(LATER + seq),
        finished_at: status.is_terminal().then_some(5),
    }
}

async fn store(site: &Site) -> Mysql {
    let (store, writing) = Mysql::open(site.pool("sagas")).await.unwrap();
    drop(task::spawn("saga-writing", writing.run()));
    store
}

#[tokio::test]
async fn what_does_not_fit_is_refused_alone() {
    let site = Site::start("saga-promises");
    let store = store(&site).await;
    let running = Status::Running;
    let created = join_all(["a", "b", "c", "e", "f"].map(|name| store.create(new(name, 7))));
    assert_eq!(in_time(created).await, vec![Ok(Creation::Created); 5]);

    let changes = [
        change("a", 1, 1, running),
        // Of an older claim, of a transition that is none, of a saga that is none.
        change("b", 0, 1, running),
        change("c", 1, 5, running),
        change("none", 1, 1, running),
        change("e", 1, 1, Status::Compensated),
    ];
    let creations = [new("d", 7), new("f", 8)];
    let at_once = join(
        join_all(changes.map(|change| store.append(change))),
        join_all(creations.map(|new| store.create(new))),
    );
    let (appended, created) = in_time(at_once).await;
    let (applied, lost): (Answer, Answer) = (Ok(Append::Applied), Ok(Append::Lost));
    assert_eq!(appended, [applied.clone(), lost.clone(), lost.clone(), lost.clone(), applied.clone()]);
    assert_eq!(created, [Ok(Creation::Created), Ok(Creation::Exists([7; 32]))]);

    let all = ["a", "b", "c", "d", "e", "none"].map(|name| SagaId::new(name).unwrap());
    let loaded = in_time(join_all(all.iter().map(|id| store.load(id)))).await;
    let loaded: Vec<_> = loaded.into_iter().map(Result::unwrap).collect();
    let rows = |at: usize| loaded[at].as_ref().unwrap().log.iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(
        [rows(0), rows(1), rows(2), rows(3), rows(4)],
        [vec![1, 2], vec![1], vec![1], vec![1], vec![1, 2]]
    );
    assert_eq!(loaded[5], None);
    let New { header, .. } = new("a", 7);
    let reason = "it's 1".to_owned();
    let summary = Summary { reason, ..header.summary.clone() };
    assert_eq!(
        loaded[0].as_ref().unwrap().header,
        Header { summary, seq: 2, due_at: Some(LATER + 1), ..header }
    );
    assert_eq!(loaded[4].as_ref().unwrap().header.summary.finished_at, Some(5));

    // Once more, since the answer was lost; another one; one after the end.
    let again = [
        (change("a", 1, 1, running), applied.clone()),
        (Change { row: b"other".to_vec(), ..change("a", 1, 1, running) }, lost.clone()),
        (change("e", 1, 1, Status::Compensated), applied.clone()),
        (change("e", 1, 2, running), lost.clone()),
    ];
    for (change, expect) in again {
        assert_eq!(in_time(store.append(change.clone())).await, expect, "{change:?}");
    }
    // One after the other, though they come together.
    let both = join(
        store.append(change("a", 1, 2, running)),
        store.append(Change { drops: vec![3], ..change("a", 1, 3, Status::Completed) }),
    );
    assert_eq!(in_time(both).await, (applied.clone(), applied));
    let end = in_time(store.load(&all[0])).await.unwrap().unwrap();
    assert_eq!(end.log.iter().map(|row| row.0).collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!((end.header.seq, end.header.summary.status), (4, Status::Completed));
}
