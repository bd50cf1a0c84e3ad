//! Servers that cannot be used: each a clear message at the start, and an end with an error.

use std::fs;

use crate::cluster::{Below, wait_health};
use crate::site::{Site, fails};

#[track_caller]
pub(crate) fn check(name: &str, yaml: &str, expect: &[&str]) {
    let site = Site::with_config(name, yaml);
    let (code, printed) = fails(&mut site.command());
    assert_eq!(code, Some(1), "{printed}");
    for words in expect {
        assert!(printed.contains(words), "{words:?} is not in {printed}");
    }
    assert!(!printed.contains("panicked"), "{printed}");
}

#[test]
fn servers_that_cannot_be_used_are_told_at_the_start() {
    let below = Below::start("unfit");
    let yaml = below.yaml("");
    below.primary.sql("CREATE USER poor IDENTIFIED BY 'secret'").unwrap();

    check(
        "unfit-login",
        &yaml.replace("user: root", "user: nobody"),
        &["refuses user \"nobody\"", "password"],
    );
    check("unfit-grants", &yaml.replace("user: root", "user: poor"), &["refuses user \"poor\""]);
    check("unfit-database", &yaml.replace("shop_3", "shop_9"), &["has no such database", "create it"]);
    // A server of another kind in the place of Redis and of the bus.
    let nats = format!("[\"127.0.0.1:{}\"]", below.nats.port());
    let redis = format!("nodes: {nats}");
    let nodes = yaml.lines().find(|line| line.contains("redis:")).unwrap();
    check("unfit-redis", &yaml.replace(nodes, &format!("  redis: {{ {redis} }}")), &["Redis"]);
    let node = below.redis.nodes[0].port();
    check("unfit-bus", &yaml.replace(&nats, &format!("[\"127.0.0.1:{node}\"]")), &["cannot use NATS"]);

    // It runs once, so that there are tables and a checkpoint.
    let site = Site::with_config("unfit-later", &yaml);
    let mut process = site.up();
    wait_health(&site, "ok");
    process.terminate().unwrap();
    process.wait_exit(aqueduct_kit::process::within(60)).unwrap();

    let checkpoint = site.data().join("cdc/primary-0.checkpoint");
    let good = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, b"nonsense").unwrap();
    let (_, printed) = fails(&mut site.command());
    assert!(printed.contains("primary-0.checkpoint"), "{printed}");
    fs::write(&checkpoint, good).unwrap();

    for (table, column) in
        [("shop_2.orders_05", "version"), ("shop_1.accounts", "held"), ("shop_0.saga", "epoch")]
    {
        below.primary.sql(&format!("ALTER TABLE {table} CHANGE {column} gone BIGINT")).unwrap();
        let (_, printed) = fails(&mut site.command());
        let (database, table_alone) = table.split_once('.').unwrap();
        let lacking = format!("column {table_alone}.{column}");
        assert!(
            printed.contains("schema of") && printed.contains(database) && printed.contains(&lacking),
            "{printed}"
        );
        below.primary.sql(&format!("ALTER TABLE {table} CHANGE gone {column} BIGINT")).unwrap();
    }
}
