//! `aqueduct cdc` with all that it talks to: MariaDB, a Redis Cluster, NATS.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use aqueduct_bus::jetstream::{self, Bus};
use aqueduct_bus::{Delivery, Subscribe as _};
use aqueduct_cache::l2::{self, Found, Store};
use aqueduct_cdc::feed::{self, Message, l2_key};
use aqueduct_cdc::{EpochBump, KeyPart, TableName, Version};
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::nats::Nats;
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;
use aqueduct_kit::{Process, Profile, Scratch, aqueduct, until};
use tokio::time::timeout;

use super::SCHEMA;

/// The servers, and a configuration that names them.
pub(crate) struct Whole {
    pub(crate) mariadb: MariaDb,
    pub(crate) redis: RedisCluster,
    pub(crate) nats: Nats,
    scratch: Scratch,
}

impl Whole {
    pub(crate) fn start(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let mariadb = MariaDb::start_with(&scratch, &["--sync-binlog=1"]).unwrap();
        mariadb.sql(SCHEMA).unwrap();
        let redis = RedisCluster::start(&scratch).unwrap();
        let nats = Nats::start(&scratch).unwrap();
        let whole = Self { mariadb, redis, nats, scratch };
        whole.configure(|text| text);
        whole
    }

    /// Writes the configuration as `change` leaves it.
    pub(crate) fn configure(&self, change: impl FnOnce(String) -> String) {
        let nodes: Vec<_> = self.redis.addresses().iter().map(|node| format!("\"{node}\"")).collect();
        let text = format!(
            "data:\n  dir: state\n  mysql: {{ user: root, shards: [{{ database: shop, servers: [\"127.0.0.1:{}\"] }}] }}\n  \
             redis: {{ nodes: [{}] }}\n  bus: {{ servers: [\"{}\"] }}\n  \
             cdc: {{ tables: [{{ table: shop.orders, version: version }}, {{ table: shop.parts }}] }}\n",
            self.mariadb.port(),
            nodes.join(", "),
            self.nats.address(),
        );
        fs::write(self.scratch.path().join("cluster.yaml"), change(text)).unwrap();
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.mariadb.sql(&format!("USE shop; {sql}")).unwrap();
    }

    /// Starts the command and does not wait for it.
    pub(crate) fn launch(&self) -> Process {
        let mut command = Command::new(aqueduct(Profile::Debug));
        command.args(["cdc", "--config", "cluster.yaml"]).current_dir(self.scratch.path());
        Process::start("cdc", &mut command).unwrap()
    }

    pub(crate) fn cdc(&self) -> Process {
        let process = self.launch();
        process.wait_line("changes are captured", within(60)).unwrap();
        process
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.scratch.path().join("state/cdc/primary-0.checkpoint")
    }

    /// What the checkpoint says now.
    pub(crate) fn saved(&self) -> Option<String> {
        let text = fs::read_to_string(self.checkpoint()).ok()?;
        text.lines().nth(1).map(str::to_owned)
    }

    /// Waits until the checkpoint is where the server is.
    pub(crate) fn wait_saved(&self) {
        let gtid = self.mariadb.gtid().unwrap();
        let saved = until(within(60), || (self.saved().as_ref() == Some(&gtid)).then_some(()));
        assert!(saved.is_some(), "{:?} instead of {gtid}", self.saved());
    }

    pub(crate) async fn ears(&self) -> Ears {
        let options = jetstream::Options::new(&format!("nats://{}", self.nats.address()), "primary-0");
        let bus = Bus::connect(options).await.unwrap();
        Ears { reader: bus.subscribe().await.unwrap(), at: None, heard: BTreeMap::new(), bumps: Vec::new() }
    }

    pub(crate) async fn level2(&self) -> Store {
        let nodes: Vec<_> = self.redis.addresses().iter().map(|node| format!("redis://{node}")).collect();
        Store::connect(&nodes, l2::Options::default()).await.unwrap()
    }
}

/// What was heard of an order: an epoch of the bus, a version, and whether it is gone.
pub(crate) type Heard = (u64, u64, bool);

