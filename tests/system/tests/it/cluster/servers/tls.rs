//! Servers that speak TLS only, and know their clients by certificates: the whole system on them, and what it says of those that it
//! does not trust, or that do not trust it.

use std::process::Command;

use aqueduct_kit::certificates::{Authority, Certificate};
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::nats::Nats;
use aqueduct_kit::process::within;
use aqueduct_kit::redis::RedisCluster;
use aqueduct_kit::{Scratch, until};

use super::bad_input::check;
use crate::cluster::{figure, wait_health};
use crate::site::{Site, binary, fails, no_panic};

struct Encrypted {
    mariadb: MariaDb,
    redis: RedisCluster,
    nats: Nats,
    client: Certificate,
    /// Vouches for none of the servers.
    stranger: Authority,
    _scratch: Scratch,
}

impl Encrypted {
    fn start() -> Self {
        let scratch = Scratch::new("tls-servers");
        let authority = Authority::new(&scratch, "ours");
        let server = authority.issue("server", &["127.0.0.1"]);
        let mariadb = MariaDb::start_tls(&scratch, &server, &[]).unwrap();
        mariadb.sql("CREATE USER shop REQUIRE X509; GRANT ALL ON *.* TO shop").unwrap();
        for shard in 0..4 {
            mariadb.sql(&format!("CREATE DATABASE shop_{shard}")).unwrap();
        }
        let redis = RedisCluster::start_tls(&scratch, &server).unwrap();
        let nats = Nats::start_tls(&scratch, &server).unwrap();
        let client = authority.issue("client", &["shop.test"]);
        let stranger = Authority::new(&scratch, "stranger");
        Self { mariadb, redis, nats, client, stranger, _scratch: scratch }
    }

    fn trust(&self) -> String {
        let [ca, cert, key] = self.client.paths();
        format!("{{ ca: {ca}, client_cert: {cert}, client_key: {key} }}")
    }

    /// With `tls` of the databases, of Redis and of the bus.
    fn yaml(&self, [mysql, redis, bus]: [&str; 3]) -> String {
        let database = self.mariadb.port();
        let shard = |n| format!("{{ database: shop_{n}, servers: [\"127.0.0.1:{database}\"] }}");
        let shards = [0, 1, 2, 3].map(shard).join(", ");
        let nodes: Vec<_> = self.redis.addresses().iter().map(|node| format!("\"{node}\"")).collect();
        format!(
            "data:\n  mysql: {{ user: shop, tls: {mysql}, shards: [{shards}] }}\n  redis: {{ tls: {redis}, nodes: [{}] }}\n  \
             bus: {{ tls: {bus}, servers: [\"{}\"] }}\n",
            nodes.join(", "),
            self.nats.address(),
        )
    }
}

#[test]
fn the_whole_system_runs_on_servers_that_speak_tls_only() {
    let below = Encrypted::start();
    let trust = below.trust();
    let site = Site::with_config("tls", &below.yaml([&trust, &trust, &trust]));
    let process = site.up();
    // Own heartbeats come back through the binlog and the bus.
    wait_health(&site, "ok");
    let mut shop = site.shop();
    let order = shop.create(7);
    assert_eq!(shop.event(order.id, "pay", "paid").version, 2);
    assert_eq!(shop.get(order.id).version, 2);
    let told = |name: &str| figure(&site, &format!("aqueduct_cdc_{name}_total{{source=\"primary-0\"}}"));
    let floors = until(within(60), || (told("changes") >= 2 && told("floors") >= 1).then_some(()));
    assert!(floors.is_some(), "{}", site.metrics());
    no_panic(&process);
}

#[test]
fn whom_nobody_vouches_for_is_not_spoken_to() {
    let below = Encrypted::start();
    let good = below.trust();
    let [ca, cert, key] = below.client.paths();
    let stranger = below.stranger.ca().display().to_string();
    let wrong = format!("{{ ca: {stranger}, client_cert: {cert}, client_key: {key} }}");
    let nobody = format!("{{ ca: {ca} }}");

    check("tls-mysql-ca", &below.yaml([&wrong, &good, &good]), &["UnknownIssuer", "127.0.0.1"]);
    check("tls-redis-ca", &below.yaml([&good, &wrong, &good]), &["UnknownIssuer", "Redis"]);
    check("tls-bus-ca", &below.yaml([&good, &good, &wrong]), &["UnknownIssuer", "NATS"]);

    // Who shows no certificate is refused by the servers.
    check("tls-mysql-nobody", &below.yaml([&nobody, &good, &good]), &["refuses user \"shop\""]);
    check("tls-redis-nobody", &below.yaml([&good, &nobody, &good]), &["Redis"]);
    check("tls-bus-nobody", &below.yaml([&good, &good, &nobody]), &["cannot use NATS"]);

    check("tls-mysql-off", &below.yaml(["off", &good, &good]), &["refuses user \"shop\"", "must use TLS"]);
    check("tls-redis-off", &below.yaml([&good, "off", &good]), &["Redis"]);
    check("tls-bus-off", &below.yaml([&good, &good, "off"]), &["cannot use NATS"]);
}

#[test]
fn a_certificate_must_be_for_the_address_that_is_configured() {
    let scratch = Scratch::new("tls-name");
    let authority = Authority::new(&scratch, "ours");
    let nats = Nats::start_tls(&scratch, &authority.issue("server", &["elsewhere.test"])).unwrap();
    let [ca, cert, key] = authority.issue("client", &["shop.test"]).paths();
    let yaml = format!(
        "data:\n  mysql: {{ user: root, shards: [{{ database: shop, servers: [\"127.0.0.1:1\"] }}] }}\n  \
         bus: {{ servers: [\"{}\"], tls: {{ ca: {ca}, client_cert: {cert}, client_key: {key} }} }}\n",
        nats.address()
    );
    let file = scratch.write("cluster.yaml", yaml);
    let mut command = Command::new(binary());
    command.arg("cdc").arg("--config").arg(file).current_dir(scratch.path());
    let (code, printed) = fails(&mut command);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("NotValidForName") || printed.contains("not valid for name"), "{printed}");
}
