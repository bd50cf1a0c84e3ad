//! A new primary: found by what the servers say, without a restart and without being told.

use crate::site::{Site, eventually, get, put, stats};
use aqueduct_shards::{Error, Freshness, Shards};

/// Whether the second server is the primary of every shard.
fn has_moved(shards: &Shards) -> bool {
    shards.stats().chunks(2).all(|pair| !pair[0].is_primary && pair[1].is_primary)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_failover_loses_nothing() {
    let site = Site::start("shards-failover");
    let shards = site.connect().await;
    let token = put(&shards, 1, "old").await.unwrap();
    assert!(!has_moved(&shards));
    site.primary.sql("SET GLOBAL read_only=1").unwrap();
    site.catch_up();
    site.promote_replica();

    // Still at the old one, which refuses; that starts the search.
    let error = put(&shards, 1, "new").await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }) && error.is_retryable(), "{error}");
    eventually("the new primary is found", {
        let shards = shards.clone();
        move || has_moved(&shards)
    })
    .await;
    put(&shards, 1, "new").await.unwrap();
    assert_eq!(get(&shards, 1, Freshness::Primary).await.0.as_deref(), Some("new"));
    assert_eq!(site.replica.sql("SELECT text FROM shop_0.notes").unwrap(), "new");
    assert_eq!(site.primary.sql("SELECT text FROM shop_0.notes").unwrap(), "old");

    // The old one follows, and answers as a replica; an old token is as good as ever.
    site.primary.follow(site.replica.port()).unwrap();
    site.primary.wait_caught_up(&site.replica, aqueduct_kit::process::within(60)).unwrap();
    assert_eq!(get(&shards, 1, Freshness::After(&token)).await, (Some("new".to_owned()), false));
    assert_eq!(stats(&shards).map(|server| server.promotions), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_is_replaced_when_another_takes_its_place() {
    let mut site = Site::start("shards-killed-primary");
    let shards = site.connect().await;
    put(&shards, 1, "old").await.unwrap();
    site.catch_up();
    site.primary.kill9().unwrap();
    // Nobody took its place yet: it stays the primary, and the error names it.
    shards.refresh().await.unwrap();
    let error = loop {
        match put(&shards, 1, "new").await {
            Err(Error::Broken { .. }) => {}
            other => break other.unwrap_err(),
        }
    };
    assert!(
        matches!(&error, Error::Unreachable { server, .. } if server.contains(&site.primary.port().to_string())),
        "{error}"
    );
    assert_eq!(get(&shards, 1, Freshness::Any).await, (Some("old".to_owned()), false));

    site.promote_replica();
    shards.refresh().await.unwrap();
    put(&shards, 1, "new").await.unwrap();
    assert!(has_moved(&shards));

    // The old one comes back as it was, writable: it is not believed.
    site.primary.restart().unwrap();
    shards.refresh().await.unwrap();
    put(&shards, 1, "newer").await.unwrap();
    assert_eq!(site.replica.sql("SELECT text FROM shop_0.notes").unwrap(), "newer");
    assert_eq!(site.primary.sql("SELECT text FROM shop_0.notes").unwrap(), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_chooses_between_two_primaries() {
    let site = Site::start("shards-two");
    let shards = site.connect().await;
    site.replica.sql("SET GLOBAL read_only=0").unwrap();
    // The one that is known stays.
    shards.refresh().await.unwrap();
    assert!(!has_moved(&shards));
    // At a start none is known.
    let error = Shards::connect(site.options()).await.unwrap_err();
    assert_eq!(error.kind(), "no_primary");
    assert!(error.to_string().contains("can all be written to: set read_only=1"), "{error}");

    // And no primary at all is told as well.
    for server in [&site.primary, &site.replica] {
        server.sql("SET GLOBAL read_only=1").unwrap();
    }
    let error = shards.refresh().await.unwrap_err();
    assert!(error.to_string().contains("set read_only=0 on the primary"), "{error}");
    assert_eq!(put(&shards, 1, "new").await.unwrap_err().kind(), "no_primary");
    // Reading goes on.
    assert_eq!(get(&shards, 1, Freshness::Any).await.0, None);
    site.primary.sql("SET GLOBAL read_only=0").unwrap();
    shards.refresh().await.unwrap();
    put(&shards, 1, "new").await.unwrap();
}
