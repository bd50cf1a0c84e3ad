//! The process that follows a database: the real assembler, feed and reckoning of what has settled, between the modelled
//! binlog, bus, second level and disk. The loop is that of `cdc::Reader`, which would speak to a real server.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_cache::l2;
use aqueduct_cdc::feed::{Feed, FeedOptions, Floors, Keep, KeepMemory, Kept, Master};
use aqueduct_cdc::{
    Assembler, Change, CheckpointError, EpochBump, Fact, Gtid, Key as CdcKey, KeyPart, Position, Reason,
    Scope, Settling, Sink as _, TableName, Transaction, Version, Xa, Xid,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::bus::{self, Bus};
use crate::history::{History, Key, Table, What, Write};
use crate::mutation::Mutation;
use crate::plan::{Lost, Plan};
use crate::random::Random;
use crate::redis::Redis;
use crate::store::{Group, Part, Store};

/// More changes in one transaction are told as a bump.
const MAX_KEYS: usize = 2;
const MAX_PREPARED: usize = 8;

/// Everything about one followed database but the process itself.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) number: usize,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    disk: Mutex<Disk>,
    /// Until when the process stands still.
    pub(crate) paused: watch::Sender<Option<Instant>>,
    keep: KeepMemory,
    history: Arc<History>,
    random: Random,
    level2: l2::Store<Redis>,
    /// The table without versions.
    bounded: Option<Table>,
    /// See [`Plan::queue`].
    queue: usize,
    mutation: Option<Mutation>,
}

/// What survives the process.
#[derive(Debug, Default)]
struct Disk {
    /// The checkpoint.
    position: Option<Position>,
    /// What was before it was removed from the binlog.
    purged: u64,
    started: bool,
}

impl Source {
    pub(crate) fn new(
        number: usize,
        (store, bus): (Store, Bus),
        level2: l2::Store<Redis>,
        history: Arc<History>,
        (seed, plan, mutation): (u64, &Plan, Option<Mutation>),
    ) -> Self {
        let random = Random::new(seed, &format!("cdc {number}"));
        let (paused, _) = watch::channel(None);
        let keep = KeepMemory::default();
        let &Plan { bounded, queue, .. } = plan;
        Self {
            number,
            store,
            bus,
            disk: Mutex::default(),
            paused,
            keep,
            history,
            random,
            level2,
            bounded,
            queue,
            mutation,
        }
    }

    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loses what was kept.
    pub(crate) fn lose(&self, lost: Lost) {
        let mut disk = self.disk();
        match lost {
            Lost::Nothing => {}
            Lost::Checkpoint => disk.position = None,
            Lost::Binlog => disk.purged = self.store.written(),
        }
    }

    /// SIGSTOP: what the process would do next it does later.
    async fn awake(&self) {
        loop {
            let until = *self.paused.borrow();
            match until {
                Some(until) if until > Instant::now() => sleep_until(until).await,
                _ => return,
            }
        }
    }

    /// The process, until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let same_epoch = {
            let mut disk = self.disk();
            // A bus that keeps its records lets the next publisher go on.
            let same = disk.started && self.random.percent(50);
            disk.started = true;
            same
        };
        let keep = Noted { keep: self.keep.clone(), history: Arc::clone(&self.history) };
        let floors = Level2 { source: Arc::clone(&self) };
        let options = FeedOptions {
            heartbeat: Some(bus::table_name(Table::Heartbeat)),
            queue: self.queue,
            concurrent: 4,
            ..FeedOptions::default()
        };
        let publisher = self.bus.publisher(same_epoch);
        let (feed, work) = Feed::new(publisher, floors, keep, options).await.expect("nothing fails here");
        let follow = async {
            sleep(self.random.millis(1..40)).await;
            Follow { source: &self, feed, settling: Settling::default(), save_at: None }.run().await;
        };
        let ((), ended) = tokio::join!(follow, work.run());
        ended.expect("the bus never fails for good");
    }
}

