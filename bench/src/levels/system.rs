//! The servers, and instances of `aqueduct up` on them.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::nats::Nats;
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;
use aqueduct_kit::{Client, Port, Process, Profile, Scratch, aqueduct, until};

/// MariaDB with a replica, a Redis Cluster, NATS.
pub(super) struct Servers {
    primary: MariaDb,
    replica: MariaDb,
    redis: RedisCluster,
    nats: Nats,
    scratch: Scratch,
}

impl Servers {
    pub(super) fn start() -> Result<Self> {
        let scratch = Scratch::new("bench-levels");
        let primary = MariaDb::start(&scratch)?;
        let replica = primary.replica(&scratch)?;
        replica.sql("SET GLOBAL read_only=1")?;
        let redis = RedisCluster::start(&scratch)?;
        let nats = Nats::start(&scratch)?;
        for shard in 0..4 {
            primary.sql(&format!("CREATE DATABASE shop_{shard}"))?;
        }
        Ok(Self { primary, replica, redis, nats, scratch })
    }

    /// Starts an instance. One of them captures the changes.
    pub(super) fn instance(&self, captures: bool) -> Result<Instance> {
        let ports = [Port::free(), Port::free(), Port::free()];
        let [edge, services, admin] = [&ports[0], &ports[1], &ports[2]].map(Port::address);
        let (primary, replica) = (self.primary.address(), self.replica.address());
        let shard =
            |n| format!("      - {{ database: shop_{n}, servers: [\"{primary}\", \"{replica}\"] }}\n");
        let shards = [0, 1, 2, 3].map(shard).concat();
        let nodes =
            self.redis.addresses().iter().map(|node| format!("\"{node}\"")).collect::<Vec<_>>().join(", ");
        let config = format!(
            "gateway: {{ listen: [{{ address: \"{edge}\" }}] }}\n\
             shop: {{ address: \"{services}\" }}\n\
             admin: {{ address: \"{admin}\" }}\n\
             data:\n  mysql:\n    user: root\n    shards:\n{shards}  redis: {{ nodes: [{nodes}] }}\n  \
             bus: {{ servers: [\"{}\"] }}\n  cdc: {{ here: {captures} }}\n",
            self.nats.address()
        );
        let name = if captures { "first" } else { "second" };
        let file = self.scratch.write(&format!("{name}.yaml"), config);
        let mut command = Command::new(aqueduct(Profile::Release));
        command.arg("up").arg("--data").arg(self.scratch.join(name)).arg("--config").arg(file);
        let mut process = Process::start("aqueduct up", &mut command).context("start aqueduct up")?;
        process.wait_port(edge, within(60))?;
        let ready = until(within(60), || {
            Client::new(edge).get("/readyz").is_ok_and(|answer| answer.status() == 200).then_some(())
        });
        ensure!(ready.is_some(), "aqueduct up is not ready; it printed:\n{}", process.printed());
        Ok(Instance { edge, admin, _process: process, _ports: ports })
    }
}

/// A running `aqueduct up`.
pub(super) struct Instance {
    pub(super) edge: SocketAddr,
    admin: SocketAddr,
    _process: Process,
    _ports: [Port; 3],
}

impl Instance {
    /// What has answered its reads so far.
    pub(super) fn loads(&self) -> Result<Loads> {
        let page = Client::new(self.admin).get("/metrics").context("read /metrics")?.text();
        Ok(Loads {
            memory: sum(&page, "aqueduct_cache_reads_total{", "answer=\"hit\""),
            redis: sum(&page, "aqueduct_cache_l2_loads_total{", "answer=\"hit\""),
            database: sum(&page, "aqueduct_cache_l2_loads_total{", "answer=\"primary\""),
        })
    }
}

/// Reads by what answered them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loads {
    pub(super) memory: f64,
    pub(super) redis: f64,
    pub(super) database: f64,
}

impl Loads {
    pub(super) fn add(&mut self, now: Self, before: Self) {
        self.memory += now.memory - before.memory;
        self.redis += now.redis - before.redis;
        self.database += now.database - before.database;
    }
}

/// The sum of the series of a name that have a label.
fn sum(page: &str, name: &str, label: &str) -> f64 {
    let series = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
