//! What a history may not contain: a pure function over it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::history::{Answer, Event, Key, Kind, Master, Row, Table, What, Write};

/// How old what an unmarked answer shows may be.
pub const DELTA: Duration = Duration::from_secs(1);

/// The second level reckons ages in milliseconds, and an answer of it is on its way for some.
const ROUNDING: Duration = Duration::from_millis(2);

/// A lease that has ended is remembered for a fill that was long on its way.
const FORGET: Duration = Duration::from_secs(30);

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// An unmarked answer was the newest at some instant from its beginning less Δ on.
    Current,
    /// A marked answer was the newest at some instant within its age.
    Age,
    /// An answer to a token has seen the write.
    ReadYourWrites,
    /// What the second level serves of a key never goes down, nor does what one master holds.
    NeverDown,
    /// One lease of a key at a time, and one fill a lease.
    OneLoader,
    /// All that was committed is told to the bus and to the second level.
    NothingLost,
    /// The checkpoint stands behind no transaction that either has not acknowledged.
    Checkpoint,
    /// In the end everything equals the database, and is answered unmarked.
    Quiescence,
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// The number of the event that shows it.
    pub event: usize,
    /// What is wrong.
    pub text: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at event {}: {}", self.rule, self.event, self.text)
    }
}

/// All violations, in the order of the events that show them.
pub fn check(history: &[Event]) -> Vec<Violation> {
    let mut checker = Checker::default();
    for (number, event) in history.iter().enumerate() {
        checker.event = number;
        checker.step(event);
    }
    checker.finish();
    checker.violations
}

/// A row from its commit on, until the next can be read. Between commit and visibility both it and the one before are current.
#[derive(Clone, Copy)]
struct State {
    from: Duration,
    until: Duration,
    row: Row,
    visible: bool,
}

/// A change on its way.
struct Pending {
    source: usize,
    gtid: u64,
    write: Write,
    bus: bool,
    level2: bool,
    /// A later epoch of its table is noted safely.
    kept: bool,
}

/// What a master has: since when it is known, and until when, at least.
#[derive(Clone, Copy, Default)]
struct Held {
    version: u64,
    at: Duration,
    until: Duration,
}

/// A lease that was given.
struct Lease {
    holder: u64,
    /// It ended by itself between these.
    ends: (Duration, Duration),
    /// When somebody last may have ended it.
    over: Option<Duration>,
}

#[derive(Default)]
struct Checker {
    violations: Vec<Violation>,
    event: usize,
    rows: BTreeMap<Key, Vec<State>>,
    pending: Vec<Pending>,
    /// Ever higher versions, and when they were served.
    served: BTreeMap<Key, Vec<(Duration, u64)>>,
    held: BTreeMap<(Key, Master), Held>,
    /// Tables whose epoch will be raised.
    owed: BTreeSet<Table>,
    leases: BTreeMap<(Key, Master), Vec<Lease>>,
    quiet: Option<Duration>,
    /// Who was not answered unmarked the last time that it asked since.
    refused: BTreeMap<(usize, Key), Answer>,
}

impl Checker {
    fn step(&mut self, event: &Event) {
        let at = event.at;
        match &event.what {
            What::Visible(key, row) => self.visible(*key, *row, at),
            What::Committed { source, gtid, writes, .. } => {
                for write in writes {
                    self.committed(write, at);
                }
                let pending = |write: &Write| Pending {
                    source: *source,
                    gtid: *gtid,
                    write: *write,
                    bus: false,
                    level2: false,
                    kept: false,
                };
                self.pending.extend(writes.iter().map(pending));
            }
            What::Published(told) => self.told(told, |pending| pending.bus = true),
            What::Floored(told) => self.told(told, |pending| pending.level2 = true),
            What::Raised(table) => self.told(&[Write::Table(*table)], |pending| pending.level2 = true),
            What::Owed(table) => drop(self.owed.insert(*table)),
            What::Paid(table) => {
                self.owed.remove(table);
                self.told(&[Write::Table(*table)], |pending| pending.kept = true);
            }
            What::Saved { source, to } => self.saved(*source, *to),
            What::Granted { key, master, holder, asked, until } => {
                let lease =
                    Lease { holder: *holder, ends: (*until, *until + at.saturating_sub(*asked)), over: None };
                self.granted((*key, *master), at, lease);
            }
            What::Released { key, master, holder } => {
                let leases = self.leases.entry((*key, *master)).or_default();
                let of = |lease: &&mut Lease| holder.is_none_or(|holder| lease.holder == holder);
                leases.iter_mut().filter(of).for_each(|lease| lease.over = Some(at));
            }
            What::Stored { key, master, fill, version, asked, until } => {
                self.filled((*key, *master), *fill, *asked);
                self.stored((*key, *master), *asked, Held { version: *version, at, until: *until });
            }
            What::Served { key, kind, version, asked, .. } => {
                self.served(*key, *kind, (*asked, at, *version));
            }
            What::Read { instance, key, began, token, answer } => {
                if self.quiet.is_some() {
                    match answer {
                        Answer::Unmarked(_) => self.refused.remove(&(*instance, *key)),
                        _ => self.refused.insert((*instance, *key), answer.clone()),
                    };
                }
                self.read(*key, (*began, at), answer);
                self.read_your_writes(*key, *token, at, answer);
            }
            What::Quiet => self.quiet = Some(at),
            What::Held(key, kind, version) => self.held(*key, *kind, *version),
            What::Current(instance, l1, l2) => {
                if !(*l1 && *l2) {
                    let levels = format!("first level {l1}, second level {l2}");
                    self.found(Rule::Quiescence, format!("instance {instance} is not current: {levels}"));
                }
            }
            What::Loading { .. } | What::Fault(_) | What::Note(_) => {}
        }
    }

