//! Distributed transactions: the rows come at PREPARE and count at COMMIT.

use aqueduct_cdc::{EpochBump, Reason, Scope};

use super::{Site, orders};

const PREPARE: &str =
    "XA START 'a','b'; INSERT INTO orders (id, version) VALUES (1, 1); XA END 'a','b'; XA PREPARE 'a','b'";

fn other(id: u64) -> String {
    format!("INSERT INTO orders (id, version) VALUES ({id}, 1)")
}

#[tokio::test]
async fn prepared_rows_are_told_at_their_commit() {
    let site = Site::start("cdc-xa");
    let mut follower = site.follow().await;
    let before = site.server.gtid().unwrap();
    site.sql(PREPARE);
    site.sql(&other(2));
    assert_eq!(orders(&follower.changes().await), [(2, 1, false)], "the prepared row must wait");
    site.sql(&other(3));
    let third = follower.next().await;
    // The checkpoint stays before the PREPARE, since that is where the rows are.
    assert_eq!(third.resume.to_string(), before);
    site.sql("XA COMMIT 'a','b'");
    let committed = follower.next().await;
    assert_eq!(orders(&committed.changes), [(1, 1, false)]);
    assert_eq!(committed.resume.to_string(), site.server.gtid().unwrap());
}

#[tokio::test]
async fn a_prepared_transaction_outlives_the_reader() {
    let site = Site::start("cdc-xa-restart");
    let mut follower = site.follow().await;
    site.sql(PREPARE);
    site.sql(&other(2));
    assert_eq!(orders(&follower.changes().await), [(2, 1, false)]);
    site.sql(&other(3));
    assert_eq!(orders(&follower.changes().await), [(3, 1, false)]);
    follower.drop_reader().await;
    site.sql("XA COMMIT 'a','b'");
    let mut follower = site.follow().await;
    let mut seen = Vec::new();
    while !seen.contains(&(1, 1, false)) {
        seen.extend(orders(&follower.changes().await));
    }
    assert_eq!(seen.last(), Some(&(1, 1, false)), "after what was committed before it");
}

#[tokio::test]
async fn a_rolled_back_branch_is_dropped() {
    let site = Site::start("cdc-xa-rollback");
    let mut follower = site.follow().await;
    site.sql(PREPARE);
    site.sql("XA ROLLBACK 'a','b'");
    site.sql(&other(2));
    let next = follower.next().await;
    assert_eq!(orders(&next.changes), [(2, 1, false)]);
    assert_eq!(next.resume.to_string(), site.server.gtid().unwrap(), "nothing holds the checkpoint");
}

#[tokio::test]
async fn a_branch_of_one_phase_is_an_ordinary_transaction() {
    let site = Site::start("cdc-xa-one-phase");
    let mut follower = site.follow().await;
    site.sql(
        "XA START 'a'; INSERT INTO orders (id, version) VALUES (1, 1); XA END 'a'; XA COMMIT 'a' ONE PHASE",
    );
    assert_eq!(orders(&follower.changes().await), [(1, 1, false)]);
}

#[tokio::test]
async fn the_commit_of_rows_that_were_never_seen_bumps_everything() {
    let site = Site::start("cdc-xa-unknown");
    site.sql(PREPARE);
    let mut follower = site.follow().await;
    site.sql("XA COMMIT 'a','b'");
    assert_eq!(follower.bump().await, EpochBump { scope: Scope::All, reason: Reason::UnknownXa });
}
