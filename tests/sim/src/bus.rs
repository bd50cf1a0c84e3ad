//! A model of a bus that keeps its records: one publisher, and readers that each get everything, late, twice, or with a gap.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aqueduct_bus::{DedupId, Delivery, Draft, Publish, Record, Subscribe};
use aqueduct_cdc::feed::{self, Message};
use aqueduct_cdc::{Change, KeyPart, Scope, TableName, Version};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::history::{History, Key, Table, What, Write};
use crate::random::Random;

/// Records that are kept for readers that are late.
const KEPT: usize = 256;

/// The stream of one source.
#[derive(Clone)]
pub(crate) struct Bus {
    shared: Arc<Shared>,
}

struct Shared {
    source: usize,
    /// The tables of this source.
    tables: Vec<Table>,
    /// All readers share one place in the stream, as one who misunderstood it would have it.
    queue_group: bool,
    history: Arc<History>,
    random: Random,
    state: Mutex<State>,
    /// A record came, or the weather changed.
    changed: Notify,
}

#[derive(Default)]
struct State {
    epoch: u64,
    /// The number of the next record.
    next: u64,
    /// Counts through all epochs: the place of the first record that is kept.
    first: u64,
    records: VecDeque<Arc<Record>>,
    /// Only the latest may publish.
    publisher: u64,
    readers: u64,
    down: bool,
    paused: Vec<Option<Instant>>,
    epochs: [u64; 2],
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("source", &self.shared.source).finish_non_exhaustive()
    }
}

impl Bus {
    pub(crate) fn new(
        (seed, source): (u64, usize),
        tables: Vec<Table>,
        queue_group: bool,
        history: Arc<History>,
    ) -> Self {
        let random = Random::new(seed, &format!("bus {source}"));
        let state = State { epoch: 1000, next: 1, paused: vec![None; 16], ..State::default() };
        let changed = Notify::new();
        let shared =
            Shared { source, tables, queue_group, history, random, state: Mutex::new(state), changed };
        Self { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.state().down = down;
        self.shared.changed.notify_waiters();
    }

    /// A reader hears nothing until then.
    pub(crate) fn pause(&self, instance: usize, until: Instant) {
        self.state().paused[instance] = Some(until);
    }

    /// It lost its records, and begins a new epoch.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        state.begin_epoch();
        state.first += state.records.len() as u64;
        state.records.clear();
    }

    /// The publisher from now on; the one before cannot publish any more. It goes on in the same epoch if it may.
    pub(crate) fn publisher(&self, same_epoch: bool) -> Publisher {
        let mut state = self.state();
        state.publisher += 1;
        if !same_epoch {
            state.begin_epoch();
        }
        Publisher { bus: self.clone(), number: state.publisher, epoch: state.epoch }
    }

    /// The epoch of a table in the second level, as it was told.
    pub(crate) fn epoch_of(&self, table: Table) -> u64 {
        self.state().epochs[usize::from(table == Table::Items)]
    }

    /// A reader of everything from now on.
    pub(crate) fn subscribe(&self, instance: usize) -> Subscription {
        let mut state = self.state();
        state.readers += 1;
        let position = state.first + state.records.len() as u64;
        let random = Random::new(self.shared.random.next(), "subscription");
        Subscription { bus: self.clone(), instance, position, renumbered: 0, random, again: None, due: None }
    }

    fn append(&self, drafts: Vec<Draft>) -> (u64, Range<u64>) {
        let mut state = self.state();
        let first = state.next;
        let mut told = Vec::new();
        for draft in drafts {
            self.tell(&mut state, &draft, &mut told);
            let Draft { topic, key, headers, payload } = draft;
            let source = format!("source-{}", self.shared.source).into();
            let (epoch, seq) = (state.epoch, state.next);
            state.records.push_back(Arc::new(Record { topic, key, source, epoch, seq, headers, payload }));
            state.next += 1;
        }
        while state.records.len() > KEPT {
            state.records.pop_front();
            state.first += 1;
        }
        let seqs = (state.epoch, first..state.next);
        drop(state);
        for what in told {
            self.shared.history.add(what);
        }
        self.shared.changed.notify_waiters();
        seqs
    }

    /// What the history learns from a record.
    fn tell(&self, state: &mut State, draft: &Draft, told: &mut Vec<What>) {
        let mut raise = |table: Table, epoch: u64, told: &mut Vec<What>| {
            let known = &mut state.epochs[usize::from(table == Table::Items)];
            if epoch > *known {
                *known = epoch;
                told.push(What::Raised(table));
            }
        };
        for message in feed::decode(&draft.payload).expect("the feed writes what can be read") {
            match message {
                Message::Change(change) => {
                    told.extend(write(&change).map(|write| What::Published(vec![write])));
                }
                Message::Bump { bump, epoch } => {
                    let tables = self.tables(&bump.scope);
                    told.push(What::Published(tables.iter().copied().map(Write::Table).collect()));
                    for table in tables {
                        raise(table, epoch, told);
                    }
                }
                Message::Applied { epochs, .. } => {
                    for table in &self.shared.tables {
                        raise(*table, epochs.of(&table_name(*table)), told);
                    }
                }
                Message::Beat { .. } => {}
            }
        }
    }

