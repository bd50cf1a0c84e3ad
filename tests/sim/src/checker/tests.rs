use super::{Rule, check};
use crate::history::{Answer, Event, Key, Kind, Table, What, Write};
use std::time::Duration;

const KEY: Key = Key { table: Table::Orders, id: 1 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The rules that a history breaks.
fn broken(history: impl IntoIterator<Item = (u64, What)>) -> Vec<Rule> {
    let events: Vec<_> = history.into_iter().map(|(at, what)| Event { at: ms(at), what }).collect();
    check(&events).into_iter().map(|violation| violation.rule).collect()
}

fn visible(version: u64) -> What {
    What::Visible(KEY, Some(version))
}

fn read(began: u64, answer: Answer) -> What {
    What::Read { instance: 0, key: KEY, began: ms(began), token: None, answer }
}

fn unmarked(began: u64, version: u64) -> What {
    read(began, Answer::Unmarked(Some(version)))
}

fn row(version: u64) -> Write {
    Write::Row { key: KEY, version, tombstone: false }
}

fn committed(gtid: u64, version: u64) -> What {
    What::Committed { source: 0, gtid, prepared: None, writes: vec![row(version)] }
}

fn saved(to: u64) -> What {
    What::Saved { source: 0, to }
}

#[test]
fn an_unmarked_answer_was_newest_within_delta() {
    let after =
        |began, version| broken([(0, visible(1)), (5000, visible(2)), (7000, unmarked(began, version))]);
    assert_eq!(after(6000, 1), []);
    assert_eq!(after(6001, 1), [Rule::Current]);
    assert_eq!(after(6001, 2), []);
    assert_eq!(after(6001, 3), [Rule::Current]);
    assert_eq!(broken([(0, visible(1)), (10, read(10, Answer::Refused("no".into())))]), []);
    // From the future: it was committed after the read had ended.
    assert_eq!(broken([(9, unmarked(0, 1)), (10, visible(1))]), [Rule::Current]);
    // Both are current from the commit until the row can be read.
    let told = || [What::Published(vec![row(2)]), What::Floored(vec![row(2)])].map(|what| (5001, what));
    let both = |began, version| {
        let before = [(0, visible(1)), (5000, committed(1, 2))].into_iter().chain(told());
        broken(before.chain([(5013, visible(2)), (6013, unmarked(began, version))]))
    };
    assert_eq!((both(6012, 1), both(6012, 2)), (vec![], vec![]));
    assert_eq!(both(6014, 1), [Rule::Current]);
    let early = [(0, visible(1)), (5000, committed(1, 2)), (5001, unmarked(5001, 2))];
    assert_eq!(broken(early.into_iter().chain(told())), []);
}

#[test]
fn an_absent_row_is_a_state_like_others() {
    let deleted = || [(0, visible(1)), (10, What::Visible(KEY, None)), (20, visible(3))];
    let after =
        |began, row| broken(deleted().into_iter().chain([(5000, read(began, Answer::Unmarked(row)))]));
    assert_eq!(after(1020, None), []);
    assert_eq!(after(1021, None), [Rule::Current]);
    assert_eq!(after(1021, Some(3)), []);
    assert_eq!(broken([(0, read(0, Answer::Unmarked(None)))]), [], "before anything was written");
}

#[test]
fn a_marked_answer_is_no_older_than_it_says() {
    let after = |age| {
        let answer = Answer::Marked(Some(1), ms(age));
        broken([(0, visible(1)), (5000, visible(2)), (7000, read(6999, answer))])
    };
    assert_eq!(after(2000), []);
    assert_eq!(after(1900), [Rule::Age]);
}

#[test]
fn a_token_is_answered_by_what_has_seen_the_write() {
    let after = |token, version| {
        let answer = Answer::Marked(Some(version), ms(60_000));
        let read = What::Read { instance: 0, key: KEY, began: ms(20), token: Some(ms(token)), answer };
        broken([(0, visible(1)), (10, visible(2)), (12, visible(3)), (20, read)])
    };
    assert_eq!(after(11, 1), [Rule::ReadYourWrites]);
    assert_eq!(after(11, 2), []);
    assert_eq!(after(11, 3), []);
}

#[test]
fn versions_never_go_down() {
    let served = |asked, kind, version| What::Served { key: KEY, master: 0, kind, version, asked: ms(asked) };
    let stored = |asked, master, version| {
        let (asked, until) = (ms(asked), ms(asked + 60_000));
        What::Stored { key: KEY, master, fill: None, version, asked, until }
    };
    assert_eq!(broken([(0, served(0, Kind::Live, 2)), (1, served(1, Kind::Live, 2))]), []);
    assert_eq!(broken([(0, served(0, Kind::Live, 2)), (1, served(1, Kind::Live, 1))]), [Rule::NeverDown]);
    assert_eq!(broken([(0, served(0, Kind::Negative, 2)), (1, served(1, Kind::Live, 1))]), [Rule::NeverDown]);
    assert_eq!(broken([(0, stored(0, 0, 2)), (1, stored(1, 0, 1))]), [Rule::NeverDown]);
    assert_eq!(broken([(0, stored(0, 0, 2)), (1, stored(1, 1, 1))]), [], "a promoted replica may know less");
    assert_eq!(broken([(0, stored(0, 0, 2)), (60_000, stored(60_000, 0, 1))]), [], "it was forgotten");
    // What was under way at once may have been done in either order.
    assert_eq!(broken([(5, served(0, Kind::Live, 2)), (6, served(4, Kind::Live, 1))]), []);
    assert_eq!(broken([(5, served(0, Kind::Live, 2)), (6, served(5, Kind::Live, 1))]), [Rule::NeverDown]);
    let both = || [(5, stored(0, 0, 2)), (6, stored(4, 0, 1))];
    assert_eq!(broken(both()), []);
    assert_eq!(broken(both().into_iter().chain([(9, stored(8, 0, 1))])), [Rule::NeverDown]);
}

#[test]
fn a_lease_is_one_loader_and_one_fill() {
    // Each holder is called by the end of its lease.
    let lease = |asked, holder, until| {
        (What::Granted { key: KEY, master: 0, holder, asked: ms(asked), until: ms(until) }, asked)
    };
    let granted = |asked, until| lease(asked, until, until);
    let fill_of = |asked, holder| {
        let (asked, until, fill) = (ms(asked), ms(60_000), Some(holder));
        What::Stored { key: KEY, master: 0, fill, version: 1, asked, until }
    };
    let fill = |asked| (fill_of(asked, 9), asked);
    let release = |at, holder| (What::Released { key: KEY, master: 0, holder }, at);
    let of = |history: Vec<(What, u64)>| broken(history.into_iter().map(|(what, at)| (at, what)));
    let one = [Rule::OneLoader];
    assert_eq!(of(vec![granted(0, 9), fill(5), granted(6, 20)]), []);
    assert_eq!(of(vec![granted(0, 9), release(5, Some(9)), fill(5), granted(6, 20)]), []);
    assert_eq!(of(vec![granted(0, 9), granted(9, 20)]), []);
    assert_eq!(of(vec![granted(0, 9), granted(8, 20)]), one);
    assert_eq!(of(vec![granted(0, 9), fill(5), fill(6)]), one);
    assert_eq!(of(vec![granted(0, 9), fill(10)]), one);
    assert_eq!(of(vec![granted(0, 9), (fill_of(5, 8), 5)]), one);
    assert_eq!(of(vec![lease(0, 1, 9), lease(5, 1, 14), (fill_of(12, 1), 12)]), [], "it asked again");
    assert_eq!(of(vec![granted(0, 9), release(5, Some(9)), granted(6, 20)]), []);
    assert_eq!(of(vec![granted(0, 9), release(5, None), granted(6, 20)]), []);
    assert_eq!(of(vec![granted(0, 9), release(5, Some(8)), granted(6, 20)]), one);
    assert_eq!(of(vec![granted(0, 9), release(5, Some(9)), fill(6)]), one);
    // It was given between 0 and 3, and so ends between 9 and 12.
    let late = || (granted(0, 9).0, 3);
    assert_eq!(of(vec![late(), fill(12)]), []);
    assert_eq!(of(vec![late(), fill(13)]), one);
}

#[test]
fn what_is_committed_reaches_both_and_the_checkpoint_waits() {
    let bus = |version| What::Published(vec![row(version)]);
    let floor = |version| What::Floored(vec![row(version)]);
    let table = || vec![Write::Table(Table::Orders)];
    let of = |told: Vec<What>| broken((0..).zip([committed(1, 5)].into_iter().chain(told)));
    assert_eq!(of(vec![bus(5), floor(5), saved(1)]), []);
    assert_eq!(of(vec![bus(6), floor(6), saved(1)]), [], "a later version says as much");
    assert_eq!(of(vec![bus(4), floor(5)]), [Rule::NothingLost]);
    assert_eq!(of(vec![bus(5), saved(1), floor(5)]), [Rule::Checkpoint]);
    assert_eq!(of(vec![saved(0), bus(5), floor(5)]), []);
    assert_eq!(of(vec![What::Published(table()), What::Raised(Table::Orders)]), []);
    assert_eq!(of(vec![bus(5), What::Owed(Table::Orders), saved(1)]), [Rule::NothingLost]);
    let raised = What::Raised(Table::Orders);
    assert_eq!(of(vec![bus(5), What::Owed(Table::Orders), saved(1), raised]), []);
    // Told before it is committed is not told.
    assert_eq!(broken([(0, bus(5)), (0, floor(5)), (1, committed(1, 5))]), [Rule::NothingLost]);
}

#[test]
fn in_the_end_everything_equals_the_database() {
    let after = |what| broken([(0, visible(1)), (9, visible(2)), (20, What::Quiet), (21, what)]);
    assert_eq!(after(unmarked(20, 2)), []);
    assert_eq!(after(unmarked(20, 1)), [Rule::Quiescence]);
    assert_eq!(after(read(20, Answer::Refused("no".into()))), [Rule::Quiescence]);
    assert_eq!(after(read(20, Answer::Marked(Some(2), ms(1)))), [Rule::Quiescence]);
    let refreshed = [
        (20, What::Quiet),
        (21, read(20, Answer::Marked(None, ms(99)))),
        (22, read(22, Answer::Unmarked(None))),
    ];
    assert_eq!(broken(refreshed), [], "past its soft deadline, once");
    assert_eq!(after(What::Held(KEY, Kind::Live, 2)), []);
    assert_eq!(after(What::Held(KEY, Kind::Live, 1)), [Rule::Quiescence]);
    assert_eq!(
        after(What::Held(KEY, Kind::Negative, 2)),
        [Rule::Quiescence],
        "a negative entry dies on insert"
    );
    assert_eq!(after(What::Held(KEY, Kind::Floor, 2)), []);
    assert_eq!(after(What::Held(KEY, Kind::Floor, 3)), [Rule::Quiescence], "it would refuse every load");
    assert_eq!(after(What::Current(0, true, true)), []);
    assert_eq!(after(What::Current(0, true, false)), [Rule::Quiescence]);
}
