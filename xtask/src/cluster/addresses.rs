//! Where the servers are, for people and for programs: `cluster.yaml`.

use std::fmt::Write as _;

use super::entry::{Entry, Kind};

/// One a shard.
pub(crate) const DATABASES: [&str; 4] = ["shop_0", "shop_1", "shop_2", "shop_3"];

/// `mysql://root@127.0.0.1:12345`
pub(crate) fn url(server: &Entry) -> String {
    let scheme = match server.kind {
        Kind::Mariadb => "mysql://root@",
        Kind::Redis { .. } => "redis://",
        Kind::Nats => "nats://",
    };
    format!("{scheme}127.0.0.1:{}", server.port)
}

/// The content of `cluster.yaml`, which `aqueduct up` and `aqueduct cdc` read.
pub(crate) fn yaml(servers: &[Entry]) -> String {
    let of = |is: fn(&Kind) -> bool| {
        let addresses = servers.iter().filter(|server| is(&server.kind));
        let addresses = addresses.map(|server| format!("\"127.0.0.1:{}\"", server.port));
        format!("[{}]", addresses.collect::<Vec<_>>().join(", "))
    };
    let databases = of(|kind| *kind == Kind::Mariadb);
    let mut text = String::from(
        "# Written by `cargo xtask cluster up`, which writes it anew each time.\ndata:\n  dir: aqueduct-data\n  mysql:\n    user: root\n    shards:\n",
    );
    for database in DATABASES {
        line(&mut text, &format!("      - {{ database: {database}, servers: {databases} }}"));
    }
    line(&mut text, &format!("  redis: {{ nodes: {} }}", of(|kind| matches!(kind, Kind::Redis { .. }))));
    line(&mut text, &format!("  bus: {{ servers: {} }}", of(|kind| *kind == Kind::Nats)));
    line(&mut text, "  cdc: { tables: [{ table: shop_*.orders_*, version: version }] }");
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes everything");
}