    fn finish(&mut self) {
        for ((instance, key), answer) in std::mem::take(&mut self.refused) {
            let text = format!("instance {instance} answers {key:?} as {answer:?}, though all is well");
            self.found(Rule::Quiescence, text);
        }
        for pending in std::mem::take(&mut self.pending) {
            let missing = match (pending.bus, pending.level2) {
                (true, true) => continue,
                (false, true) => "the bus",
                (true, false) => "the second level",
                (false, false) => "anybody",
            };
            let Pending { gtid, write, .. } = pending;
            self.found(Rule::NothingLost, format!("{write:?} of transaction {gtid} never reached {missing}"));
        }
    }

    fn found(&mut self, rule: Rule, text: String) {
        self.violations.push(Violation { rule, event: self.event, text });
    }

    fn told(&mut self, told: &[Write], note: impl Fn(&mut Pending)) {
        for pending in &mut self.pending {
            if told.iter().any(|told| covers(told, &pending.write)) {
                note(pending);
            }
        }
        self.pending.retain(|pending| !(pending.bus && pending.level2));
    }

    fn saved(&mut self, source: usize, to: u64) {
        let behind = |pending: &&Pending| pending.source == source && pending.gtid <= to;
        let safe =
            |pending: &&Pending| pending.level2 || pending.kept || self.owed.contains(&table(&pending.write));
        let passed = |pending: &&Pending| behind(pending) && !(pending.bus && safe(pending));
        if let Some(Pending { gtid, write, bus, .. }) = self.pending.iter().find(passed) {
            let who = if *bus { "the second level" } else { "the bus" };
            let text =
                format!("the checkpoint is at {to}, but {who} has not {write:?} of transaction {gtid}");
            self.found(Rule::Checkpoint, text);
        }
    }

    fn granted(&mut self, of: (Key, Master), at: Duration, lease: Lease) {
        let leases = self.leases.entry(of).or_default();
        // Who holds it may ask again, when the first answer was lost.
        let other =
            |other: &&Lease| other.holder != lease.holder && other.over.is_none() && other.ends.0 > at;
        let lives = leases.iter().find(other).map(|lease| lease.ends.0);
        leases.retain(|other| other.holder != lease.holder && other.ends.1 + FORGET > at);
        leases.push(lease);
        if let Some(until) = lives {
            self.found(Rule::OneLoader, format!("a second lease of {:?}: the first ends at {until:?}", of.0));
        }
    }

    fn filled(&mut self, of: (Key, Master), fill: Option<u64>, asked: Duration) {
        let Some(holder) = fill else { return };
        let leases = self.leases.entry(of).or_default();
        let lease = leases.iter().position(|lease| lease.holder == holder).map(|at| leases.swap_remove(at));
        let sound =
            lease.is_some_and(|lease| lease.ends.1 >= asked && lease.over.is_none_or(|over| over >= asked));
        if !sound {
            self.found(Rule::OneLoader, format!("a fill of {:?} without a lease", of.0));
        }
    }

    fn stored(&mut self, of: (Key, Master), asked: Duration, new: Held) {
        let held = self.held.entry(of).or_default();
        let before = *held;
        // Of two at once nobody knows which was the first: the higher may have been the last.
        if before.at <= asked || new.version >= before.version {
            *held = new;
        }
        if before.at <= asked && new.version < before.version && new.at < before.until {
            let text = format!("{:?} had version {}, now {}", of.0, before.version, new.version);
            self.found(Rule::NeverDown, text);
        }
    }