/// Listens to the bus, and sees that the order is kept and nothing is missed in silence.
pub(crate) struct Ears {
    reader: jetstream::Reader,
    at: Option<(u64, u64)>,
    pub(crate) heard: BTreeMap<u64, Vec<Heard>>,
    pub(crate) bumps: Vec<(EpochBump, u64)>,
}

impl Ears {
    /// Until `done`, or in vain.
    pub(crate) async fn hear(&mut self, done: impl Fn(&Self) -> bool) {
        let hearing = async {
            while !done(self) {
                self.next().await;
            }
        };
        if timeout(within(90), hearing).await.is_err() {
            let last: Vec<_> = self.heard.iter().map(|(key, all)| (key, all.last())).collect();
            panic!("not heard in time; heard last: {last:?}; bumps: {:?}", self.bumps);
        }
    }

    async fn next(&mut self) {
        let record = match self.reader.recv().await.unwrap() {
            Delivery::Record(record) => record,
            gap @ Delivery::Gap { .. } => panic!("{gap:?}"),
        };
        if let Some((epoch, seq)) = self.at {
            let follows = record.epoch == epoch && record.seq == seq + 1;
            assert!(follows || record.epoch > epoch && record.seq == 1, "{record:?} after {:?}", self.at);
        }
        self.at = Some((record.epoch, record.seq));
        for message in feed::decode(&record.payload).unwrap() {
            match message {
                Message::Change(change) if change.table.table == "orders" => {
                    let ([KeyPart::Uint(key)], Version::Exact(version)) = (&change.key[..], change.version)
                    else {
                        panic!("no order: {change:?}")
                    };
                    let heard = self.heard.entry(*key).or_default();
                    let new = (record.epoch, version, change.tombstone);
                    // A new epoch may tell again what the one before did, but in order.
                    let last = heard.last().copied().unwrap_or_default();
                    assert!(last.0 < new.0 || last.1 <= new.1, "{new:?} after {last:?}");
                    heard.push(new);
                }
                Message::Bump { bump, epoch } => self.bumps.push((bump, epoch)),
                _ => {}
            }
        }
    }

    /// Whether the last that was heard of these orders is `version`.
    pub(crate) fn ends_with(&self, keys: impl IntoIterator<Item = u64>, version: u64) -> bool {
        let last = |key| self.heard.get(&key)?.last().copied();
        keys.into_iter().all(|key| last(key).is_some_and(|last| last.1 == version))
    }

    /// The versions that were heard of an order, in whichever epoch.
    pub(crate) fn versions(&self, key: u64) -> BTreeSet<u64> {
        self.heard.get(&key).into_iter().flatten().map(|heard| heard.1).collect()
    }
}

/// Waits until the second level has this floor of each order.
pub(crate) async fn wait_floors(level2: &Store, keys: impl IntoIterator<Item = u64>, version: u64) {
    let table = TableName { database: "shop".to_owned(), table: "orders".to_owned() };
    for id in keys {
        let key = l2_key(&table, &vec![KeyPart::Uint(id)]).unwrap();
        let mut last = None;
        let wait = async {
            loop {
                let found = level2.get(&key).await;
                if matches!(found, Ok(Found::Floor(floor)) if floor == version) {
                    return;
                }
                last = Some(found);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = timeout(within(60), wait).await;
        assert!(done.is_ok(), "order {id} has {last:?} instead of floor {version}");
    }
}

/// Orders 1 to `keys` in version 1, and statements that bring each of them to `versions`, one by one.
pub(crate) fn writes(keys: u64, versions: std::ops::RangeInclusive<u64>) -> String {
    let update = |version: u64| {
        (1..=keys).map(move |key| format!("UPDATE orders SET version={version} WHERE id={key};"))
    };
    versions.flat_map(update).collect::<Vec<_>>().concat()
}

pub(crate) fn inserts(keys: u64) -> String {
    let insert = |key| format!("INSERT INTO orders (id, version) VALUES ({key}, 1);");
    (1..=keys).map(insert).collect::<Vec<_>>().concat()
}
