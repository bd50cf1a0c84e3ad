//! Nothing is lost: over the end of the reader, of the server, of the sink, and of the binlog itself.

use std::io;

use aqueduct_cdc::{Error, Reason, Scope, Sink, Transaction};
use aqueduct_kit::process::within;
use aqueduct_kit::until;
use tokio::time::timeout;

use super::{Site, orders};

fn insert(id: u64) -> String {
    format!("INSERT INTO orders (id, version) VALUES ({id}, 1)")
}

#[tokio::test]
async fn a_reader_goes_on_at_its_checkpoint() {
    let site = Site::start("cdc-resume");
    let mut follower = site.follow().await;
    site.sql(&insert(1));
    assert_eq!(orders(&follower.changes().await), [(1, 1, false)]);
    follower.drop_reader().await;
    site.sql(&insert(2));
    let mut follower = site.follow().await;
    let mut seen = orders(&follower.changes().await);
    if seen == [(1, 1, false)] {
        seen = orders(&follower.changes().await);
    }
    assert_eq!(seen, [(2, 1, false)]);
}

#[tokio::test]
async fn a_server_that_is_killed_and_restarted_is_followed_without_a_gap() {
    let mut site = Site::start_with("cdc-kill", &["--sync-binlog=1"]);
    let mut follower = site.follow().await;
    site.sql(&insert(1));
    assert_eq!(orders(&follower.changes().await), [(1, 1, false)]);
    site.server.kill9().unwrap();
    site.server.restart().unwrap();
    site.sql(&insert(2));
    let mut seen = Vec::new();
    while !seen.contains(&(2, 1, false)) {
        seen.extend(orders(&follower.changes().await));
    }
    assert!(seen.iter().all(|order| matches!(order.0, 1 | 2)), "{seen:?}");
}

#[tokio::test]
async fn a_purged_position_bumps_everything_and_goes_on() {
    let site = Site::start("cdc-purged");
    let follower = site.follow().await;
    follower.drop_reader().await;
    let old = site.saved();
    site.sql(&insert(1));
    // A log that is still being sent is not purged.
    let sending =
        "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE command = 'Binlog Dump'";
    let kill = site.server.sql(sending).unwrap().replace('\n', "; ");
    // It may have ended by itself.
    _ = site.server.sql(&kill);
    let purged = || {
        site.sql("FLUSH BINARY LOGS");
        let logs = site.server.sql("SHOW BINARY LOGS").unwrap();
        let newest = logs.lines().last()?.split('\t').next()?;
        site.sql(&format!("PURGE BINARY LOGS TO '{newest}'"));
        let left = site.server.sql("SHOW BINARY LOGS").unwrap();
        (left.lines().count() == 1).then_some(())
    };
    until(within(30), purged).expect("the logs are purged");
    assert_eq!(site.saved(), old);
    let mut follower = site.follow().await;
    let bump = follower.bump().await;
    assert_eq!(bump.scope, Scope::All);
    assert!(matches!(bump.reason, Reason::PositionLost(_)), "{bump:?}");
    site.sql(&insert(2));
    assert_eq!(orders(&follower.changes().await), [(2, 1, false)]);
}

/// Refuses all that has changes.
struct Refuse;

impl Sink for Refuse {
    type Error = io::Error;

    async fn deliver(&mut self, transaction: &Transaction) -> io::Result<()> {
        if transaction.changes.is_empty() { Ok(()) } else { Err(io::Error::other("full")) }
    }
}

#[tokio::test]
async fn the_checkpoint_never_passes_what_the_sink_did_not_acknowledge() {
    let site = Site::start("cdc-refuse");
    site.follow().await.drop_reader().await;
    let mut reader = site.connect().await.unwrap();
    site.sql(&insert(1));
    let ended = timeout(within(30), reader.run(&mut Refuse)).await.unwrap().unwrap_err();
    assert!(matches!(ended, Error::Sink(_)), "{ended}");
    drop(reader);
    let mut follower = site.follow().await;
    assert_eq!(orders(&follower.changes().await), [(1, 1, false)]);
}
