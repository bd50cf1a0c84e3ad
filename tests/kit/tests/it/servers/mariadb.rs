use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::path::Path;

use aqueduct_kit::mariadb::MariaDb;
use aqueduct_kit::process::within;
use aqueduct_kit::{Scratch, until};

fn shop(db: &MariaDb) {
    db.sql(
        "CREATE DATABASE shop;
         CREATE TABLE shop.orders (id BIGINT PRIMARY KEY, note VARCHAR(100)) ENGINE=InnoDB;
         INSERT INTO shop.orders VALUES (1, 'one'), (2, 'two')",
    )
    .unwrap();
}

const ALL: &str = "SELECT id, note FROM shop.orders ORDER BY id";

#[test]
fn a_primary_has_the_binlog_that_change_capture_needs() {
    let scratch = Scratch::new("mariadb");
    let db = MariaDb::start(&scratch).unwrap();
    let variables =
        "SELECT @@binlog_format, @@binlog_row_image, @@binlog_row_metadata, @@gtid_strict_mode, @@server_id";
    assert_eq!(db.sql(variables).unwrap(), format!("ROW\tFULL\tFULL\t1\t{}", db.server_id()));
    assert_eq!(db.gtid().unwrap(), "");
    shop(&db);
    assert_eq!(db.sql(ALL).unwrap(), "1\tone\n2\ttwo");
    assert_eq!(db.gtid().unwrap(), format!("0-{}-3", db.server_id()));
    let error = db.sql("SELECT 1; SELECT nonsense FROM nowhere.at_all; SELECT 2").unwrap_err().to_string();
    assert!(error.contains("ERROR 1049") || error.contains("ERROR 1146"), "{error}");
    assert!(db.url("shop").ends_with(&format!("127.0.0.1:{}/shop", db.port())), "{}", db.url("shop"));

    let statement = MariaDb::start_with(&scratch, &["--binlog-format=STATEMENT"]).unwrap();
    assert_eq!(statement.sql("SELECT @@binlog_format").unwrap(), "STATEMENT");
}

#[test]
fn what_was_committed_survives_kill_9() {
    let scratch = Scratch::new("mariadb");
    let mut db = MariaDb::start(&scratch).unwrap();
    shop(&db);
    let (pid, address) = (db.pid(), db.address());
    db.kill9().unwrap();
    assert!(!db.is_running());
    assert!(db.sql("SELECT 1").is_err());
    db.restart().unwrap();
    assert_ne!(db.pid(), pid);
    assert_eq!(db.address(), address);
    assert_eq!(db.sql(ALL).unwrap(), "1\tone\n2\ttwo");
    // And a running one is stopped in good order first.
    db.restart().unwrap();
    assert_eq!(db.sql(ALL).unwrap(), "1\tone\n2\ttwo");
}

#[test]
fn a_server_that_starts_leaves_the_temporary_tables_of_another_alone() {
    let scratch = Scratch::new("mariadb");
    let first = MariaDb::start(&scratch).unwrap();
    // It removes everything of such a name there, in use or not.
    let table = Path::new(&first.sql("SELECT @@tmpdir").unwrap()).join("#sql-temptable-1-2-3.MAI");
    std::fs::write(&table, "").unwrap();
    let _second = MariaDb::start(&scratch).unwrap();
    assert!(table.exists(), "{table:?} is gone");
}

#[test]
fn a_replica_follows_also_after_either_was_killed() {
    let scratch = Scratch::new("mariadb");
    let mut primary = MariaDb::start(&scratch).unwrap();
    shop(&primary);
    let mut replica = primary.replica(&scratch).unwrap();
    replica.wait_caught_up(&primary, within(30)).unwrap();
    assert_eq!(replica.sql(ALL).unwrap(), "1\tone\n2\ttwo");

    replica.kill9().unwrap();
    primary.sql("INSERT INTO shop.orders VALUES (3, 'three')").unwrap();
    replica.restart().unwrap();
    replica.wait_caught_up(&primary, within(30)).unwrap();
    assert_eq!(replica.sql(ALL).unwrap(), "1\tone\n2\ttwo\n3\tthree");

    primary.kill9().unwrap();
    primary.restart().unwrap();
    primary.sql("DELETE FROM shop.orders WHERE id < 3").unwrap();
    replica.wait_caught_up(&primary, within(30)).unwrap();
    assert_eq!(replica.sql(ALL).unwrap(), "3\tthree");
}

#[test]
fn a_replica_that_lags_is_not_taken_for_one_that_has_caught_up() {
    let scratch = Scratch::new("mariadb");
    let primary = MariaDb::start(&scratch).unwrap();
    let replica = primary.replica(&scratch).unwrap();
    replica.sql("STOP SLAVE SQL_THREAD").unwrap();
    shop(&primary);
    let error = replica.wait_caught_up(&primary, within(0)).unwrap_err().to_string();
    assert!(error.contains(&primary.gtid().unwrap()), "{error}");
    let error = replica.wait_replicating(within(0)).unwrap_err().to_string();
    assert!(error.contains("Slave_SQL_Running: No"), "{error}");
    replica.sql("START SLAVE SQL_THREAD").unwrap();
    replica.wait_replicating(within(30)).unwrap();
    replica.wait_caught_up(&primary, within(30)).unwrap();
}

#[test]
fn a_paused_server_answers_once_it_is_resumed() {
    let scratch = Scratch::new("mariadb");
    let mut db = MariaDb::start(&scratch).unwrap();
    shop(&db);
    db.pause().unwrap();
    assert!(!db.is_running());
    let stat = format!("/proc/{}/stat", db.pid());
    let stopped = || std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(());
    assert!(until(within(10), stopped).is_some());
    // The kernel still accepts, but nobody greets.
    let mut connection = TcpStream::connect(db.address()).unwrap();
    connection.set_nonblocking(true).unwrap();
    let mut greeting = [0; 5];
    assert_eq!(connection.read(&mut greeting).unwrap_err().kind(), ErrorKind::WouldBlock);
    db.resume().unwrap();
    assert!(db.is_running());
    connection.set_nonblocking(false).unwrap();
    connection.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting[4], 10, "the version of the protocol");
    assert_eq!(db.sql(ALL).unwrap(), "1\tone\n2\ttwo");
}

#[test]
fn dropping_ends_the_server_and_a_failed_start_shows_its_log() {
    let scratch = Scratch::new("mariadb");
    let db = MariaDb::start(&scratch).unwrap();
    let pid = db.pid();
    drop(db);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    let error = MariaDb::start_with(&scratch, &["--no-such-option"]).unwrap_err().to_string();
    assert!(error.contains("no-such-option"), "{error}");
}
