//! What the binlog tells of whole tables, or does not tell at all.

use aqueduct_kit::faults;
use aqueduct_kit::process::within;
use aqueduct_kit::until;
use aqueduct_sim::history::Table;

use super::run::Run;
use super::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promises_hold_when_whole_tables_change() {
    let mut run = Run::start("promise-tables").await;
    for round in 0..faults() {
        let before = run.heard.borrow().bumps;
        run.work().await;
        let rows = run.shared.rows.clone();
        rows.ddl(Table::Orders, &format!("ALTER TABLE shop.orders ADD COLUMN more{round} INT")).await;
        run.work().await;
        rows.truncate(Table::Orders).await;
        rows.truncate(Table::Items).await;
        run.work().await;
        run.check().await;
        let bumps = run.heard.borrow().bumps - before;
        assert!(bumps >= 3, "{bumps}");
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promises_hold_in_a_transaction_of_200_000_rows() {
    let mut run = Run::start("promise-big").await;
    for _ in 0..faults() {
        let before = run.heard.borrow().bumps;
        run.work().await;
        run.shared.rows.big_transaction(Table::Orders, 200_000).await;
        run.work().await;
        run.check().await;
        assert!(run.heard.borrow().bumps > before);
        run.blocking("the rows are taken out again", |site| {
            site.sql("SET sql_log_bin = 0; DELETE FROM orders WHERE id > 1000");
        });
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promises_hold_when_the_binlog_is_purged_past_the_capture() {
    let mut run = Run::start("promise-purge").await;
    for _ in 0..faults() {
        let before = run.heard.borrow().bumps;
        run.work().await;
        run.blocking("the capture is killed", |site| site.cdc.kill().unwrap());
        run.work_for(std::time::Duration::from_millis(400)).await;
        run.blocking("the binlog is purged, and the capture is back", |site| {
            purge(site);
            site.start_cdc();
        });
        run.work().await;
        run.check().await;
        assert!(run.heard.borrow().bumps > before, "it was told");
    }
    run.end().await;
}

/// Takes away all but the newest of the logs.
fn purge(site: &Site) {
    // A log that is still being sent is not purged.
    let sending =
        "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE command = 'Binlog Dump'";
    let kill = site.sql(sending).replace('\n', "; ");
    // It may have ended by itself.
    _ = site.mariadb.sql(&kill);
    let purged = || {
        site.sql("FLUSH BINARY LOGS");
        let logs = site.sql("SHOW BINARY LOGS");
        let newest = logs.lines().last()?.split('\t').next()?;
        site.sql(&format!("PURGE BINARY LOGS TO '{newest}'"));
        (site.sql("SHOW BINARY LOGS").lines().count() == 1).then_some(())
    };
    until(within(30), purged).expect("the logs are purged");
}
