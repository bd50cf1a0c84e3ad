//! Two servers with four databases each, and a user who may not write to a read-only one.

use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::process::within;
use aqueduct_kit::{Scratch, until};
use aqueduct_shards::{Address, Error, Freshness, Options, Read, ServerStats, Shard, Shards, Token};

pub(crate) struct Site {
    pub(crate) primary: MariaDb,
    pub(crate) replica: MariaDb,
    _scratch: Scratch,
}

const SCHEMA: &str = "
    CREATE USER shop IDENTIFIED BY 'secret';
    GRANT ALL ON `shop\\_%`.* TO shop;
    CREATE DATABASE shop_0; CREATE DATABASE shop_1; CREATE DATABASE shop_2; CREATE DATABASE shop_3;
    CREATE TABLE shop_0.notes (id INT PRIMARY KEY, text VARCHAR(20)) ENGINE=InnoDB;";

impl Site {
    /// A primary with the table `notes` in shard 0, and a replica that has caught up.
    pub(crate) fn start(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let primary = MariaDb::start(&scratch).unwrap();
        let replica = primary.replica(&scratch).unwrap();
        replica.sql("SET GLOBAL read_only=1").unwrap();
        primary.sql(SCHEMA).unwrap();
        let site = Self { primary, replica, _scratch: scratch };
        site.catch_up();
        site
    }

    pub(crate) fn catch_up(&self) {
        self.replica.wait_caught_up(&self.primary, within(60)).unwrap();
    }

    /// Every shard on both servers. The upkeep does nothing by itself within a test.
    pub(crate) fn options(&self) -> Options {
        options(&[self.primary.port(), self.replica.port()])
    }

    pub(crate) async fn connect(&self) -> Shards {
        Shards::connect(self.options()).await.unwrap().0
    }

    /// Stops the replica from applying what it receives.
    pub(crate) fn hold_replica(&self) {
        self.replica.sql("STOP SLAVE SQL_THREAD").unwrap();
    }

    pub(crate) fn release_replica(&self) {
        self.replica.sql("START SLAVE SQL_THREAD").unwrap();
    }

    /// Makes the replica the primary, as an operator would.
    pub(crate) fn promote_replica(&self) {
        self.replica.sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0").unwrap();
    }
}

pub(crate) fn options(ports: &[u16]) -> Options {
    let servers: Vec<_> =
        ports.iter().map(|port| Address { host: "127.0.0.1".to_owned(), port: *port }).collect();
    let shard = |n| Shard { database: format!("shop_{n}"), servers: servers.clone() };
    let mut options = Options::new((0..4).map(shard).collect(), "shop", "secret");
    options.check_every = std::time::Duration::from_hours(1);
    options.session_timeout = within(60);
    options.connect_timeout = within(10);
    options
}

/// Writes a row into shard 0.
pub(crate) async fn put(shards: &Shards, id: i32, text: &str) -> Result<Token, Error> {
    let mut write = shards.write(0, None).await?;
    write.exec("REPLACE INTO notes VALUES (?, ?)", (id, text)).await?;
    write.commit().await
}

/// Reads a row of shard 0, and tells whether the primary answered.
pub(crate) async fn get(shards: &Shards, id: i32, freshness: Freshness<'_>) -> (Option<String>, bool) {
    let mut read = shards.read(0, freshness, None).await.unwrap();
    (text(&mut read, id).await, read.is_from_primary())
}

pub(crate) async fn text(read: &mut Read, id: i32) -> Option<String> {
    read.first("SELECT text FROM notes WHERE id = ?", (id,)).await.unwrap()
}

/// The counters of shard 0: of its first server and of its second.
pub(crate) fn stats(shards: &Shards) -> [ServerStats; 2] {
    let mut all = shards.stats().into_iter();
    [all.next().unwrap(), all.next().unwrap()]
}

/// Polls for something that another process or task brings about.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool + Send + 'static) {
    let found = tokio::task::spawn_blocking(move || until(within(30), || holds().then_some(())));
    assert!(found.await.unwrap().is_some(), "in vain: {what}");
}
