//! Who listens to the bus, to note what of the changes is published, and what `cdc` says the second level has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aqueduct_bus::jetstream::Reader;
use aqueduct_bus::{Delivery, Record, Subscribe as _};
use aqueduct_cdc::feed::{self, Epochs, Message};
use aqueduct_cdc::{Change, KeyPart, Scope, Version};
use aqueduct_sim::history::{History, Key, Table, What, Write};
use tokio::sync::watch;

use super::observed::Watch;
use super::rows::{self, MARKER, TABLES};

/// What was heard, as far as somebody may wait for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    /// The version of the marker that the second level has.
    pub(crate) marker: u64,
    /// Whole tables that were told.
    pub(crate) bumps: u64,
    /// Records that are missing in what was heard.
    pub(crate) missed: u64,
    /// The bus's epoch.
    pub(crate) epoch: u64,
}

/// For so long the second level keeps a floor at least, from when it says that it has it, unless a load takes its place.
const KEPT: Duration = Duration::from_secs(30);

pub(crate) struct Ears {
    watch: Arc<Watch>,
    history: Arc<History>,
    reader: Reader,
    heard: watch::Sender<Heard>,
    at: Option<(u64, u64)>,
    /// Records of this epoch that the second level may not have yet, and in which generation of masters they came.
    behind: VecDeque<(u64, u32, Vec<Write>)>,
    epochs: BTreeMap<Table, u64>,
}

impl Ears {
    pub(crate) fn new(
        watch: Arc<Watch>,
        history: Arc<History>,
        reader: Reader,
    ) -> (Self, watch::Receiver<Heard>) {
        let (heard, receiver) = watch::channel(Heard::default());
        let behind = VecDeque::new();
        (Self { watch, history, reader, heard, at: None, behind, epochs: BTreeMap::new() }, receiver)
    }

    pub(crate) async fn run(mut self) {
        while let Some(delivery) = self.reader.recv().await {
            match delivery {
                Delivery::Record(record) => self.record(&record),
                Delivery::Gap { missed } => self.heard.send_modify(|heard| heard.missed += missed),
            }
        }
    }

    fn record(&mut self, record: &Record) {
        let here = (record.epoch, record.seq);
        if let Some((epoch, seq)) = self.at
            && here != (epoch, seq + 1)
            && !(record.epoch > epoch && record.seq == 1)
        {
            self.heard.send_modify(|heard| heard.missed += 1);
        }
        if self.at.is_none_or(|at| at.0 != record.epoch) {
            // What said that the second level has it may have died with the bus. A capture that goes on behind it does not say it again,
            // and rightly so if it has: the run looks into the second level in the end.
            for (_, _, writes) in self.behind.drain(..) {
                self.history.add(What::Floored(writes));
            }
            self.heard.send_modify(|heard| heard.epoch = record.epoch);
        }
        self.at = Some(here);
        let mut writes = Vec::new();
        for message in feed::decode(&record.payload).unwrap() {
            match message {
                Message::Change(change) => writes.extend(write(&change)),
                Message::Bump { bump, epoch } => {
                    self.history.note(format!("{bump:?} in epoch {epoch}"));
                    self.heard.send_modify(|heard| heard.bumps += 1);
                    let covered = |table: &Table| match &bump.scope {
                        Scope::All => true,
                        Scope::Table(name) => **name == rows::name(*table),
                    };
                    let tables: Vec<_> = TABLES.into_iter().filter(covered).collect();
                    self.history.add(What::Published(tables.iter().copied().map(Write::Table).collect()));
                    for table in tables {
                        self.raise(table, epoch);
                    }
                }
                Message::Applied { epoch, seq, epochs, .. } => {
                    self.raise_all(&epochs);
                    if epoch == record.epoch {
                        self.applied(seq);
                    }
                }
                Message::Beat { .. } => {}
            }
        }
        if !writes.is_empty() {
            self.history.add(What::Published(writes.clone()));
            self.behind.push_back((record.seq, self.watch.generation(), writes));
        }
    }

    fn raise_all(&mut self, epochs: &Epochs) {
        for table in TABLES {
            self.raise(table, epochs.of(&rows::name(table)));
        }
    }

    fn raise(&mut self, table: Table, epoch: u64) {
        let known = self.epochs.entry(table).or_default();
        if epoch > *known {
            *known = epoch;
            self.history.add(What::Raised(table));
        }
    }

    fn applied(&mut self, seq: u64) {
        while let Some((_, master, writes)) = self.behind.pop_front_if(|(number, ..)| *number <= seq) {
            if master == self.watch.generation() && master % 2 == 0 {
                self.held(master, &writes);
            }
            let marker = writes.iter().filter_map(|write| match write {
                Write::Row { key, version, .. } if *key == MARKER => Some(*version),
                _ => None,
            });
            if let Some(version) = marker.max() {
                self.heard.send_modify(|heard| heard.marker = heard.marker.max(version));
            }
            self.history.add(What::Floored(writes));
        }
    }
}

impl Ears {
    /// Masters have these floors from now on, and maybe more; for how long they did nobody knows.
    fn held(&self, master: u32, writes: &[Write]) {
        for write in writes {
            let Write::Row { key, version, tombstone } = *write else { continue };
            if key.table != Table::Orders {
                continue;
            }
            let version = version + u64::from(tombstone);
            if !self.watch.has_written(key, master, version) {
                let until = self.history.now() + KEPT;
                let asked = Duration::ZERO;
                self.history.add(What::Stored { key, master, fill: None, version, asked, until });
            }
        }
    }
}

/// The change as the history has it.
fn write(change: &Change) -> Option<Write> {
    let key = row(change)?;
    // Without a version it tells of all that was committed.
    let version = match change.version {
        Version::Exact(version) => version,
        Version::Bounded => u64::MAX,
    };
    Some(Write::Row { key, version, tombstone: change.tombstone })
}

/// The row that changed.
pub(crate) fn row(change: &Change) -> Option<Key> {
    let table = TABLES.into_iter().find(|table| rows::name(*table) == *change.table)?;
    match &change.key[..] {
        [KeyPart::Uint(id)] => Some(Key { table, id: *id }),
        _ => None,
    }
}
