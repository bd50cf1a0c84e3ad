//! A store in memory that a test can hold up, break, and look into.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};

use aqueduct_fsm::{Code, Commit, EventId, EventRow, Fsm, Load, Machine, Options, Store, StoreError, Word};
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Created,
    Paid,
    Shipped,
    Completed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Pay,
    Ship,
    Complete,
    /// Legal while an order is created, and changes nothing but the version.
    Touch,
}

impl Code for State {
    const ALL: &'static [Self] = &[Self::Created, Self::Paid, Self::Shipped, Self::Completed];
    fn code(self) -> u8 {
        self as u8
    }
}

impl Code for Event {
    const ALL: &'static [Self] = &[Self::Pay, Self::Ship, Self::Complete, Self::Touch];
    fn code(self) -> u8 {
        self as u8
    }
}

#[derive(Debug)]
pub(crate) struct Order;

impl Machine for Order {
    type State = State;
    type Event = Event;
    const INITIAL: State = State::Created;
    const TRANSITIONS: &'static [(State, Event, State)] = &[
        (State::Created, Event::Pay, State::Paid),
        (State::Created, Event::Touch, State::Created),
        (State::Paid, Event::Ship, State::Shipped),
        (State::Shipped, Event::Complete, State::Completed),
    ];
}

pub(crate) type Orders = Fsm<Order, Memory>;
pub(crate) type Error = aqueduct_fsm::Error<State>;
pub(crate) type Applied = aqueduct_fsm::Applied<State>;

/// How the store behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    Work,
    /// Wait in `apply` until told otherwise.
    Hold,
    FailApply,
    PanicInApply,
    PanicInCommitted,
    FailReads,
}

#[derive(Debug)]
struct Inner {
    mood: Mood,
    words: HashMap<u64, Word>,
    events: HashMap<(u64, EventId), EventRow>,
    /// `apply` and `committed`, with the keys and the versions.
    log: Vec<(&'static str, Vec<(u64, u64)>)>,
}

/// Both halves, and the test's handle.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Condvar>,
    entered: Arc<watch::Sender<usize>>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let inner =
            Inner { mood: Mood::Work, words: HashMap::new(), events: HashMap::new(), log: Vec::new() };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            changed: Arc::default(),
            entered: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Starts a committer on this store.
    pub(crate) fn start(&self, options: &Options) -> Orders {
        Fsm::start(self.clone(), options).unwrap()
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.inner.lock().unwrap().mood = mood;
        self.changed.notify_all();
    }

    /// Resolves when `apply` was entered for the `n`th time.
    pub(crate) async fn entered(&self, n: usize) {
        self.entered.subscribe().wait_for(|entered| *entered >= n).await.unwrap();
    }

    pub(crate) fn put(&self, key: u64, state: State, version: u64) {
        let word = Word::new(state.code(), version).unwrap();
        self.inner.lock().unwrap().words.insert(key, word);
    }

    pub(crate) fn get(&self, key: u64) -> Option<Word> {
        self.inner.lock().unwrap().words.get(&key).copied()
    }

    pub(crate) fn log(&self) -> Vec<(&'static str, Vec<(u64, u64)>)> {
        self.inner.lock().unwrap().log.clone()
    }

    /// Every version of `key` that was applied, in order.
    pub(crate) fn versions(&self, key: u64) -> Vec<u64> {
        let log = self.log();
        let applied = log.iter().filter(|step| step.0 == "apply").flat_map(|step| step.1.clone());
        applied.filter(|row| row.0 == key).map(|row| row.1).collect()
    }
}

impl Load for Memory {
    fn word(&self, key: u64) -> Result<Option<Word>, StoreError> {
        let inner = self.inner.lock().unwrap();
        if inner.mood == Mood::FailReads {
            Err("bad sector".into())
        } else {
            Ok(inner.words.get(&key).copied())
        }
    }

    fn event(&self, key: u64, id: &EventId) -> Result<Option<EventRow>, StoreError> {
        Ok(self.inner.lock().unwrap().events.get(&(key, *id)).copied())
    }
}

impl Store for Memory {
    type Body = &'static str;
    type Reader = Self;

    fn reader(&self) -> Self {
        self.clone()
    }

    fn apply(&mut self, batch: &[Commit<&'static str>]) -> Result<(), StoreError> {
        self.entered.send_modify(|entered| *entered += 1);
        let inner = self.inner.lock().unwrap();
        let mut inner = self.changed.wait_while(inner, |inner| inner.mood == Mood::Hold).unwrap();
        match inner.mood {
            Mood::FailApply => return Err("no space left on device".into()),
            Mood::PanicInApply => {
                drop(inner); // Not poisoned: the test still looks at it.
                panic!("apply went wrong");
            }
            _ => {}
        }
        for commit in batch {
            assert_eq!(commit.before, inner.words.get(&commit.key).copied(), "a lost or doubled change");
            assert_eq!(commit.body.is_some(), commit.before.is_none());
            inner.words.insert(commit.key, commit.after);
            if let Some((id, row)) = commit.event_row() {
                assert_eq!(inner.events.insert((commit.key, *id), row), None, "an event applied twice");
            }
        }
        inner.log.push(("apply", keys(batch)));
        Ok(())
    }

    fn committed(&mut self, batch: &[Commit<&'static str>]) {
        let mut inner = self.inner.lock().unwrap();
        if inner.mood == Mood::PanicInCommitted {
            drop(inner);
            panic!("committed went wrong");
        }
        inner.log.push(("committed", keys(batch)));
    }
}

fn keys(batch: &[Commit<&'static str>]) -> Vec<(u64, u64)> {
    batch.iter().map(|commit| (commit.key, commit.after.version())).collect()
}

/// Applied for the first time.
pub(crate) fn applied(state: State, version: u64) -> Applied {
    Applied { state, version, repeated: false }
}

/// Applied before.
pub(crate) fn repeated(state: State, version: u64) -> Applied {
    Applied { state, version, repeated: true }
}

pub(crate) fn id(text: &str) -> Option<EventId> {
    let id = EventId::new(text);
    assert!(id.is_some(), "{text:?} is no event id");
    id
}