    fn served(&mut self, key: Key, kind: Kind, (asked, at, version): (Duration, Duration, u64)) {
        let served = self.served.entry(key).or_default();
        let known = served.partition_point(|(at, _)| *at <= asked);
        let before = known.checked_sub(1).map_or(0, |last| served[last].1);
        if served.last().is_none_or(|last| last.1 < version) {
            served.push((at, version));
        }
        // Nobody knows the version of an absent row: it has the least that is possible.
        if kind == Kind::Live && version < before {
            self.found(Rule::NeverDown, format!("{key:?} was served at version {before}, now at {version}"));
        }
    }

    fn committed(&mut self, write: &Write, at: Duration) {
        let Write::Row { key, version, tombstone } = *write else { return };
        let row = (!tombstone).then_some(version);
        self.states(key).push(State { from: at, until: Duration::MAX, row, visible: false });
    }

    fn visible(&mut self, key: Key, row: Row, at: Duration) {
        let states = self.states(key);
        // A table that is emptied may be so before the binlog says it.
        if states.last().is_none_or(|last| last.visible) {
            states.push(State { from: at, until: Duration::MAX, row, visible: false });
        }
        let now = states.len() - 1;
        states[now].visible = true;
        if let Some(before) = now.checked_sub(1) {
            states[before].until = at;
        }
    }

    fn states(&mut self, key: Key) -> &mut Vec<State> {
        let nothing = State { from: Duration::ZERO, until: Duration::MAX, row: None, visible: true };
        self.rows.entry(key).or_insert_with(|| vec![nothing])
    }

    /// Whether the row was the newest at an instant of this time.
    fn was(&self, key: Key, row: Row, from: Duration, to: Duration) -> bool {
        match self.rows.get(&key) {
            None => row.is_none(),
            Some(states) => {
                states.iter().any(|state| state.row == row && state.from <= to && state.until >= from)
            }
        }
    }

    fn read(&mut self, key: Key, (began, ended): (Duration, Duration), answer: &Answer) {
        let after_quiet = self.quiet.is_some_and(|quiet| began >= quiet);
        match answer {
            Answer::Unmarked(row) => {
                let from = if after_quiet { began } else { began.saturating_sub(DELTA) };
                if !self.was(key, *row, from, ended) {
                    let rule = if after_quiet { Rule::Quiescence } else { Rule::Current };
                    let text = format!("{key:?} was read as {row:?} since {began:?}, {}", self.story(key));
                    self.found(rule, text);
                }
            }
            Answer::Marked(row, age) => {
                if !self.was(key, *row, ended.saturating_sub(*age + ROUNDING), ended) {
                    let text = format!("{key:?} was read as {row:?} of age {age:?}, {}", self.story(key));
                    self.found(Rule::Age, text);
                }
            }
            Answer::Refused(_) => {}
        }
    }

    fn read_your_writes(&mut self, key: Key, token: Option<Duration>, ended: Duration, answer: &Answer) {
        if let (Some(written), Some(row)) = (token, answer.row())
            && !self.was(key, row, written, ended)
        {
            let text =
                format!("{key:?} was read as {row:?} after a write of {written:?}, {}", self.story(key));
            self.found(Rule::ReadYourWrites, text);
        }
    }

    fn held(&mut self, key: Key, kind: Kind, version: u64) {
        let row = self.rows.get(&key).and_then(|states| states.last()).and_then(|state| state.row);
        let wrong = match kind {
            Kind::Live => row != Some(version),
            Kind::Negative => row.is_some(),
            Kind::Floor => row.is_some_and(|row| version > row),
        };
        if wrong {
            let text = format!("the second level holds {key:?} as {kind:?} {version}, the database {row:?}");
            self.found(Rule::Quiescence, text);
        }
    }

    /// The last states of a row, for messages.
    fn story(&self, key: Key) -> String {
        let states = self.rows.get(&key).map_or(&[][..], Vec::as_slice);
        let last = &states[states.len().saturating_sub(4)..];
        let shown: Vec<_> =
            last.iter().map(|state| format!("{:?} from {:?}", state.row, state.from)).collect();
        format!("which was {}", shown.join(", then "))
    }
}

/// The least version that is not stale after a change.
fn floor(version: u64, tombstone: bool) -> u64 {
    version.saturating_add(u64::from(tombstone))
}

fn table(write: &Write) -> Table {
    match write {
        Write::Row { key, .. } => key.table,
        Write::Table(table) => *table,
    }
}

/// Whether who was told one thing needs not be told the other.
fn covers(told: &Write, of: &Write) -> bool {
    match (told, of) {
        (Write::Table(told), _) => *told == table(of),
        (Write::Row { .. }, Write::Table(_)) => false,
        (
            Write::Row { key, version, tombstone },
            Write::Row { key: of, version: other, tombstone: deleted },
        ) => key == of && floor(*version, *tombstone) >= floor(*other, *deleted),
    }
}

#[cfg(test)]
mod tests;
