//! Load that keeps books: what was acknowledged, and the one thing that was asked for last and never answered.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use aqueduct_kit::process::within;
use aqueduct_kit::{Response, until};

use crate::shop::{EVENTS, Order, Shop, status_at};

/// Clients that create orders and move them on, each as fast as it is answered, until the server goes away.
#[derive(Debug)]
pub(crate) struct Load {
    clients: Vec<JoinHandle<Books>>,
    acknowledged: Arc<AtomicUsize>,
}

/// What one client knows.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) user: i64,
    /// Its orders, each with the highest version that was acknowledged.
    pub(crate) orders: Vec<Entry>,
    /// Whether the very last request created an order and was not answered.
    pub(crate) creating: bool,
    /// How the client ended.
    pub(crate) end: Option<End>,
}

/// One order as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: i64,
    pub(crate) acknowledged: usize,
    /// Whether the next event was asked for and not answered.
    pub(crate) asked: bool,
}

/// How a client's last request ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The connection was closed or refused before the first byte of an answer.
    Unanswered(io::Error),
    /// Something else was answered: its status and text.
    Refused(String),
}

impl Entry {
    /// The id of the event that leads to the version after `version`.
    fn event_id(&self, version: usize) -> String {
        format!("{}-{version}", self.id)
    }
}

impl Load {
    /// Starts as many clients, each a user of its own from `first_user` on.
    pub(crate) fn start(edge: SocketAddr, clients: usize, first_user: i64) -> Self {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let client = |user: i64| {
            let acknowledged = Arc::clone(&acknowledged);
            thread::spawn(move || work(edge, user, &acknowledged))
        };
        Self { clients: (first_user..).take(clients).map(client).collect(), acknowledged }
    }

    /// Waits until so many answers have come in.
    pub(crate) fn wait_acknowledged(&self, count: usize) {
        let enough = || (self.acknowledged.load(Relaxed) >= count).then_some(());
        assert!(until(within(60), enough).is_some(), "fewer than {count} answers in a minute");
    }

    /// Waits for clients whose server has gone, and takes their books.
    pub(crate) fn end(self) -> Vec<Books> {
        self.clients.into_iter().map(|client| client.join().unwrap()).collect()
    }
}

fn work(edge: SocketAddr, user: i64, acknowledged: &AtomicUsize) -> Books {
    let mut shop = Shop::new(edge);
    let mut books = Books { user, ..Books::default() };
    let end = loop {
        if let Err(end) = one_order(&mut shop, &mut books, acknowledged) {
            break end;
        }
    };
    books.end = Some(end);
    books
}

/// Creates an order and moves it to its end, or every fourth one only half way.
fn one_order(shop: &mut Shop, books: &mut Books, acknowledged: &AtomicUsize) -> Result<(), End> {
    books.creating = true;
    let created = answered(shop.try_create(books.user), acknowledged)?;
    books.creating = false;
    assert_eq!(created.version, 1, "{created:?}");
    books.orders.push(Entry { id: created.id, acknowledged: 1, asked: false });
    let events = if books.orders.len().is_multiple_of(4) { 1 } else { EVENTS.len() };
    for event in &EVENTS[..events] {
        let entry = books.orders.last_mut().unwrap();
        entry.asked = true;
        let moved =
            answered(shop.try_event(entry.id, event, &entry.event_id(entry.acknowledged)), acknowledged)?;
        assert_eq!((moved.id, moved.version), (entry.id, entry.acknowledged + 1), "versions are contiguous");
        entry.acknowledged = moved.version;
        entry.asked = false;
    }
    Ok(())
}

fn answered(answer: io::Result<Response>, acknowledged: &AtomicUsize) -> Result<Order, End> {
    let answer = answer.map_err(End::Unanswered)?;
    if answer.status() != 200 {
        return Err(End::Refused(format!("{} {}", answer.status(), answer.text())));
    }
    acknowledged.fetch_add(1, Relaxed);
    Ok(Order::read(&answer.json()))
}

/// What must hold of a restarted server: everything acknowledged is there, in a legal state, and nothing but what was
/// asked for last may have happened besides. Retrying that with its event id brings it about exactly once.
pub(crate) fn check_books(shop: &mut Shop, all: &[Books]) {
    for books in all {
        let mut found = shop.list(books.user, 500);
        found.reverse();
        let known: Vec<i64> = books.orders.iter().map(|entry| entry.id).collect();
        let listed: Vec<i64> = found.iter().map(|order| order.id).collect();
        assert_eq!(listed[..known.len().min(listed.len())], known[..], "user {}", books.user);
        let extra = &found[known.len()..];
        assert!(extra.len() <= usize::from(books.creating), "orders that nobody asked for: {extra:?}");
        assert!(extra.iter().all(|order| order.version == 1), "{extra:?}");
        for (entry, listed) in books.orders.iter().zip(&found) {
            assert_eq!(shop.get(entry.id), *listed, "read and listed");
            check_entry(shop, entry, listed);
        }
    }
}

fn check_entry(shop: &mut Shop, entry: &Entry, found: &Order) {
    let most = entry.acknowledged + usize::from(entry.asked);
    assert!((entry.acknowledged..=most).contains(&found.version), "{entry:?} is {found:?}");
    if entry.asked {
        let event = EVENTS[entry.acknowledged - 1];
        for _ in 0..2 {
            let retried = shop.event(entry.id, event, &entry.event_id(entry.acknowledged));
            assert_eq!(retried.version, most, "the same event a second time: {entry:?}");
        }
        assert_eq!(shop.get(entry.id).status, status_at(most));
    }
}

/// Every id that is known from the books.
pub(crate) fn ids(all: &[Books]) -> impl Iterator<Item = i64> {
    all.iter().flat_map(|books| books.orders.iter().map(|entry| entry.id))
}

/// Collects what any thread finds wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<String>>);

impl Faults {
    pub(crate) fn add(&self, fault: String) {
        self.0.lock().unwrap().push(fault);
    }

    pub(crate) fn assert_none(&self) {
        let faults = self.0.lock().unwrap();
        assert!(faults.is_empty(), "{} faults, such as: {}", faults.len(), faults[0]);
    }
}