/// The reader's loop.
struct Follow<'a> {
    source: &'a Source,
    feed: Feed,
    settling: Settling,
    save_at: Option<Instant>,
}

impl Follow<'_> {
    async fn run(mut self) {
        let (found, purged) = {
            let disk = self.source.disk();
            (disk.position.clone(), disk.purged)
        };
        let from = match found.ok_or(Reason::NoCheckpoint) {
            Ok(position) if number(&position) >= purged => Ok(position),
            Ok(_) => Err(Reason::PositionLost("it was purged".to_owned())),
            Err(reason) => Err(reason),
        };
        let from = match from {
            Ok(position) => position,
            Err(reason) => self.restart(reason).await,
        };
        let mut next = number(&from);
        let mut assembler = Assembler::new(from, MAX_KEYS, MAX_PREPARED);
        loop {
            let far = Instant::now() + Duration::from_hours(1);
            let group = timeout_at(self.save_at.unwrap_or(far), self.source.store.group(next)).await;
            let Ok(group) = group else {
                self.save().await;
                continue;
            };
            sleep(bus::moment(&self.source.random)).await;
            self.source.awake().await;
            next += 1;
            for fact in facts(next, &group, (self.source.bounded, self.source.mutation)) {
                if let Some(transaction) = assembler.push(fact) {
                    self.hand_over(transaction).await;
                }
            }
            if self.save_at.is_some_and(|at| at <= Instant::now()) {
                self.save().await;
            }
        }
    }

    async fn restart(&mut self, reason: Reason) -> Position {
        let position = position(self.source.store.visible());
        let bumps = vec![EpochBump { scope: Scope::All, reason }];
        let resume = position.clone();
        self.hand_over(Transaction { gtid: None, bumps, changes: Vec::new(), resume }).await;
        self.save().await;
        position
    }

    async fn hand_over(&mut self, transaction: Transaction) {
        if !transaction.bumps.is_empty() {
            let store = &self.source.store;
            let written = store.written();
            while store.visible() < written {
                sleep(Duration::from_millis(1)).await;
            }
        }
        if !(transaction.bumps.is_empty() && transaction.changes.is_empty()) {
            self.feed.deliver(&transaction).await.expect("the feed lives");
            self.settling.took();
        }
        self.settling.passed(transaction.resume);
        let every = self.source.random.millis(10..200);
        self.save_at.get_or_insert_with(|| Instant::now() + every);
    }

    async fn save(&mut self) {
        let early = self.source.mutation == Some(Mutation::CheckpointBeforeAcknowledge);
        let settled = if early { u64::MAX } else { self.feed.settled() };
        if let Some(position) = self.settling.settled(settled) {
            // Not before it could be lost; what is lost is the old one.
            sleep(bus::moment(&self.source.random)).await;
            self.source.awake().await;
            let to = number(&position);
            self.source.disk().position = Some(position);
            self.source.history.add(What::Saved { source: self.source.number, to });
        }
        let pause = self.source.random.millis(10..100);
        self.save_at = self.settling.waits().then(|| Instant::now() + pause);
    }
}

fn gtid(sequence: u64) -> Gtid {
    Gtid { domain: 0, server: 1, sequence }
}

fn position(sequence: u64) -> Position {
    let mut position = Position::default();
    if sequence > 0 {
        position.advance(gtid(sequence));
    }
    position
}

