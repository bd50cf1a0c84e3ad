//! Whatever ends or stops around `aqueduct cdc`, and the command itself: every committed change is told, in order, and has its
//! floor in the second level.

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use aqueduct_cdc::{Reason, Scope};
use aqueduct_kit::process::within;
use aqueduct_kit::{Process, until};

use super::whole::{Ears, Whole, inserts, wait_floors, writes};

const KEYS: u64 = 20;

/// A capture without a checkpoint, which has said from where on it tells single changes.
async fn begin(whole: &Whole, ears: &mut Ears) -> Process {
    let cdc = whole.cdc();
    ears.hear(|ears| ears.bumps.len() == 1).await;
    cdc
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_that_is_killed_again_and_again_loses_no_change() {
    let whole = Whole::start("cdc-process-kill");
    let mut ears = whole.ears().await;
    let mut cdc = begin(&whole, &mut ears).await;
    whole.sql(&inserts(KEYS));
    let last = 60;
    tokio::task::block_in_place(|| {
        thread::scope(|scope| {
            scope.spawn(|| whole.sql(&writes(KEYS, 2..=last)));
            for _ in 0..3 {
                let before = whole.saved();
                let moves = || (whole.saved() != before).then_some(());
                until(within(60), moves).expect("the checkpoint moves on");
                cdc.kill().unwrap();
                cdc = whole.cdc();
            }
        });
    });
    ears.hear(|ears| ears.ends_with(1..=KEYS, last)).await;
    for key in 1..=KEYS {
        assert_eq!(ears.versions(key), (1..=last).collect::<BTreeSet<_>>(), "order {key}");
    }
    wait_floors(&whole.level2().await, 1..=KEYS, last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_bus_goes_on_and_the_checkpoint_waits_for_the_floors() {
    let mut whole = Whole::start("cdc-process-redis");
    let mut ears = whole.ears().await;
    let level2 = whole.level2().await;
    let mut cdc = begin(&whole, &mut ears).await;
    whole.sql(&inserts(KEYS));
    ears.hear(|ears| ears.ends_with(1..=KEYS, 1)).await;
    wait_floors(&level2, 1..=KEYS, 1).await;
    whole.wait_saved();
    // One master, with writes in flight: its replica takes over.
    let master = whole.redis.master_of(0).unwrap();
    tokio::task::block_in_place(|| {
        thread::scope(|scope| {
            let (sql, redis) = (&whole.mariadb, &mut whole.redis);
            scope.spawn(move || sql.sql(&format!("USE shop; {}", writes(KEYS, 2..=20))).unwrap());
            redis.nodes[master].kill9().unwrap();
        });
    });
    ears.hear(|ears| ears.ends_with(1..=KEYS, 20)).await;
    wait_floors(&level2, 1..=KEYS, 20).await;
    whole.wait_saved();
    // All of them: nothing is answered.
    let running = |whole: &Whole| (0..whole.redis.nodes.len()).filter(|at| *at != master).collect::<Vec<_>>();
    for node in running(&whole) {
        whole.redis.nodes[node].pause().unwrap();
    }
    let before = whole.saved();
    whole.sql(&writes(KEYS, 21..=30));
    ears.hear(|ears| ears.ends_with(1..=KEYS, 30)).await;
    assert!(
        whole.saved() == before || whole.saved() != whole.mariadb.gtid().ok(),
        "not past what Redis lacks"
    );
    for node in running(&whole) {
        whole.redis.nodes[node].resume().unwrap();
    }
    wait_floors(&level2, 1..=KEYS, 30).await;
    whole.wait_saved();
    assert_eq!(cdc.exited(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_is_killed_has_everything_once_it_is_back() {
    let mut whole = Whole::start("cdc-process-nats");
    let mut ears = whole.ears().await;
    let mut cdc = begin(&whole, &mut ears).await;
    whole.sql(&inserts(KEYS));
    ears.hear(|ears| ears.ends_with(1..=KEYS, 1)).await;
    whole.nats.kill9().unwrap();
    whole.sql(&writes(KEYS, 2..=10));
    whole.nats.restart().unwrap();
    whole.sql(&writes(KEYS, 11..=12));
    ears.hear(|ears| ears.ends_with(1..=KEYS, 12)).await;
    for key in 1..=KEYS {
        assert_eq!(ears.versions(key), (1..=12).collect::<BTreeSet<_>>(), "order {key}");
    }
    whole.wait_saved();
    assert_eq!(cdc.exited(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_that_was_stopped_and_followed_by_another_ends_when_it_goes_on() {
    let whole = Whole::start("cdc-process-stop");
    let mut ears = whole.ears().await;
    let mut first = begin(&whole, &mut ears).await;
    whole.sql(&inserts(KEYS));
    ears.hear(|ears| ears.ends_with(1..=KEYS, 1)).await;
    // Without a checkpoint the second would begin at the present, and say only that all may be stale.
    whole.wait_saved();
    first.pause().unwrap();
    whole.sql(&writes(KEYS, 2..=5));
    let mut second = whole.cdc();
    ears.hear(|ears| ears.ends_with(1..=KEYS, 5)).await;
    first.resume().unwrap();
    let (status, printed) = first.finish(within(60)).unwrap();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("server id") || printed.contains("another publisher"), "{printed}");
    whole.sql(&writes(KEYS, 6..=7));
    ears.hear(|ears| ears.ends_with(1..=KEYS, 7)).await;
    assert_eq!(second.exited(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_tables_are_told_with_epochs_that_grow() {
    let whole = Whole::start("cdc-process-tables");
    let mut ears = whole.ears().await;
    let mut cdc = begin(&whole, &mut ears).await;
    assert_eq!((&ears.bumps[0].0.scope, &ears.bumps[0].0.reason), (&Scope::All, &Reason::NoCheckpoint));
    whole.sql("INSERT INTO orders (id, version) SELECT seq, 1 FROM seq_1_to_200000");
    ears.hear(|ears| ears.bumps.len() == 2).await;
    assert_eq!(ears.bumps[1].0.reason, Reason::BigTransaction);
    whole.sql("TRUNCATE orders");
    ears.hear(|ears| ears.bumps.len() == 3).await;
    assert_eq!(ears.bumps[2].0.reason, Reason::Ddl);
    // Asked to stop, it leaves nothing to be read again.
    cdc.terminate().unwrap();
    let (status, printed) = cdc.finish(within(60)).unwrap();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert_eq!(whole.saved(), whole.mariadb.gtid().ok());
    // What is purged meanwhile is gone: everything may be stale.
    whole.sql(&inserts(3));
    let purged = || {
        whole.sql("FLUSH BINARY LOGS");
        let logs = whole.mariadb.sql("SHOW BINARY LOGS").unwrap();
        let newest = logs.lines().last()?.split('\t').next()?;
        whole.sql(&format!("PURGE BINARY LOGS TO '{newest}'"));
        (whole.mariadb.sql("SHOW BINARY LOGS").unwrap().lines().count() == 1).then_some(())
    };
    until(within(60), purged).expect("the logs are purged");
    let _cdc = whole.cdc();
    ears.hear(|ears| ears.bumps.len() == 4).await;
    assert_eq!(ears.bumps[3].0.scope, Scope::All);
    assert!(matches!(ears.bumps[3].0.reason, Reason::PositionLost(_)), "{:?}", ears.bumps[3]);
    assert!(ears.bumps.is_sorted_by_key(|(_, epoch)| *epoch), "{:?}", ears.bumps);
    whole.sql(&inserts(4).replace("VALUES (1,", "VALUES (9,").replace("INSERT", "REPLACE"));
    ears.hear(|ears| ears.heard.contains_key(&9)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_told_clearly() {
    let mut whole = Whole::start("cdc-process-bad");
    let ends = |whole: &Whole, code: i32, words: &[&str]| {
        let (status, printed) = whole.launch().finish(within(60)).unwrap();
        assert_eq!(status.code(), Some(code), "{printed}");
        assert!(words.iter().all(|word| printed.contains(word)), "{words:?} in {printed}");
    };
    whole.configure(|text| text.replace("user: root", "user: nobody"));
    ends(&whole, 1, &["refuses user \"nobody\"", "GRANT"]);
    whole.configure(|text| text.replace("shop.parts", "shop.prats"));
    ends(&whole, 1, &["no table shop.prats"]);
    whole.configure(|text| text.replace("mysql:", "msql:"));
    ends(&whole, 2, &["cluster.yaml:3:3", "did you mean `mysql`"]);
    whole.configure(|text| text.replace("user: root", "user: root, password: { env: NO_SUCH_VARIABLE }"));
    ends(&whole, 2, &["no variable `NO_SUCH_VARIABLE`"]);
    whole.configure(|text| text);
    whole.sql("SET GLOBAL binlog_format=STATEMENT");
    ends(&whole, 1, &["binlog_format is STATEMENT", "SET GLOBAL binlog_format=ROW"]);
    whole.sql("SET GLOBAL binlog_format=ROW");
    fs::write(whole.checkpoint(), "nonsense").unwrap();
    ends(&whole, 1, &["primary-0.checkpoint is damaged", "remove it"]);
    fs::remove_file(whole.checkpoint()).unwrap();
    let cdc = whole.cdc();
    drop(cdc);
    whole.nats.kill9().unwrap();
    ends(&whole, 1, &["cannot use NATS at nats://127.0.0.1"]);
}
