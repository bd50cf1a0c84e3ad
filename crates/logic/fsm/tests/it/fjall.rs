//! The rows in fjall: what is acknowledged is there after a restart, events included.

use std::path::Path;

use aqueduct_fsm::{EventId, Fsm, Load, Options, Word, fjall::Rows};

use crate::orders::{Event, Order, Orders, State};

fn start(folder: &Path) -> Fsm<Order, Orders> {
    Fsm::start(Orders::open(folder).unwrap(), &Options::default()).unwrap()
}

async fn stop(orders: Fsm<Order, Orders>) {
    orders.close().await.unwrap();
}

#[tokio::test]
async fn event_ids_are_idempotent_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let orders = start(folder.path());
    orders.create(1, b"one".to_vec()).await.unwrap();
    orders.transition(1, Event::Pay, EventId::new("p")).await.unwrap();
    stop(orders).await;

    let orders = start(folder.path());
    let again = orders.transition(1, Event::Pay, EventId::new("p")).await.unwrap();
    assert_eq!((again.state, again.version, again.repeated), (State::Paid, 2, true));
    let reused = orders.transition(1, Event::Ship, EventId::new("p")).await;
    assert!(matches!(reused, Err(aqueduct_fsm::Error::EventReused { version: 2 })), "{reused:?}");
    let ship = orders.transition(1, Event::Ship, EventId::new("s")).await.unwrap();
    assert_eq!((ship.state, ship.version, ship.repeated), (State::Shipped, 3, false));
    assert!(matches!(orders.create(1, Vec::new()).await, Err(aqueduct_fsm::Error::Exists)));
    stop(orders).await;
}

/// A copy of the files, taken between an answer and the next call, holds what was answered.
#[tokio::test]
async fn what_was_answered_is_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let orders = start(folder.path());
    for key in 1..=3 {
        orders.create(key, vec![b'x'; 100]).await.unwrap();
        orders.transition(key, Event::Pay, EventId::new(format!("pay {key}"))).await.unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let database = ::fjall::Database::builder(copy.path()).open().unwrap();
        let rows = Rows::open(&database).unwrap();
        assert_eq!(rows.word(key).unwrap(), Word::new(State::Paid as u8, 2));
        let row = rows.event(key, &EventId::new(format!("pay {key}")).unwrap()).unwrap().unwrap();
        assert_eq!((row.event, row.version), (Event::Pay as u8, 2));
    }
    stop(orders).await;
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn damaged_rows_are_errors_not_words() {
    let folder = tempfile::tempdir().unwrap();
    let database = ::fjall::Database::builder(folder.path()).open().unwrap();
    let rows = Rows::open(&database).unwrap();
    let keyspace = |name| database.keyspace(name, Default::default).unwrap();
    keyspace("words").insert(1u64.to_be_bytes(), [0; 7]).unwrap();
    keyspace("words").insert(2u64.to_be_bytes(), [0; 8]).unwrap();
    keyspace("events").insert([&3u64.to_be_bytes()[..], b"id"].concat(), [1; 8]).unwrap();
    assert_eq!(rows.word(1).unwrap_err().to_string(), "the word of 1 is damaged");
    assert_eq!(rows.word(2).unwrap_err().to_string(), "the word of 2 is damaged");
    assert!(rows.event(3, &EventId::new("id").unwrap()).is_err());
    assert_eq!(rows.word(4).unwrap(), None);
    aqueduct_fsm::fjall::probe(&database).unwrap();
}
