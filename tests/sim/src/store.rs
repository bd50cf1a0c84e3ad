//! A model of MariaDB, as it was measured: rows with versions, a binlog whose events can be read up to 13 ms before their
//! rows, row locks, distributed transactions, tables that are emptied, and a replica that lags.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::history::{History, Key, Row, Table, What, Write};
use crate::plan::Plan;
use crate::random::Random;

/// The part of a group in a distributed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// Rows, not in force yet.
    Prepare(u64),
    /// In force now, or never; no rows.
    Complete(u64, bool),
}

/// A group of events in the binlog. Its number is its index and one.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) part: Part,
    pub(crate) writes: Vec<Write>,
}

/// What a writer wants.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// The row is written, or created.
    Put(Key),
    /// The row is deleted.
    Delete(Key),
    /// The row gets another key.
    Rename(Key, Key),
    /// Every row of a table is written: more than the reader tells by key.
    PutAll(Table),
    /// TRUNCATE.
    Empty(Table),
    /// An instance's heartbeat.
    Beat(u64, u64),
}

/// What a writer is told: the rows it wrote, and where in the binlog.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) gtid: u64,
    pub(crate) writes: Vec<Write>,
    pub(crate) at: Duration,
}

/// The server could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Down;

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the database is down")
    }
}

impl std::error::Error for Down {}

#[derive(Debug)]
pub(crate) struct Store {
    /// Its number among the sources.
    source: usize,
    history: Arc<History>,
    random: Random,
    /// The largest number of keys a table has.
    keys: u64,
    /// See [`Plan::late`].
    late: (u64, u64),
    inner: Mutex<Inner>,
    logged: Notify,
    applied: Notify,
    unlocked: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    down: bool,
    rows: BTreeMap<Key, u64>,
    /// The highest version that a key ever had: a row that is created again begins two above.
    highest: BTreeMap<Key, u64>,
    locked: BTreeSet<Key>,
    binlog: Vec<Group>,
    /// What is in it but cannot be read yet, and when the last of that can.
    waiting: Vec<(u64, Vec<Write>)>,
    visible_at: Option<Instant>,
    replica: BTreeMap<Key, u64>,
    replicated: u64,
}

impl Store {
    /// A database whose rows have versions around `base`.
    pub(crate) fn new(
        (seed, source): (u64, usize),
        tables: &[Table],
        plan: &Plan,
        history: Arc<History>,
    ) -> Self {
        let mut inner = Inner::default();
        let &Plan { keys, base, late, .. } = plan;
        for &table in tables {
            for id in 0..keys {
                let key = Key { table, id };
                inner.highest.insert(key, base);
                if id % 2 == 0 {
                    inner.rows.insert(key, base);
                    inner.replica.insert(key, base);
                    history.add(What::Visible(key, Some(base)));
                }
            }
        }
        let random = Random::new(seed, &format!("store {source}"));
        let [logged, applied, unlocked] = std::array::from_fn(|_| Notify::new());
        Self { source, history, random, keys, late, inner: Mutex::new(inner), logged, applied, unlocked }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.inner().down = down;
    }

    fn up(&self) -> Result<(), Down> {
        if self.inner().down { Err(Down) } else { Ok(()) }
    }

    /// Reads a row at the primary.
    pub(crate) async fn read(&self, key: Key) -> Result<Row, Down> {
        sleep(self.random.millis(0..4)).await;
        self.up()?;
        let row = self.inner().rows.get(&key).copied();
        self.answer().await;
        Ok(row)
    }

    /// Now and then an answer is long on its way: past the end of a lease.
    async fn answer(&self) {
        let (late, later) = self.late;
        let late = match self.random.range(0..100) {
            _ if self.history.is_calm() => 0..5,
            number if number < later => 1500..3000,
            number if number < later + late => 10..120,
            _ => 0..5,
        };
        sleep(self.random.millis(late)).await;
    }

    /// Reads a row at the primary, and waits for who has it locked.
    pub(crate) async fn read_locked(&self, key: Key) -> Result<Row, Down> {
        sleep(self.random.millis(0..4)).await;
        self.up()?;
        let row = loop {
            let unlocked = self.unlocked.notified();
            {
                let inner = self.inner();
                if !inner.locked.contains(&key) {
                    break inner.rows.get(&key).copied();
                }
            }
            unlocked.await;
        };
        self.answer().await;
        Ok(row)
    }

