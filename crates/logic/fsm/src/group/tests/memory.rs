//! A database in memory: rows, their locks, and what shall go wrong next.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use crate::event::EventId;
use crate::group::{Database, Fault, Found, Known, Locking, Row, Transaction, Writes};
use crate::machine::Code as _;
use crate::testing::Event;

/// How long a lock is waited for.
pub(super) const WAIT: Duration = Duration::from_millis(50);
/// How long each step takes.
const STEP: Duration = Duration::from_millis(1);

/// What goes wrong with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    Nothing,
    Conflict,
    Away,
    /// The reply to COMMIT is lost, and it was made.
    LostMade,
    /// And it was not.
    LostUnmade,
}

#[derive(Debug)]
pub(super) struct Failed(&'static str);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failed {}

/// A version of an entity: its state, and the event (`None` at creation) with its id.
type Version = (u8, Option<(u8, EventId)>);
/// From version 1 on.
type History = Vec<Version>;

#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    unlocked: Notify,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<u64, History>,
    locks: HashSet<u64>,
    next: VecDeque<Mishap>,
    always: Option<Mishap>,
    poisoned: HashSet<u64>,
    damaged: HashSet<u64>,
    moving: HashSet<u64>,
    begun: Vec<Instant>,
    committed: usize,
    last_locks: Vec<u64>,
    doubted: Vec<u64>,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// What goes wrong with the next transactions, one each.
    pub(super) fn next(&self, mishaps: &[Mishap]) {
        self.state().next.extend(mishaps);
    }

    /// What goes wrong with all that come after those.
    pub(super) fn always(&self, mishap: Option<Mishap>) {
        self.state().always = mishap;
    }

    pub(super) fn poison(&self, key: u64) {
        self.state().poisoned.insert(key);
    }

    pub(super) fn damage(&self, key: u64) {
        self.state().damaged.insert(key);
    }

    /// It is never as it was found.
    pub(super) fn moving(&self, key: u64) {
        self.state().moving.insert(key);
    }

    pub(super) fn begun(&self) -> Vec<Instant> {
        self.state().begun.clone()
    }

    pub(super) fn transactions(&self) -> usize {
        self.state().committed
    }

    pub(super) fn order_of_locks(&self) -> Vec<u64> {
        self.state().last_locks.clone()
    }

    pub(super) fn doubted(&self) -> Vec<u64> {
        self.state().doubted.clone()
    }

    /// The event behind each version.
    pub(super) fn history(&self, key: u64) -> Vec<Option<Event>> {
        let history = self.state().rows.get(&key).cloned().unwrap_or_default();
        history.iter().map(|(_, event)| event.map(|(code, _)| Event::from_code(code).unwrap())).collect()
    }

    pub(super) fn ids(&self, key: u64) -> Vec<EventId> {
        let history = self.state().rows.get(&key).cloned().unwrap_or_default();
        history.iter().filter_map(|(_, event)| event.map(|(_, id)| id)).collect()
    }

    /// Somebody else has the row, until what is returned is dropped.
    pub(super) fn lock_for_ever(&self, key: u64) -> Locked {
        assert!(self.state().locks.insert(key));
        Locked { memory: self.clone(), keys: vec![key] }
    }
}

pub(super) struct Locked {
    memory: Memory,
    keys: Vec<u64>,
}

impl Drop for Locked {
    fn drop(&mut self) {
        let mut state = self.memory.state();
        for key in &self.keys {
            state.locks.remove(key);
        }
        drop(state);
        self.memory.0.unlocked.notify_waiters();
    }
}

pub(super) struct Open {
    memory: Memory,
    mishap: Mishap,
    locked: Locked,
    /// What is to be appended.
    writes: Vec<(u64, Version)>,
}

impl Database for Memory {
    type Body = ();
    type Extra = ();
    type Receipt = ();
    type Error = Failed;
    type Transaction = Open;

