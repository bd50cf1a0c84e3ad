//! Single rows: which keys, which versions, in which order.

use aqueduct_cdc::{Reason, Version};

use super::{Site, line, orders};

#[tokio::test]
async fn every_row_is_told_with_its_key_and_version() {
    let site = Site::start("cdc-rows");
    let mut follower = site.follow().await;
    site.sql(
        "INSERT INTO orders VALUES (2026, 123456.789, REPEAT('x', 300), 18446744073709551615, NOW(3), 'b', 'n', 1), \
         (NULL, NULL, NULL, 7, NULL, NULL, NULL, 1); \
         UPDATE orders SET version=2, note='y' WHERE id=7; DELETE FROM orders WHERE id=7; \
         BEGIN; INSERT INTO other VALUES (1); UPDATE orders SET id=8, version=3; COMMIT",
    );
    assert_eq!(orders(&follower.changes().await), [(u64::MAX, 1, false), (7, 1, false)]);
    assert_eq!(orders(&follower.changes().await), [(7, 2, false)]);
    assert_eq!(orders(&follower.changes().await), [(7, 2, true)]);
    // A changed key: the old is gone with the version it had, the new is there.
    assert_eq!(orders(&follower.changes().await), [(u64::MAX, 1, true), (8, 3, false)]);
}

#[tokio::test]
async fn a_composite_key_has_the_order_of_the_key_and_a_table_without_version_is_bounded() {
    let site = Site::start("cdc-composite");
    let mut follower = site.follow().await;
    site.sql("INSERT INTO parts VALUES (-3, 'ab', 1); UPDATE parts SET position=4 WHERE sku='ab'");
    let inserted = follower.changes().await;
    assert_eq!(inserted[0].key, line("ab", -3));
    assert_eq!(inserted[0].version, Version::Bounded);
    let moved: Vec<_> = follower.changes().await.into_iter().map(|it| (it.key, it.tombstone)).collect();
    assert_eq!(moved, [(line("ab", -3), true), (line("ab", 4), false)]);
}

#[tokio::test]
async fn what_is_rolled_back_is_not_told() {
    let site = Site::start("cdc-rollback");
    let mut follower = site.follow().await;
    site.sql(
        "BEGIN; INSERT INTO orders (id, version) VALUES (1, 1); ROLLBACK; INSERT INTO orders (id, version) VALUES (2, 1)",
    );
    assert_eq!(orders(&follower.changes().await), [(2, 1, false)]);
}

#[tokio::test]
async fn a_session_with_less_than_full_images_bumps_the_table() {
    let site = Site::start("cdc-minimal");
    let mut follower = site.follow().await;
    site.sql("INSERT INTO orders (id, version) VALUES (1, 1)");
    assert_eq!(orders(&follower.changes().await), [(1, 1, false)]);
    site.sql("SET SESSION binlog_row_image=MINIMAL; UPDATE orders SET version=2");
    assert_eq!(follower.bump().await.reason, Reason::UnreadableRows);
}
