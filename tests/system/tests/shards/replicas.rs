//! Who answers a read: a replica that has what the reader must see, or the primary.

use crate::site::{Site, eventually, get, put, stats, text};
use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::process::within;
use aqueduct_kit::{Scratch, until};
use aqueduct_runtime::task;
use aqueduct_shards::{Freshness, Shards, Token};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_with_a_token_never_sees_the_time_before_its_write() {
    let site = Site::start("shards-token");
    let shards = site.connect().await;
    put(&shards, 1, "old").await.unwrap();
    site.catch_up();
    site.hold_replica();
    let token = put(&shards, 1, "new").await.unwrap();

    // The replica lags: it has the old row, and whoever must see the new one is sent to the primary.
    assert_eq!(get(&shards, 1, Freshness::Any).await, (Some("old".to_owned()), false));
    assert_eq!(get(&shards, 1, Freshness::After(&token)).await, (Some("new".to_owned()), true));
    assert_eq!(get(&shards, 1, Freshness::Primary).await, (Some("new".to_owned()), true));
    let [_, replica] = stats(&shards);
    assert_eq!((replica.behind, replica.unable, replica.replica_reads), (1, 0, 1));

    site.release_replica();
    site.catch_up();
    assert_eq!(get(&shards, 1, Freshness::After(&token)).await, (Some("new".to_owned()), false));
    // Another shard was not written to.
    let read = shards.read(1, Freshness::After(&token), None).await.unwrap();
    assert!(!read.is_from_primary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_a_little_behind_is_waited_for() {
    let site = Site::start("shards-wait");
    let mut options = site.options();
    options.replica_wait = within(20);
    let shards = Shards::connect(options).await.unwrap().0;
    site.hold_replica();
    let token = put(&shards, 1, "new").await.unwrap();
    let reader = task::spawn("reader", async move { get(&shards, 1, Freshness::After(&token)).await });
    wait_for_waiter(&site);
    site.release_replica();
    assert_eq!(reader.await.unwrap(), (Some("new".to_owned()), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_fails_is_no_consent() {
    let site = Site::start("shards-killed");
    let mut options = site.options();
    options.replica_wait = within(20);
    let shards = Shards::connect(options).await.unwrap().0;
    site.hold_replica();
    let token = put(&shards, 1, "new").await.unwrap();
    let reader = {
        let shards = shards.clone();
        task::spawn("reader", async move { get(&shards, 1, Freshness::After(&token)).await })
    };
    wait_for_waiter(&site);
    site.replica.sql("KILL QUERY USER shop").unwrap();
    assert_eq!(reader.await.unwrap(), (Some("new".to_owned()), true));
    assert_eq!(stats(&shards)[1].unable, 1);
}

/// Waits until somebody waits on the replica. By a counter, not by the list of processes: while a thread of replication ends, reading
/// that list has crashed MariaDB 10.11.
fn wait_for_waiter(site: &Site) {
    let waits = || site.replica.sql("SHOW GLOBAL STATUS LIKE 'Master_gtid_wait_count'").unwrap();
    until(within(30), || Some(()).filter(|()| !waits().trim_end().ends_with("\t0"))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_changes_nothing_stands_for_what_it_found() {
    let site = Site::start("shards-noop");
    let shards = site.connect().await;
    let first = put(&shards, 1, "mine").await.unwrap();
    site.catch_up();
    site.hold_replica();
    site.primary.sql("INSERT INTO shop_0.notes VALUES (2, 'theirs')").unwrap();

    let mut write = shards.write(0, None).await.unwrap();
    assert_eq!(write.exec("INSERT IGNORE INTO notes VALUES (2, 'mine')", ()).await.unwrap(), 0);
    let token = write.commit().await.unwrap();
    assert_ne!(token, first);
    // Whoever was told that row 2 is there finds it.
    assert_eq!(get(&shards, 2, Freshness::After(&token)).await, (Some("theirs".to_owned()), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_without_positions_has_tokens_that_demand_it() {
    let scratch = Scratch::new("shards-no-binlog");
    let server = MariaDb::start_with(&scratch, &["--skip-log-bin", "--log-slave-updates=0"]).unwrap();
    server
        .sql("CREATE USER shop IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO shop; CREATE DATABASE shop_0; CREATE DATABASE shop_1;
             CREATE DATABASE shop_2; CREATE DATABASE shop_3; CREATE TABLE shop_0.notes (id INT PRIMARY KEY, text VARCHAR(20))")
        .unwrap();
    let shards = Shards::connect(crate::site::options(&[server.port()])).await.unwrap().0;
    let token = put(&shards, 1, "new").await.unwrap();
    assert_eq!(token.to_string(), "0@*");
    assert_eq!(get(&shards, 1, Freshness::After(&token)).await, (Some("new".to_owned()), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_to_the_primary_while_the_replica_is_down() {
    let mut site = Site::start("shards-down");
    let mut options = site.options();
    options.connect_timeout = Duration::from_millis(500);
    options.check_every = Duration::from_millis(20);
    let shards = Shards::connect(options).await.unwrap().0;
    let token = put(&shards, 1, "new").await.unwrap();
    site.catch_up();
    site.replica.kill9().unwrap();
    // A connection that was open is found broken at most once; from then on nobody relies on the others.
    let mut read = shards.read(0, Freshness::After(&token), None).await.unwrap();
    if !read.is_from_primary() {
        text(&mut read, 1).await;
    }
    assert_eq!(get(&shards, 1, Freshness::Any).await, (Some("new".to_owned()), true));

    site.replica.restart().unwrap();
    site.replica.wait_replicating(within(60)).unwrap();
    loop {
        let (text, from_primary) = get(&shards, 1, Freshness::After(&token)).await;
        assert_eq!(text.as_deref(), Some("new"));
        if !from_primary {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_token_costs_its_bearer_a_wait_and_nothing_else() {
    let site = Site::start("shards-forged");
    let shards = site.connect().await;
    put(&shards, 1, "new").await.unwrap();
    site.catch_up();
    let forged = Token::parse(b"0@0-1-18446744073709551615").unwrap();
    assert_eq!(get(&shards, 1, Freshness::After(&forged)).await, (Some("new".to_owned()), true));
    let elsewhere = Token::parse(b"0@4294967295-1-1").unwrap();
    assert_eq!(get(&shards, 1, Freshness::After(&elsewhere)).await, (Some("new".to_owned()), true));
    eventually("the connection is back", move || stats(&shards)[1].taken == 0).await;
}
