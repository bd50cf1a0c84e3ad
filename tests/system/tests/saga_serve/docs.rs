//! What `docs/saga.md` shows is what is there.

use std::collections::BTreeSet;

use aqueduct_kit::process::within;
use aqueduct_kit::{Process, binary};

use crate::coordinator::{Coordinator, FAST};
use crate::desk::Desk;
use crate::peer::Answer;

const PAGE: &str = include_str!("../../../../docs/saga.md");
const EXAMPLE: &str = include_str!("../../../../docs/examples/saga_participant.py");

#[test]
fn the_barriers_of_the_page_are_those_that_are_tested() {
    assert!(PAGE.contains(aqueduct_saga::barrier::mysql::TABLE), "MySQL's is the crate's");
    let ours = PAGE.split("CREATE TABLE IF NOT EXISTS saga_barrier (").nth(2).unwrap();
    let (ours, _) = ours.split_once("```").unwrap();
    assert!(EXAMPLE.contains(ours), "SQLite's is the example's");
}

/// The submission of the page is taken as it stands there, and ends.
#[test]
fn the_submission_of_the_page_works() {
    let (_, from) = PAGE.split_once("-d '").unwrap();
    let (body, _) = from.split_once("'; echo").unwrap();
    let coordinator = Coordinator::start("saga-page", FAST);
    let (desk, url) = Desk::open(|_, _| Answer::ok());
    let body =
        body.replace("http://127.0.0.1:9001/debit", &url).replace("http://127.0.0.1:9002/credit", &url);
    assert_eq!(coordinator.submit(&body).unwrap().status(), 200);
    let saga = coordinator.wait("transfer-1", &["COMPLETED"]);
    assert_eq!(desk.told("transfer-1").len(), 2);
    let fields: BTreeSet<&str> = saga.as_object().unwrap().keys().map(String::as_str).collect();
    for field in fields {
        assert!(PAGE.contains(&format!("`{field}")), "{field} is not on the page");
    }
}

#[test]
fn the_flags_of_the_page_are_there() {
    let mut command = std::process::Command::new(binary::aqueduct(binary::Profile::Debug));
    let mut help = Process::start("help", command.args(["saga", "serve", "--help"])).unwrap();
    let (_, help) = help.finish(within(30)).unwrap();
    let flags = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        words.filter(|word| word.starts_with("--") && word.len() > 4).map(str::to_owned).collect()
    };
    let (_, section) = PAGE.split_once("## Running it").unwrap();
    let (table, _) = section.split_once("SIGTERM").unwrap();
    let (page, there) = (flags(table), flags(&help));
    assert!(page.len() > 3 && page.is_subset(&there), "on the page {page:?}, there {there:?}");
    // Those of the diagnostic log and of help are everywhere.
    for flag in there.iter().filter(|flag| !flag.starts_with("--log") && *flag != "--help") {
        assert!(page.contains(flag), "{flag} is not on the page");
    }
}
