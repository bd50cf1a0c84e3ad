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

/// The content of `cluster.yaml`.
pub(crate) fn yaml(servers: &[Entry]) -> String {
    let of = |is: fn(&Kind) -> bool| servers.iter().filter(move |server| is(&server.kind)).map(url);
    let databases: Vec<String> = of(|kind| *kind == Kind::Mariadb).collect();
    let mut text =
        String::from("# Written by `cargo xtask cluster up`, which writes it anew each time.\nshards:\n");
    for database in DATABASES {
        for (index, (role, url)) in ["primary", "replica"].iter().zip(&databases).enumerate() {
            let dash = if index == 0 { "-" } else { " " };
            line(&mut text, &format!("  {dash} {role}: {url}/{database}"));
        }
    }
    line(&mut text, "redis:\n  nodes:");
    for url in of(|kind| matches!(kind, Kind::Redis { .. })) {
        line(&mut text, &format!("    - {url}"));
    }
    line(&mut text, "bus:");
    for url in of(|kind| *kind == Kind::Nats) {
        line(&mut text, &format!("  url: {url}"));
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes everything");
}
