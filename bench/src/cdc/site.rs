//! The servers of a measurement, and the capture of their changes.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::nats::Nats;
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;
use aqueduct_kit::{Port, Process, Profile, Scratch, aqueduct};

/// Rows that are there from the beginning.
pub(super) const ROWS: u64 = 10_000;

pub(super) struct Site {
    pub(super) mariadb: MariaDb,
    _redis: RedisCluster,
    pub(super) nats: Nats,
    pub(super) admin: Port,
    scratch: Scratch,
}

impl Site {
    pub(super) fn start() -> Result<Self> {
        let scratch = Scratch::new("bench-cdc");
        let mariadb = MariaDb::start_with(&scratch, &["--sync-binlog=1"])?;
        mariadb.sql(&format!(
            "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id BIGINT UNSIGNED PRIMARY KEY, version BIGINT UNSIGNED NOT NULL, \
             note VARCHAR(100) NOT NULL DEFAULT 'a note of some length, as an order has'); \
             INSERT INTO orders (id, version) SELECT seq, 1 FROM seq_1_to_{ROWS}"
        ))?;
        let redis = RedisCluster::start(&scratch)?;
        let nats = Nats::start(&scratch)?;
        let admin = Port::free();
        let nodes: Vec<_> = redis.addresses().iter().map(|node| format!("\"{node}\"")).collect();
        let text = format!(
            "data:\n  dir: state\n  mysql: {{ user: root, shards: [{{ database: shop, servers: [\"127.0.0.1:{}\"] }}] }}\n  \
             redis: {{ nodes: [{}] }}\n  bus: {{ servers: [\"{}\"] }}\n  \
             cdc: {{ tables: [{{ table: shop.orders, version: version }}] }}\n",
            mariadb.port(),
            nodes.join(", "),
            nats.address(),
        );
        fs::write(scratch.path().join("cluster.yaml"), text).context("write the configuration")?;
        Ok(Self { mariadb, _redis: redis, nats, admin, scratch })
    }

    /// Starts the capture, and waits until it runs.
    pub(super) fn capture(&self) -> Result<Process> {
        let mut command = Command::new(aqueduct(Profile::Release));
        let admin = self.admin.address().to_string();
        command.args(["cdc", "--config", "cluster.yaml", "--admin", &admin]).current_dir(self.scratch.path());
        let process = Process::start("cdc", &mut command)?;
        process.wait_line("changes are captured", within(60)).map_err(std::io::Error::other)?;
        Ok(process)
    }
}