    async fn begin(&self) -> Result<Open, Fault<Failed>> {
        sleep(STEP).await;
        let mut state = self.state();
        state.begun.push(Instant::now());
        let mishap = state.next.pop_front().or(state.always).unwrap_or(Mishap::Nothing);
        drop(state);
        if mishap == Mishap::Away {
            return Err(Fault::Away(Failed("away")));
        }
        let locked = Locked { memory: self.clone(), keys: Vec::new() };
        Ok(Open { memory: self.clone(), mishap, locked, writes: Vec::new() })
    }

    fn in_doubt(&self, key: u64) {
        self.state().doubted.push(key);
    }
}

impl Transaction for Open {
    type Body = ();
    type Extra = ();
    type Receipt = ();
    type Error = Failed;

    async fn lock(&mut self, keys: &[u64], locking: Locking) -> Result<Found<()>, Fault<Failed>> {
        sleep(STEP).await;
        if self.mishap == Mishap::Conflict {
            return Err(Fault::Conflict(Failed("in the way")));
        }
        let until = Instant::now() + WAIT;
        let mut found = Found::default();
        self.memory.state().last_locks.clear();
        for &key in keys {
            loop {
                let memory = self.memory.clone();
                let unlocked = memory.0.unlocked.notified();
                if self.memory.state().locks.insert(key) {
                    self.locked.keys.push(key);
                    break;
                }
                if locking == Locking::Skip {
                    found.locked.push(key);
                    break;
                }
                if timeout_at(until, unlocked).await.is_err() {
                    return Err(Fault::Conflict(Failed("locked")));
                }
            }
            self.memory.state().last_locks.push(key);
        }
        let state = self.memory.state();
        for key in &self.locked.keys {
            let Some(history) = state.rows.get(key) else { continue };
            let (last, _) = history.last().unwrap();
            let code = if state.damaged.contains(key) { 77 } else { *last };
            let version = history.len() as u64;
            found.rows.insert(*key, Row { state: code, version, extra: () });
            for (version, (state, event)) in (1..).zip(history) {
                if let Some((event, id)) = event {
                    let known = Known { event: *event, state: *state, version };
                    found.events.insert((*key, *id), known);
                }
            }
        }
        Ok(found)
    }

    async fn write(&mut self, writes: &Writes<'_, ()>) -> Result<(), Fault<Failed>> {
        sleep(STEP).await;
        let state = self.memory.state();
        let mut ends = HashMap::new();
        for step in &writes.steps {
            if state.poisoned.contains(&step.key) {
                return Err(Fault::Refused(Failed("refused")));
            }
            if state.moving.contains(&step.key) {
                return Err(Fault::Moved(Failed("moved")));
            }
            let before = *ends.entry(step.key).or_insert(state.rows.get(&step.key).map_or(0, Vec::len));
            assert_eq!(before as u64 + 1, step.after.version(), "versions are contiguous");
            ends.insert(step.key, before + 1);
            self.writes.push((step.key, (step.after.state(), step.event)));
        }
        let created = writes.created.iter().map(|(key, after, ())| (*key, *after));
        for (key, after) in created.chain(writes.moved.iter().map(|(key, _, after)| (*key, *after))) {
            assert_eq!(
                ends.remove(&key).map(|end| end as u64),
                Some(after.version()),
                "rows and steps agree"
            );
        }
        assert!(ends.is_empty(), "steps without a row");
        Ok(())
    }

    async fn rollback(self) {
        sleep(STEP).await;
    }

    async fn commit(self) -> Result<(), Fault<Failed>> {
        sleep(STEP).await;
        if self.mishap != Mishap::LostUnmade {
            let mut state = self.memory.state();
            state.committed += 1;
            for (key, version) in &self.writes {
                state.rows.entry(*key).or_default().push(*version);
            }
        }
        match self.mishap {
            Mishap::LostMade | Mishap::LostUnmade => Err(Fault::Unknown(Failed("the reply is lost"))),
            _ => Ok(()),
        }
    }
}
