//! The servers, and the capture of their changes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use aqueduct_cdc::heartbeat;
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::nats::Nats;
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;
use aqueduct_kit::{Process, Profile, Scratch, aqueduct, until};

/// One table with versions, one without.
const SCHEMA: &str = "
    CREATE DATABASE shop; USE shop;
    CREATE TABLE orders (id BIGINT UNSIGNED PRIMARY KEY, version BIGINT UNSIGNED NOT NULL);
    CREATE TABLE items (id BIGINT UNSIGNED PRIMARY KEY, version BIGINT UNSIGNED NOT NULL);";

pub(crate) struct Site {
    pub(crate) mariadb: MariaDb,
    pub(crate) redis: RedisCluster,
    pub(crate) nats: Nats,
    pub(crate) cdc: Process,
    pub(crate) scratch: Scratch,
}

impl Site {
    pub(crate) fn start(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let mariadb = MariaDb::start_with(&scratch, &["--sync-binlog=1"]).unwrap();
        mariadb.sql(&format!("{SCHEMA} {}", heartbeat::create("shop"))).unwrap();
        let redis = RedisCluster::start(&scratch).unwrap();
        let nats = Nats::start(&scratch).unwrap();
        let nodes: Vec<_> = redis.addresses().iter().map(|node| format!("\"{node}\"")).collect();
        // To the capture `items` is a table without a version: its column is only what the test tells the rows by.
        let text = format!(
            "data:\n  dir: state\n  mysql: {{ user: root, shards: [{{ database: shop, servers: [\"127.0.0.1:{}\"] }}] }}\n  \
             redis: {{ nodes: [{}] }}\n  bus: {{ servers: [\"{}\"] }}\n  \
             cdc: {{ tables: [{{ table: shop.orders, version: version }}, {{ table: shop.items }}] }}\n",
            mariadb.port(),
            nodes.join(", "),
            nats.address(),
        );
        fs::write(scratch.path().join("cluster.yaml"), text).unwrap();
        let cdc = capture(&scratch);
        let site = Self { mariadb, redis, nats, cdc, scratch };
        // Without one a capture that is killed says only that all may be stale.
        until(within(60), || site.checkpoint().is_file().then_some(())).expect("a first checkpoint");
        site
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.mariadb.sql(&format!("USE shop; {sql}")).unwrap()
    }

    /// A capture in the place of the one that was killed.
    pub(crate) fn start_cdc(&mut self) {
        self.cdc = capture(&self.scratch);
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.scratch.path().join("state/cdc/primary-0.checkpoint")
    }

    /// The nodes as a client wants them.
    pub(crate) fn nodes(&self) -> Vec<String> {
        self.redis.addresses().iter().map(|node| format!("redis://{node}")).collect()
    }

    /// By what the masters of the second level stamp what they write.
    pub(crate) fn stamps(&self) -> Vec<String> {
        let stamp = |node: &aqueduct_kit::redis::Node| {
            let info = node.cli(&["INFO", "replication"]).unwrap_or_default();
            let line = |name: &str| {
                info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
            };
            (line("role:") == "master").then(|| line("master_replid:"))
        };
        self.redis.nodes.iter().filter_map(stamp).collect()
    }
}

fn capture(scratch: &Scratch) -> Process {
    let mut command = Command::new(aqueduct(Profile::Debug));
    command.args(["cdc", "--config", "cluster.yaml"]).current_dir(scratch.path());
    let process = Process::start("cdc", &mut command).unwrap();
    process.wait_line("changes are captured", within(60)).unwrap();
    process
}
