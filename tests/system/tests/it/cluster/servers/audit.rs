//! A change that the binlog does not tell is found, told and repaired.

use aqueduct_kit::process::within;
use aqueduct_kit::until;

use crate::cluster::{Below, figure, wait_health};
use crate::site::Site;

#[test]
fn a_change_behind_the_binlogs_back_is_found_and_repaired() {
    let below = Below::start("audit");
    // Nothing is ever read anew by itself.
    let site = Site::with_config("audit", &below.yaml("shop: { cache_soft: 1h, cache_hard: 2h }"));
    let process = site.up();
    wait_health(&site, "ok");
    let mut shop = site.shop();
    let id = shop.create(7).id;
    assert_eq!(shop.get(id).version, 1);

    let (shard, table) = (id >> 19 & 3, id >> 15 & 15);
    let update = format!("UPDATE shop_{shard}.orders_{table:02} SET state = 2, version = 2 WHERE id = {id}");
    below.primary.sql(&format!("SET sql_log_bin = 0; {update}")).unwrap();
    let repaired = until(within(60), || (shop.get(id).version == 2).then_some(()));
    assert!(repaired.is_some(), "still as it was");
    let differed = figure(&site, r#"aqueduct_shop_audits_total{result="differs"}"#);
    assert!((1..=2).contains(&differed), "one a level, not {differed}");
    assert!(process.printed().contains("sql_log_bin=0"), "{}", process.printed());
}
