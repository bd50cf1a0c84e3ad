//! kill -9 under load, again and again on one data folder: nothing acknowledged is lost, nothing happens that was not
//! asked for, no id comes twice, and what was asked for and not answered can be asked for again.

use std::collections::HashSet;

use aqueduct_kit::process::within;
use aqueduct_kit::{Process, rounds, until};

use crate::load::{End, Load, check_books, ids};
use crate::site::{Site, no_panic};

const CLIENTS: usize = 8;

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let site = Site::new("crash");
    let mut seen = HashSet::new();
    for round in 0..rounds(3) {
        let mut process = site.up();
        let first_user = 1 + i64::from(round) * 100;
        let load = Load::start(site.edge(), CLIENTS, first_user);
        // Not always at the same point of a file's or a batch's life.
        load.wait_acknowledged(200 + usize::try_from(round).unwrap() * 37 % 400);
        process.kill().unwrap();
        no_panic(&process);
        let books = load.end();
        for book in &books {
            assert!(matches!(book.end, Some(End::Unanswered(_))), "{:?}", book.end);
        }
        for id in ids(&books) {
            assert!(seen.insert(id), "{id} was given twice");
        }

        let process = site.up();
        let mut shop = site.shop();
        check_books(&mut shop, &books);
        // Orders whose creation was not acknowledged have ids too.
        for user in (first_user..).take(CLIENTS) {
            let known: HashSet<i64> = ids(&books).collect();
            for order in shop.list(user, 500).iter().filter(|order| !known.contains(&order.id)) {
                assert!(seen.insert(order.id), "{} was given twice", order.id);
            }
            assert!(seen.insert(shop.create(user).id), "an id was given twice");
        }
        no_panic(&process);
    }
}

/// The start of a folder's life is the part of it that no other test hits by chance.
#[test]
fn a_kill_while_the_data_folder_is_made_leaves_one_that_can_be_opened() {
    let site = Site::new("birth");
    for file in ["FORMAT", "ids/ids.lease", "store.part", "store", "store/keyspaces/4"] {
        if site.data().exists() {
            std::fs::remove_dir_all(site.data()).unwrap();
        }
        let mut process = Process::start("aqueduct up", &mut site.command()).unwrap();
        let path = site.data().join(file);
        let there = || (path.exists() || process.exited().is_some()).then_some(());
        assert!(until(within(30), there).is_some(), "no {file}");
        process.kill().unwrap();
        let _process = site.up();
        assert_eq!(site.shop().create(1).version, 1, "killed when there was {file}");
    }
}
