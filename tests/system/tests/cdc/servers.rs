//! What the tests share: a server with two tables, a reader of it, and what came out.

mod crash;
mod instance;
mod process;
mod refused;
mod rows;
mod whole;
mod whole_tables;
mod xa;

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use aqueduct_cdc::{
    Change, EpochBump, Error, FileStore, Key, KeyPart, Options, Reader, Reason, Sink, Store as _,
    Transaction, Version, Watched,
};
use aqueduct_kit::Scratch;
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::process::within;
use tokio::sync::mpsc;
use tokio::time::timeout;

const SCHEMA: &str = "
    CREATE DATABASE shop; USE shop;
    CREATE TABLE orders (year YEAR, price DECIMAL(12,3), note TEXT, id BIGINT UNSIGNED PRIMARY KEY, at DATETIME(3),
        kind ENUM('a','b'), name CHAR(90), version INT NOT NULL) CHARSET utf8mb4;
    CREATE TABLE parts (position INT NOT NULL, sku VARBINARY(20) NOT NULL, amount INT, PRIMARY KEY (sku, position));
    CREATE TABLE other (id INT PRIMARY KEY);";

pub(crate) struct Site {
    pub(crate) server: MariaDb,
    checkpoint: PathBuf,
    pub(crate) options: Options,
    _scratch: Scratch,
}

impl Site {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, &[])
    }

    pub(crate) fn start_with(name: &str, options: &[&str]) -> Self {
        let scratch = Scratch::new(name);
        let server = MariaDb::start_with(&scratch, options).unwrap();
        server.sql(SCHEMA).unwrap();
        let tables = vec![Watched::exact("shop", "orders", "version"), Watched::bounded("shop", "parts")];
        let options = Options {
            checkpoint_every: Duration::ZERO,
            heartbeat: Duration::from_secs(5),
            ..Options::new("127.0.0.1", server.port(), "root", "", tables)
        };
        let checkpoint = scratch.path().join("checkpoint");
        Self { server, checkpoint, options, _scratch: scratch }
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.server.sql(&format!("USE shop; {sql}")).unwrap();
    }

    pub(crate) fn store(&self) -> FileStore {
        FileStore::new(&self.checkpoint)
    }

    pub(crate) fn saved(&self) -> String {
        self.store().load().unwrap().unwrap().to_string()
    }

    pub(crate) async fn connect(&self) -> Result<Reader<FileStore>, Error> {
        Reader::connect(self.options.clone(), self.store()).await
    }

    /// A reader in a task. Without a checkpoint its first transaction is taken off here.
    pub(crate) async fn follow(&self) -> Follower {
        let first = self.store().load().unwrap().is_none();
        let mut reader = self.connect().await.unwrap();
        let (sender, receiver) = mpsc::unbounded_channel();
        let task = aqueduct_runtime::task::spawn("cdc", async move { reader.run(&mut Tell(sender)).await });
        let mut follower = Follower { receiver, task };
        if first {
            assert_eq!(follower.bump().await.reason, Reason::NoCheckpoint);
            // Saved a moment after the sink has it.
            while self.store().load().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        follower
    }
}

/// A sink that gives on what it takes.
struct Tell(mpsc::UnboundedSender<Transaction>);

impl Sink for Tell {
    type Error = Infallible;

    async fn deliver(&mut self, transaction: &Transaction) -> Result<(), Infallible> {
        _ = self.0.send(transaction.clone());
        Ok(())
    }
}

pub(crate) struct Follower {
    receiver: mpsc::UnboundedReceiver<Transaction>,
    task: tokio::task::JoinHandle<Result<Infallible, Error>>,
}

impl Follower {
    pub(crate) async fn next(&mut self) -> Transaction {
        match timeout(within(30), self.receiver.recv()).await.expect("a transaction in time") {
            Some(transaction) => transaction,
            None => panic!("the reader ended: {:?}", (&mut self.task).await),
        }
    }

    /// The only bump of the next transaction, which has no changes.
    pub(crate) async fn bump(&mut self) -> EpochBump {
        let transaction = self.next().await;
        assert_eq!((transaction.bumps.len(), transaction.changes.len()), (1, 0), "{transaction:?}");
        transaction.bumps[0].clone()
    }

    /// The changes of the next transaction, which bumps nothing.
    pub(crate) async fn changes(&mut self) -> Vec<Change> {
        let transaction = self.next().await;
        assert_eq!(transaction.bumps, [], "{transaction:?}");
        transaction.changes
    }

    /// Ends it where it stands, as a crash would.
    pub(crate) async fn drop_reader(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// The error with which it ended.
    pub(crate) async fn error(self) -> Error {
        timeout(within(30), self.task).await.expect("an end in time").unwrap().unwrap_err()
    }
}

/// What a change says of an order: id, version, and whether it is gone.
pub(crate) fn order(change: &Change) -> (u64, u64, bool) {
    assert_eq!(change.table.to_string(), "shop.orders");
    match (&change.key[..], change.version) {
        ([KeyPart::Uint(id)], Version::Exact(version)) => (*id, version, change.tombstone),
        other => panic!("no order: {other:?}"),
    }
}

pub(crate) fn orders(changes: &[Change]) -> Vec<(u64, u64, bool)> {
    changes.iter().map(order).collect()
}

pub(crate) fn line(sku: &str, position: i64) -> Key {
    vec![KeyPart::Bytes(sku.as_bytes().to_vec()), KeyPart::Int(position)]
}
