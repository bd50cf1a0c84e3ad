//! What cannot be told by key ends in an epoch bump with its reason.

use aqueduct_cdc::{EpochBump, Reason, Scope};

use super::{Follower, Site, orders};

async fn bumped(follower: &mut Follower, table: &str, reason: Reason) {
    let bump = follower.bump().await;
    match bump {
        EpochBump { scope: Scope::Table(name), reason: why } => {
            assert_eq!((name.to_string(), why), (format!("shop.{table}"), reason));
        }
        other @ EpochBump { .. } => panic!("not for a table: {other:?}"),
    }
}

#[tokio::test]
async fn truncate_and_ddl_bump_the_table_they_name() {
    let site = Site::start("cdc-ddl");
    let mut follower = site.follow().await;
    site.sql("TRUNCATE other; TRUNCATE orders; ALTER TABLE `parts` ADD COLUMN more INT");
    bumped(&mut follower, "orders", Reason::Ddl).await;
    bumped(&mut follower, "parts", Reason::Ddl).await;
    // And the changed table is read as it is now.
    site.sql("INSERT INTO orders (id, version) VALUES (1, 1); ALTER TABLE orders DROP COLUMN version");
    assert_eq!(orders(&follower.changes().await), [(1, 1, false)]);
    bumped(&mut follower, "orders", Reason::Ddl).await;
    site.sql("INSERT INTO orders (id) VALUES (2)");
    bumped(&mut follower, "orders", Reason::NoKeyOrVersion).await;
}

#[tokio::test]
async fn statement_format_bumps_everything() {
    let site = Site::start("cdc-statement");
    let mut follower = site.follow().await;
    site.sql("SET SESSION binlog_format=STATEMENT; INSERT INTO orders (id, version) VALUES (1, 1)");
    let expect = EpochBump { scope: Scope::All, reason: Reason::Statement };
    assert_eq!(follower.bump().await, expect);
}

#[tokio::test]
async fn compressed_rows_bump_the_table() {
    let site = Site::start_with("cdc-compressed", &["--log-bin-compress=1", "--log-bin-compress-min-len=10"]);
    let mut follower = site.follow().await;
    site.sql("INSERT INTO other VALUES (1); INSERT INTO orders (id, version, note) VALUES (1, 1, REPEAT('a', 900))");
    bumped(&mut follower, "orders", Reason::UnknownRows(166)).await;
}

#[tokio::test]
async fn a_big_transaction_bumps_its_tables_and_the_next_is_told_by_key() {
    let mut site = Site::start("cdc-big");
    site.options.max_keys = 1000;
    let mut follower = site.follow().await;
    site.sql(
        "INSERT INTO orders (id, version) SELECT seq, 1 FROM seq_1_to_1000; \
         INSERT INTO orders (id, version) SELECT seq, 1 FROM seq_1001_to_2001; \
         INSERT INTO orders (id, version) VALUES (3000, 1)",
    );
    assert_eq!(follower.changes().await.len(), 1000);
    bumped(&mut follower, "orders", Reason::BigTransaction).await;
    assert_eq!(orders(&follower.changes().await), [(3000, 1, false)]);
}
