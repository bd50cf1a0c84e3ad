//! Others have an order's row: a change waits for them and is decided on what they leave, and nobody else waits for long.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use aqueduct_kit::process::within;
use aqueduct_kit::until;

use crate::cluster::{Below, figure, table_of, wait_health};
use crate::shop::{Shop, good, refused};
use crate::site::{Site, no_panic};

/// Somebody else's transaction, through the client of MariaDB.
struct Other {
    client: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Other {
    fn begin(below: &Below, id: i64) -> Self {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=root", "--skip-ssl"]);
        command.arg(format!("--port={}", below.primary.port())).args(["--batch", "--unbuffered"]);
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = client.stdin.take().unwrap();
        let output = BufReader::new(client.stdout.take().unwrap());
        let mut other = Self { client, input, output };
        let table = table_of(id);
        let row = format!("{}.orders_{} WHERE id = {id}", table.0, table.1);
        other.say(&format!("BEGIN; SELECT COUNT(*) FROM {row} FOR UPDATE; SELECT 'it is locked';"));
        let mut line = String::new();
        while line.trim() != "it is locked" {
            line.clear();
            assert_ne!(other.output.read_line(&mut line).unwrap(), 0, "the client has ended");
        }
        other
    }

    /// Waits until somebody has begun to wait for a row since there were so many waits.
    fn wait_met(below: &Below, before: u64) {
        let met = until(within(30), || (lock_waits(below) > before).then_some(()));
        assert!(met.is_some(), "nobody waits for the row");
    }

    fn say(&mut self, sql: &str) {
        writeln!(self.input, "{sql}").unwrap();
        self.input.flush().unwrap();
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.client.wait().unwrap().success());
    }
}

/// How often a row was waited for. (What `innodb_lock_waits` shows is as old as somebody who looks often makes it.)
fn lock_waits(below: &Below) -> u64 {
    let sql = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'INNODB_ROW_LOCK_WAITS'";
    below.primary.sql(sql).unwrap().parse().unwrap()
}

#[test]
fn a_change_waits_for_who_has_the_row_and_is_decided_on_what_he_leaves() {
    let below = Below::start("locks-wait");
    let site = Site::with_config("locks-wait", &below.yaml(""));
    let process = site.up();
    wait_health(&site, "ok");
    let mut shop = site.shop();
    let id = shop.create(7).id;
    let mut other = Other::begin(&below, id);
    let (edge, before) = (site.edge(), lock_waits(&below));
    let ship = thread::spawn(move || {
        let mut shop = Shop::new(edge);
        // Who has the row may be slower than a change waits.
        until(within(30), || {
            Some(shop.try_event(id, "ship", "s").unwrap()).filter(|answer| answer.status() != 409)
        })
    });
    // It stands at the lock, before anything was decided: as the order is now, it may not be shipped.
    Other::wait_met(&below, before);
    let (database, table) = table_of(id);
    other.say(&format!(
        "UPDATE {database}.orders_{table} SET state = 2, version = 2 WHERE id = {id}; \
         INSERT INTO {database}.order_events_{table} (id, version, state, event, event_id) VALUES ({id}, 2, 2, 1, 'by hand'); COMMIT;"
    ));
    other.end();
    assert_eq!(good(&ship.join().unwrap().unwrap()).version, 3);
    assert_eq!(below.history(id), [(2, 2, 1), (3, 3, 2)]);
    no_panic(&process);
}

#[test]
fn a_row_that_is_never_let_go_is_aborted_and_holds_up_no_other_order() {
    let below = Below::start("locks-stuck");
    let site = Site::with_config("locks-stuck", &below.yaml(""));
    let process = site.up();
    wait_health(&site, "ok");
    let mut shop = site.shop();
    // One user's orders are in one table, so they share a committer.
    let (stuck, free) = (shop.create(7).id, shop.create(7).id);
    let other = Other::begin(&below, stuck);
    let (edge, before) = (site.edge(), lock_waits(&below));
    let pay = thread::spawn(move || Shop::new(edge).try_event(stuck, "pay", "p").unwrap());
    Other::wait_met(&below, before);
    assert_eq!(shop.event(free, "pay", "").version, 2);
    let json = refused(&pay.join().unwrap(), 409, 10);
    assert!(json["message"].as_str().unwrap().contains("repeat the call"), "{json}");
    assert_eq!(figure(&site, "aqueduct_shop_changes_aborted_total"), 1);
    assert_eq!(figure(&site, "aqueduct_shop_change_retries_total"), 3);
    other.end();
    let paid =
        until(within(30), || shop.try_event(stuck, "pay", "p").ok().filter(|answer| answer.status() == 200));
    assert_eq!(good(&paid.unwrap()).version, 2);
    assert_eq!(below.history(stuck), [(2, 2, 1)]);
    no_panic(&process);
}

#[test]
fn a_row_that_the_database_refuses_is_refused_alone() {
    let below = Below::start("locks-poison");
    let site = Site::with_config("locks-poison", &below.yaml(""));
    let process = site.up();
    wait_health(&site, "ok");
    let mut shop = site.shop();
    let ids: Vec<i64> = (0..24).map(|_| shop.create(7).id).collect();
    let poisoned = ids[11];
    let (database, table) = table_of(poisoned);
    below
        .primary
        .sql(&format!(
            "CREATE TRIGGER {database}.poison BEFORE UPDATE ON {database}.orders_{table} FOR EACH ROW \
             SET NEW.state = IF(NEW.id = {poisoned}, NULL, NEW.state)"
        ))
        .unwrap();
    let calls: Vec<_> = ids
        .iter()
        .map(|id| {
            let (id, edge) = (*id, site.edge());
            thread::spawn(move || (id, Shop::new(edge).try_event(id, "pay", "p").unwrap()))
        })
        .collect();
    for call in calls {
        let (id, answer) = call.join().unwrap();
        if id == poisoned {
            refused(&answer, 500, 13);
        } else {
            assert_eq!(good(&answer).version, 2);
        }
    }
    assert_eq!(figure(&site, "aqueduct_shop_changes_refused_total"), 1);
    assert_eq!(figure(&site, "aqueduct_shop_changes_aborted_total"), 0);
    no_panic(&process);
}