    fn tables(&self, scope: &Scope) -> Vec<Table> {
        match scope {
            Scope::All => self.shared.tables.clone(),
            Scope::Table(name) => table(name).into_iter().collect(),
        }
    }
}

impl State {
    fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.next = 1;
    }
}

/// Who publishes.
#[derive(Debug)]
pub(crate) struct Publisher {
    bus: Bus,
    number: u64,
    epoch: u64,
}

impl Publish for Publisher {
    type Error = Infallible;

    fn epoch(&self) -> u64 {
        self.epoch
    }

    async fn publish(&mut self, drafts: Vec<(DedupId, Draft)>) -> Result<Range<u64>, Infallible> {
        let random = &self.bus.shared.random;
        let drafts: Vec<_> = drafts.into_iter().map(|(_, draft)| draft).collect();
        loop {
            sleep(random.millis(0..3)).await;
            let changed = self.bus.shared.changed.notified();
            if self.bus.state().down {
                changed.await;
                continue;
            }
            if self.bus.state().publisher != self.number {
                // A process that was replaced, and does not know it.
                std::future::pending::<()>().await;
            }
            let (epoch, seqs) = self.bus.append(drafts.clone());
            sleep(random.millis(0..3)).await;
            if random.percent(2) && !self.bus.shared.history.is_calm() {
                // It was not acknowledged: once more.
                continue;
            }
            self.epoch = epoch;
            return Ok(seqs);
        }
    }
}

/// One instance's place in the stream.
#[derive(Debug)]
pub(crate) struct Subscription {
    bus: Bus,
    instance: usize,
    position: u64,
    renumbered: u64,
    random: Random,
    /// What comes twice.
    again: Option<Arc<Record>>,
    /// When the next record is here.
    due: Option<Instant>,
}

impl Subscribe for Subscription {
    async fn recv(&mut self) -> Option<Delivery> {
        if let Some(record) = self.again.take() {
            return Some(Delivery::Record(record));
        }
        let bus = self.bus.clone();
        loop {
            let changed = bus.shared.changed.notified();
            let ready = {
                let state = bus.state();
                !state.down && state.first + state.records.len() as u64 > self.position
            };
            if !ready {
                changed.await;
                continue;
            }
            let due = *self.due.get_or_insert_with(|| Instant::now() + self.random.millis(0..6));
            let paused = bus.state().paused[self.instance];
            sleep_until(paused.map_or(due, |until| until.max(due))).await;
            self.due = None;
            if let Some(delivery) = self.take() {
                return Some(delivery);
            }
        }
    }
}

impl Subscription {
    fn take(&mut self) -> Option<Delivery> {
        let state = self.bus.state();
        if self.position < state.first {
            let missed = state.first - self.position;
            self.position = state.first;
            return Some(Delivery::Gap { missed });
        }
        let record = state.records.get(usize::try_from(self.position - state.first).ok()?).cloned()?;
        self.position += 1;
        if self.bus.shared.queue_group {
            if self.position % state.readers.max(1) != self.instance as u64 % state.readers.max(1) {
                return None;
            }
            self.renumbered += 1;
            let seq = self.renumbered;
            return Some(Delivery::Record(Arc::new(Record { seq, ..(*record).clone() })));
        }
        if self.random.range(0..1000) == 0 && !self.bus.shared.history.is_calm() {
            self.again = Some(Arc::clone(&record));
        }
        Some(Delivery::Record(record))
    }
}

/// A table's name in the database.
pub(crate) fn table_name(table: Table) -> TableName {
    match table {
        Table::Heartbeat => aqueduct_cdc::heartbeat::table("shop"),
        Table::Orders => TableName { database: "shop".to_owned(), table: "orders".to_owned() },
        Table::Items => TableName { database: "shop".to_owned(), table: "items".to_owned() },
    }
}

/// The table of that name.
pub(crate) fn table(name: &TableName) -> Option<Table> {
    [Table::Orders, Table::Items].into_iter().find(|table| table_name(*table) == *name)
}

/// The row that changed.
pub(crate) fn row(name: &TableName, key: &[KeyPart]) -> Option<Key> {
    match key {
        [KeyPart::Uint(id)] => table(name).map(|table| Key { table, id: *id }),
        _ => None,
    }
}

fn write(change: &Change) -> Option<Write> {
    let key = row(&change.table, &change.key)?;
    // Without a version it tells of all that was committed.
    let version = match change.version {
        Version::Exact(version) => version,
        Version::Bounded => u64::MAX,
    };
    Some(Write::Row { key, version, tombstone: change.tombstone })
}

/// How long something takes that is nearly at once.
pub(crate) fn moment(random: &Random) -> Duration {
    random.millis(0..3)
}
