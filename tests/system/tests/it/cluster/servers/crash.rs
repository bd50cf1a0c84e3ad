//! kill -9 under load, of the system and of its database: nothing acknowledged is lost, nothing happens twice.

use crate::cluster::{Below, wait_health};
use crate::load::{End, Load, check_books};
use crate::site::{Site, no_panic};

const CLIENTS: usize = 8;

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_of_the_system() {
    let below = Below::start("cluster-crash");
    let site = Site::with_config("cluster-crash", &below.yaml(""));
    for round in 0..2 {
        let mut process = site.up();
        wait_health(&site, "ok");
        let load = Load::start(site.edge(), CLIENTS, 1 + round * 100);
        load.wait_acknowledged(150);
        process.kill().unwrap();
        no_panic(&process);
        let books = load.end();
        for book in &books {
            assert!(matches!(book.end, Some(End::Unanswered(_))), "{:?}", book.end);
        }

        let process = site.up();
        wait_health(&site, "ok");
        // Repeats what was asked for and not answered, under the same event ids.
        check_books(&mut site.shop(), &books);
        no_panic(&process);
    }
    // An order at version n has had n - 1 events: each once, whoever asked how often.
    for shard in 0..4 {
        for table in 0..16 {
            let sql = format!(
                "SELECT COUNT(*) FROM shop_{shard}.orders_{table:02} o WHERE o.version <> 1 + \
                 (SELECT COUNT(*) FROM shop_{shard}.order_events_{table:02} e WHERE e.id = o.id)"
            );
            assert_eq!(below.primary.sql(&sql).unwrap(), "0", "shard {shard}, table {table}");
        }
    }
}

#[test]
fn a_database_that_dies_under_load_leaves_no_call_without_a_true_answer() {
    let mut below = Below::start("cluster-database");
    let site = Site::with_config("cluster-database", &below.yaml(""));
    let process = site.up();
    wait_health(&site, "ok");
    let load = Load::start(site.edge(), CLIENTS, 1);
    load.wait_acknowledged(150);
    below.primary.kill9().unwrap();
    // Each client is refused, and told why; none waits for ever.
    let books = load.end();
    for book in &books {
        match &book.end {
            Some(End::Refused(text)) => assert!(text.starts_with("503"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    below.primary.restart().unwrap();
    wait_health(&site, "ok");
    check_books(&mut site.shop(), &books);
    no_panic(&process);
}