    /// Reads a row at the replica once it has this transaction; at the primary when that takes too long.
    pub(crate) async fn read_after(&self, key: Key, gtid: u64) -> Result<Row, Down> {
        let caught_up = async {
            loop {
                let applied = self.applied.notified();
                if self.inner().replicated >= gtid {
                    return;
                }
                applied.await;
            }
        };
        sleep(self.random.millis(0..4)).await;
        if timeout(Duration::from_millis(50), caught_up).await.is_err() {
            return self.read(key).await;
        }
        Ok(self.inner().replica.get(&key).copied())
    }

    /// Commits what is wished. `None` when a row is locked, or the wish makes no sense now, or the transaction was rolled
    /// back.
    ///
    /// It must be run to its end: who drops it leaves rows locked.
    pub(crate) async fn commit(&self, wish: &Wish, distributed: bool) -> Result<Option<Done>, Down> {
        self.up()?;
        let Some(writes) = self.prepare(wish) else { return Ok(None) };
        sleep(self.random.millis(0..6)).await;
        let mut part = Part::Whole;
        let mut prepared = None;
        if distributed {
            let xid = self.random.next();
            let number = self.log(Part::Prepare(xid), &writes);
            prepared = Some(number);
            self.history.note(format!("prepared {writes:?} as {number}"));
            let held = if self.random.percent(30) { 300..2500 } else { 0..100 };
            sleep(self.random.millis(held)).await;
            if self.random.percent(25) {
                let number = self.log(Part::Complete(xid, false), &[]);
                self.history.note(format!("rolled back as {number}"));
                self.unlock(&writes);
                return Ok(None);
            }
            part = Part::Complete(xid, true);
        }
        // A table is emptied before the binlog tells it.
        if matches!(wish, Wish::Empty(_)) {
            self.apply(&writes);
            sleep(self.random.millis(0..5)).await;
        }
        let rows = if distributed { &[][..] } else { &writes };
        let gtid = self.log(part, rows);
        if !matches!(wish, Wish::Beat(..)) {
            self.history.add(What::Committed { source: self.source, gtid, prepared, writes: writes.clone() });
        }
        self.in_force(gtid, &writes).await;
        self.unlock(&writes);
        let at = self.history.now();
        sleep(self.random.millis(0..3)).await;
        Ok(Some(Done { gtid, writes, at }))
    }

    /// What a wish comes to, with the rows locked.
    fn prepare(&self, wish: &Wish) -> Option<Vec<Write>> {
        let mut inner = self.inner();
        let all = |table| (0..self.keys).map(move |id| Key { table, id });
        let keys: Vec<Key> = match wish {
            Wish::Put(key) | Wish::Delete(key) => vec![*key],
            Wish::Rename(from, to) => vec![*from, *to],
            Wish::PutAll(table) | Wish::Empty(table) => all(*table).collect(),
            Wish::Beat(instance, _) => vec![Key { table: Table::Heartbeat, id: *instance }],
        };
        if keys.iter().any(|key| inner.locked.contains(key)) {
            return None;
        }
        let writes = match wish {
            Wish::Put(key) => vec![inner.put(*key, 0)],
            Wish::Delete(key) => vec![inner.tombstone(*key)?],
            Wish::Rename(_, to) if inner.rows.contains_key(to) => return None,
            Wish::Rename(from, to) => {
                let old = inner.tombstone(*from)?;
                let above = inner.rows.get(from).copied().unwrap_or(0);
                vec![old, inner.put(*to, above)]
            }
            Wish::PutAll(_) => keys.iter().map(|key| inner.put(*key, 0)).collect(),
            Wish::Empty(table) => vec![Write::Table(*table)],
            Wish::Beat(_, beat) => vec![Write::Row { key: keys[0], version: *beat, tombstone: false }],
        };
        inner.locked.extend(keys);
        Some(writes)
    }

    fn unlock(&self, writes: &[Write]) {
        let mut inner = self.inner();
        for write in writes {
            match write {
                Write::Row { key, .. } => drop(inner.locked.remove(key)),
                Write::Table(table) => inner.locked.retain(|key| key.table != *table),
            }
        }
        drop(inner);
        self.unlocked.notify_waiters();
    }

