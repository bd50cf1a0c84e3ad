//! `aqueduct up` on real servers: MariaDB with a replica, a Redis Cluster, NATS.

mod events;
mod flow;
mod proxy;
mod servers;

use std::fmt::Write as _;
use std::time::Duration;

use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::nats::Nats;
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;
use aqueduct_kit::{Client, Scratch, until};
use serde_json::Value;

use crate::site::Site;

/// The servers below one system.
#[derive(Debug)]
struct Below {
    primary: MariaDb,
    replica: MariaDb,
    redis: RedisCluster,
    nats: Nats,
    _scratch: Scratch,
}

impl Below {
    fn start(name: &str) -> Self {
        let scratch = Scratch::new(&format!("{name}-servers"));
        let primary = MariaDb::start(&scratch).unwrap();
        let replica = primary.replica(&scratch).unwrap();
        replica.sql("SET GLOBAL read_only=1").unwrap();
        for shard in 0..4 {
            primary.sql(&format!("CREATE DATABASE shop_{shard}")).unwrap();
        }
        // The databases must be there too for those who log in to the replica.
        replica.wait_caught_up(&primary, within(60)).unwrap();
        let redis = RedisCluster::start(&scratch).unwrap();
        let nats = Nats::start(&scratch).unwrap();
        Self { primary, replica, redis, nats, _scratch: scratch }
    }

    /// A user for the system that, unlike root, may not write to a server that is read-only; the line that names it.
    fn create_user(&self) -> &'static str {
        let grants = "CREATE USER shop; GRANT ALL ON `shop\\_%`.* TO shop; \
                      GRANT REPLICATION SLAVE, REPLICATION CLIENT, BINLOG MONITOR ON *.* TO shop";
        self.primary.sql(grants).unwrap();
        self.replica.wait_caught_up(&self.primary, within(60)).unwrap();
        "user: shop"
    }

    /// The section `data`, and `more` before it.
    fn yaml(&self, more: &str) -> String {
        self.yaml_at(more, &[self.primary.port(), self.replica.port()])
    }

    /// With other ports of the databases.
    fn yaml_at(&self, more: &str, ports: &[u16]) -> String {
        let mut text = format!("{more}\ndata:\n  mysql:\n    user: root\n    shards:\n");
        let servers: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let servers = format!("[{}]", servers.join(", "));
        for shard in 0..4 {
            writeln!(text, "      - {{ database: shop_{shard}, servers: {servers} }}").unwrap();
        }
        let nodes: Vec<String> =
            self.redis.addresses().iter().map(|address| format!("\"{address}\"")).collect();
        writeln!(text, "  redis: {{ nodes: [{}] }}", nodes.join(", ")).unwrap();
        writeln!(text, "  bus: {{ servers: [\"127.0.0.1:{}\"] }}", self.nats.port()).unwrap();
        text
    }

    /// What happened to an order, oldest first: version, state and event.
    fn history(&self, id: i64) -> Vec<(u64, u64, u64)> {
        let (database, table) = table_of(id);
        let sql = format!(
            "SELECT version, state, event FROM {database}.order_events_{table} WHERE id = {id} ORDER BY version"
        );
        let rows = self.primary.sql(&sql).unwrap();
        let row = |line: &str| {
            let numbers: Vec<u64> = line.split('\t').map(|number| number.parse().unwrap()).collect();
            (numbers[0], numbers[1], numbers[2])
        };
        rows.lines().map(row).collect()
    }

    /// Everything but the system itself is gone at once.
    fn kill_all(&mut self) {
        self.primary.kill9().unwrap();
        self.replica.kill9().unwrap();
        self.nats.kill9().unwrap();
        for node in &mut self.redis.nodes {
            node.kill9().unwrap();
        }
    }

    fn restart_all(&mut self) {
        self.primary.restart().unwrap();
        self.replica.restart().unwrap();
        self.replica.sql("SET GLOBAL read_only=1").unwrap();
        self.nats.restart().unwrap();
        for node in &mut self.redis.nodes {
            node.restart().unwrap();
        }
        self.redis.form().unwrap();
    }
}

/// The database and the number of the table that an order is in.
fn table_of(id: i64) -> (String, String) {
    (format!("shop_{}", id >> 19 & 3), format!("{:02}", id >> 15 & 15))
}

/// `/healthz`: its HTTP status and content.
fn health(site: &Site) -> (u16, Value) {
    let answer = Client::new(site.edge()).get("/healthz").unwrap();
    (answer.status(), answer.json())
}

/// Waits until the system says that it is `wanted`, and answers what it said.
fn wait_health(site: &Site, wanted: &str) -> Value {
    let mut last = Value::Null;
    let found = until(within(60), || {
        last = health(site).1;
        (last["status"] == wanted).then_some(())
    });
    assert!(found.is_some(), "not {wanted}: {last}");
    last
}

/// Lets time pass, where time is what matters.
fn awhile(time: Duration) {
    until(time, || None::<()>);
}

/// The value of a series on the page of metrics; 0 where it is not there yet.
fn figure(site: &Site, series: &str) -> u64 {
    let page = site.metrics();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.map_or(0, |value| value.parse().unwrap())
}