/// The number of the last group before a position.
fn number(position: &Position) -> u64 {
    position.to_string().rsplit('-').next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A group as the decoder would tell it.
fn facts(number: u64, group: &Group, (bounded, mutation): (Option<Table>, Option<Mutation>)) -> Vec<Fact> {
    let xid = |xid: u64| Xid::new(1, &xid.to_be_bytes(), b"");
    let at_prepare = mutation == Some(Mutation::XaReleasedAtPrepare);
    let (xa, end) = match group.part {
        Part::Whole => (Xa::None, Fact::Commit),
        _ if at_prepare => (Xa::None, Fact::Commit),
        Part::Prepare(id) => (Xa::Prepare(xid(id)), Fact::Commit),
        Part::Complete(id, true) => (Xa::Complete(xid(id)), Fact::Commit),
        Part::Complete(id, false) => (Xa::Complete(xid(id)), Fact::Rollback),
    };
    let ddl = matches!(group.writes.as_slice(), [Write::Table(_)]);
    let mut facts = vec![Fact::Begin { gtid: gtid(number), standalone: ddl, xa }];
    facts.extend(group.writes.iter().map(|write| match *write {
        Write::Row { key, version, tombstone } => Fact::Row(Change {
            table: Arc::new(bus::table_name(key.table)),
            key: vec![KeyPart::Uint(key.id)],
            version: if bounded == Some(key.table) { Version::Bounded } else { Version::Exact(version) },
            tombstone,
        }),
        Write::Table(table) => Fact::Lost(EpochBump {
            scope: Scope::Table(Arc::new(bus::table_name(table))),
            reason: Reason::Ddl,
        }),
    }));
    facts.push(if ddl { Fact::StatementEnd } else { end });
    facts
}

/// Floors as the real store writes them, and a note of those that it acknowledged.
struct Level2 {
    source: Arc<Source>,
}

impl Level2 {
    /// Writes a floor, and notes that it was acknowledged.
    async fn write(
        &self,
        row: Option<Key>,
        (version, tombstone): (u64, bool),
        floor: impl Future<Output = Result<(), l2::Error>>,
    ) -> Result<(), l2::Error> {
        self.source.awake().await;
        floor.await?;
        let write = row.map(|key| Write::Row { key, version, tombstone });
        self.source.history.add(What::Floored(write.into_iter().collect()));
        Ok(())
    }
}

impl Floors for Level2 {
    type Error = l2::Error;

    async fn invalidate(&self, table: &TableName, key: &CdcKey, version: u64) -> Result<(), l2::Error> {
        let floor = Floors::invalidate(&self.source.level2, table, key, version);
        self.write(bus::row(table, key), (version, false), floor).await
    }

    async fn delete(&self, table: &TableName, key: &CdcKey, version: u64) -> Result<(), l2::Error> {
        let floor = Floors::delete(&self.source.level2, table, key, version);
        self.write(bus::row(table, key), (version, true), floor).await
    }

    async fn mark(&self, table: &TableName, key: &CdcKey) -> Result<(), l2::Error> {
        let floor = Floors::mark(&self.source.level2, table, key);
        self.write(bus::row(table, key), (u64::MAX, false), floor).await
    }

    async fn masters(&self) -> Vec<Master> {
        self.source.awake().await;
        Floors::masters(&self.source.level2).await
    }
}

/// What is kept, and a note of the tables whose epoch is to be raised.
struct Noted {
    keep: KeepMemory,
    history: Arc<History>,
}

impl Keep for Noted {
    fn load(&self) -> Result<Option<Kept>, CheckpointError> {
        self.keep.load()
    }

    fn save(&self, kept: &Kept) -> Result<(), CheckpointError> {
        let owed = |kept: Option<Kept>| kept.map(|kept| kept.pending).unwrap_or_default();
        let before: BTreeSet<Arc<TableName>> = owed(self.keep.load()?);
        self.keep.save(kept)?;
        let note =
            |names: &BTreeSet<Arc<TableName>>, others: &BTreeSet<Arc<TableName>>, what: fn(Table) -> What| {
                let tables = names.difference(others).filter_map(|name| bus::table(name));
                tables.for_each(|table| self.history.add(what(table)));
            };
        note(&kept.pending, &before, What::Owed);
        note(&before, &kept.pending, What::Paid);
        Ok(())
    }

    fn blocks(&self) -> bool {
        self.keep.blocks()
    }
}