    /// Appends a group to the binlog, and says its number.
    fn log(&self, part: Part, writes: &[Write]) -> u64 {
        let mut inner = self.inner();
        inner.binlog.push(Group { part, writes: writes.to_vec() });
        let number = inner.binlog.len() as u64;
        drop(inner);
        self.logged.notify_waiters();
        number
    }

    /// Waits until a transaction can be read: up to 13 ms after its event, in the order of the binlog.
    async fn in_force(&self, gtid: u64, writes: &[Write]) {
        let at = {
            let mut inner = self.inner();
            let least = inner.visible_at.unwrap_or_else(Instant::now);
            let at = least.max(Instant::now() + self.random.millis(0..14));
            inner.visible_at = Some(at);
            inner.waiting.push((gtid, writes.to_vec()));
            at
        };
        sleep_until(at).await;
        // Whoever wakes first takes what stands before it along.
        let mut ready: Vec<_> =
            self.inner().waiting.extract_if(.., |(waiting, _)| *waiting <= gtid).collect();
        ready.sort_by_key(|(number, _)| *number);
        for (_, writes) in ready {
            self.apply(&writes);
        }
    }

    /// Makes writes visible at the primary.
    fn apply(&self, writes: &[Write]) {
        let mut inner = self.inner();
        for (key, row) in apply(&mut inner.rows, writes) {
            if key.table != Table::Heartbeat {
                self.history.add(What::Visible(key, row));
            }
        }
    }

    /// Waits until the binlog is longer than this.
    pub(crate) async fn group(&self, after: u64) -> Group {
        loop {
            let logged = self.logged.notified();
            let group = self.inner().binlog.get(usize::try_from(after).unwrap_or(usize::MAX)).cloned();
            if let Some(group) = group {
                return group;
            }
            logged.await;
        }
    }

    /// The place in the binlog up to which everything can be read.
    pub(crate) fn visible(&self) -> u64 {
        let inner = self.inner();
        inner.waiting.iter().map(|(gtid, _)| gtid - 1).min().unwrap_or(inner.binlog.len() as u64)
    }

    /// How many groups the binlog has.
    pub(crate) fn written(&self) -> u64 {
        self.inner().binlog.len() as u64
    }

    /// The replica, which is behind by as much as `lag` says.
    pub(crate) async fn replicate(&self, lag: impl Fn() -> Duration) {
        let mut held: BTreeMap<u64, Vec<Write>> = BTreeMap::new();
        for number in 0.. {
            let group = self.group(number).await;
            sleep(lag()).await;
            while self.visible() <= number {
                sleep(Duration::from_millis(1)).await;
            }
            let mut inner = self.inner();
            match group.part {
                Part::Whole => drop(apply(&mut inner.replica, &group.writes)),
                Part::Prepare(xid) => drop(held.insert(xid, group.writes)),
                Part::Complete(xid, commit) => {
                    let writes = held.remove(&xid).filter(|_| commit).unwrap_or_default();
                    drop(apply(&mut inner.replica, &writes));
                }
            }
            inner.replicated = number + 1;
            drop(inner);
            self.applied.notify_waiters();
        }
    }
}

impl Inner {
    fn put(&mut self, key: Key, above: u64) -> Write {
        let highest = self.highest.entry(key).or_default();
        // Above its tombstone, if there was a row.
        let step = if self.rows.contains_key(&key) { 1 } else { 2 };
        *highest = (*highest + step).max(above + 1);
        Write::Row { key, version: *highest, tombstone: false }
    }

    fn tombstone(&self, key: Key) -> Option<Write> {
        self.rows.get(&key).map(|version| Write::Row { key, version: *version, tombstone: true })
    }
}

/// Applies writes to rows, and says what changed.
fn apply(rows: &mut BTreeMap<Key, u64>, writes: &[Write]) -> Vec<(Key, Row)> {
    let mut changed = Vec::new();
    for write in writes {
        match *write {
            Write::Row { key, version, tombstone: false } => {
                rows.insert(key, version);
                changed.push((key, Some(version)));
            }
            Write::Row { key, .. } => {
                rows.remove(&key);
                changed.push((key, None));
            }
            Write::Table(table) => {
                let gone: Vec<Key> = rows.keys().filter(|key| key.table == table).copied().collect();
                rows.retain(|key, _| key.table != table);
                changed.extend(gone.into_iter().map(|key| (key, None)));
            }
        }
    }
    changed
}
