//! Connections: opened ahead, bounded, thrown away when in doubt.

use crate::site::{Site, eventually, get, put, stats};
use aqueduct_shards::{Error, Freshness, Shards};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_really_opened_at_the_start() {
    let site = Site::start("shards-warm");
    let mut options = site.options();
    options.min_connections = 3;
    let (shards, warm) = Shards::connect(options).await.unwrap();
    assert_eq!((warm.opened, warm.wanted, warm.errors.len()), (24, 24, 0));
    // Each server counts 4 pools of 3, and one connection a database that watches its role.
    for server in [&site.primary, &site.replica] {
        let seen =
            server.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE user='shop'").unwrap();
        assert_eq!(seen, "16");
    }
    put(&shards, 1, "new").await.unwrap();
    get(&shards, 1, Freshness::Any).await;
    assert!(shards.stats().iter().all(|server| server.opened == 3 + 1), "{:?}", shards.stats());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_than_the_most_and_who_waits_is_served_or_told() {
    let site = Site::start("shards-cap");
    let mut options = site.options();
    (options.min_connections, options.max_connections) = (1, 1);
    options.pool_wait = Duration::from_millis(50);
    let shards = Shards::connect(options.clone()).await.unwrap().0;
    let held = shards.write(0, None).await.unwrap();
    let error = shards.write(0, None).await.unwrap_err();
    assert!(matches!(error, Error::Exhausted { max: 1, .. }), "{error}");
    assert!(error.is_retryable());
    assert_eq!(stats(&shards)[0].exhausted, 1);
    held.rollback().await.unwrap();
    put(&shards, 1, "new").await.unwrap();
    assert_eq!(stats(&shards)[0].discarded, 0);

    options.pool_wait = Duration::from_mins(1);
    let shards = Shards::connect(options).await.unwrap().0;
    let held = shards.write(0, None).await.unwrap();
    // In this order: the second frees what the first waits for.
    let (waited, freed) = tokio::join!(put(&shards, 2, "waited"), held.rollback());
    freed.unwrap();
    waited.unwrap();
    // The monitor's and the one that both used.
    assert_eq!(stats(&shards)[0].opened, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_dropped_leaves_nothing() {
    let site = Site::start("shards-dropped");
    let shards = site.connect().await;
    let mut write = shards.write(0, None).await.unwrap();
    write.exec("INSERT INTO notes VALUES (1, 'x')", ()).await.unwrap();
    assert_eq!(write.first::<String>("SELECT text FROM notes", ()).await.unwrap().as_deref(), Some("x"));
    drop(write);
    assert_eq!(get(&shards, 1, Freshness::Primary).await.0, None);
    // Its lock goes with its connection.
    put(&shards, 1, "y").await.unwrap();
    assert_eq!(stats(&shards)[0].discarded, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_goes_on_after_a_duplicate_but_not_after_a_deadlock() {
    let site = Site::start("shards-deadlock");
    let shards = site.connect().await;
    put(&shards, 1, "a").await.unwrap();
    put(&shards, 2, "b").await.unwrap();
    let mut one = shards.write(0, None).await.unwrap();
    let error = one.exec("INSERT INTO notes VALUES (1, 'x')", ()).await.unwrap_err();
    assert!(matches!(error, Error::Duplicate { .. }), "{error}");
    one.exec("UPDATE notes SET text = 'one' WHERE id = 1", ()).await.unwrap();

    let mut two = shards.write(0, None).await.unwrap();
    two.exec("UPDATE notes SET text = 'two' WHERE id = 2", ()).await.unwrap();
    let crossed = async { one.exec("UPDATE notes SET text = 'one' WHERE id = 2", ()).await };
    let back = async { two.exec("UPDATE notes SET text = 'two' WHERE id = 1", ()).await };
    let (crossed, back) = tokio::join!(crossed, back);
    let (error, loser, winner) = match (crossed, back) {
        (Err(error), Ok(_)) => (error, one, two),
        (Ok(_), Err(error)) => (error, two, one),
        both => panic!("one of them must lose: {both:?}"),
    };
    assert!(matches!(error, Error::Conflict { .. }) && error.is_retryable(), "{error}");
    let mut loser = loser;
    // The server has undone all of it: a statement now would be committed by itself.
    let error = loser.exec("UPDATE notes SET text = 'lost' WHERE id = 1", ()).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error}");
    assert!(matches!(loser.commit().await.unwrap_err(), Error::Failed { .. }));
    winner.commit().await.unwrap();
    assert_ne!(get(&shards, 1, Freshness::Primary).await.0.as_deref(), Some("lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn surplus_connections_are_closed_when_they_are_idle() {
    let site = Site::start("shards-idle");
    let mut options = site.options();
    options.min_connections = 1;
    options.idle_timeout = Duration::from_millis(1);
    options.check_every = Duration::from_millis(20);
    let shards = Shards::connect(options).await.unwrap().0;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(shards.read(0, Freshness::Primary, None).await.unwrap());
    }
    assert_eq!(stats(&shards)[0].taken, 4);
    drop(held);
    eventually("only one is kept", move || {
        let [primary, _] = stats(&shards);
        (primary.idle, primary.taken, primary.expired) == (1, 0, 3)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_breaks_one_statement_at_most() {
    let mut site = Site::start("shards-restart");
    let shards = site.connect().await;
    put(&shards, 1, "old").await.unwrap();
    site.primary.kill9().unwrap();
    site.primary.restart().unwrap();
    if let Err(error) = put(&shards, 1, "new").await {
        assert!(error.is_retryable(), "{error}");
        put(&shards, 1, "new").await.unwrap();
    }
    assert_eq!(get(&shards, 1, Freshness::Primary).await.0.as_deref(), Some("new"));
}
