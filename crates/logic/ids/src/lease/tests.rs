//! The lease over real files: restarts, crashes, torn copies, other settings, and a model of all of it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::mark::{COPIES, FILE};
use super::slot::SLOT_LEN;
use super::*;
use crate::error::IdError;
use crate::layout::{Id, ROUTES, Route};

const START: u64 = DEFAULT_EPOCH_MS + 1_000_000;

/// A data folder and a wall clock under the test's control.
struct Rig {
    dir: TempDir,
    unix_ms: Arc<AtomicU64>,
}

impl Rig {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), unix_ms: Arc::new(AtomicU64::new(START)) }
    }

    fn options(&self) -> LeaseOptions {
        let unix_ms = Arc::clone(&self.unix_ms);
        LeaseOptions {
            clock: Clock::from_fn(move || unix_ms.load(Ordering::SeqCst)),
            ..LeaseOptions::default()
        }
    }

    fn open(&self) -> Result<Lease, LeaseError> {
        Lease::open(self.dir.path(), self.options())
    }

    fn step(&self, ms: i64) {
        let moved = self.unix_ms.load(Ordering::SeqCst).saturating_add_signed(ms);
        self.unix_ms.store(moved, Ordering::SeqCst);
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join(FILE)
    }

    /// What a reader of the disk would learn now.
    fn stored_mark(&self) -> u64 {
        let bytes = fs::read(self.file()).unwrap();
        let marks = COPIES.map(|at| {
            let at = usize::try_from(at).unwrap();
            match slot::Slot::decode(&bytes[at..at + SLOT_LEN]) {
                slot::Slot::Intact { mark, .. } => mark,
                other => panic!("{other:?}"),
            }
        });
        marks[0].min(marks[1])
    }
}

fn route() -> Route {
    Route::of_hash(7)
}

fn time(id: Id) -> u64 {
    Layout::DEFAULT.decode(id).time_ms
}

#[test]
fn a_second_lease_on_the_folder_is_refused_until_the_first_is_gone() {
    let rig = Rig::new();
    let lease = rig.open().unwrap();
    let error = rig.open().unwrap_err();
    assert!(matches!(error, LeaseError::Held { .. }), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    drop(lease);
    rig.open().unwrap();
}

#[test]
fn the_mark_is_on_disk_before_an_id_below_it_is_minted() {
    let rig = Rig::new();
    let mut lease = rig.open().unwrap();
    let ids = lease.generator();
    for _ in 0..20 {
        assert!(time(ids.next_id(route()).unwrap()) < rig.stored_mark());
        rig.step(1499);
        assert!(time(ids.next_id(route()).unwrap()) < rig.stored_mark());
        rig.step(1);
        assert_eq!(ids.next_id(route()), Err(IdError::NotReserved));
        assert_eq!(ids.ready(), Err(IdError::NotReserved));
        lease.renew().unwrap();
        assert_eq!(ids.ready(), Ok(()));
    }
}

/// The second that ids may run ahead and the half second between renewals fit the reservation exactly.
#[test]
fn whatever_the_clock_admits_until_the_next_renewal_is_reserved() {
    let rig = Rig::new();
    let lease = rig.open().unwrap();
    rig.step(499);
    let ids = lease.generator();
    let refused = (0..).find_map(|_| ids.next_id(route()).err());
    assert_eq!(refused, Some(IdError::ClockBehind { by: Duration::from_millis(1) }));
}

#[test]
fn a_clean_close_lets_the_next_start_mint_at_once() {
    let rig = Rig::new();
    let lease = rig.open().unwrap();
    let ids = lease.generator();
    let last = ids.next_id(route()).unwrap();
    lease.close().unwrap();
    assert_eq!(ids.next_id(route()), Err(IdError::Closed));
    assert_eq!(rig.stored_mark(), time(last) + 1);

    let again = rig.open().unwrap().generator();
    assert_eq!(again.ready_in(), Duration::ZERO);
    assert!(again.next_id(route()).unwrap() > last);
}

#[test]
fn after_a_crash_the_next_start_waits_at_most_half_a_second() {
    let rig = Rig::new();
    let lease = rig.open().unwrap();
    let last = lease.generator().next_id(route()).unwrap();
    drop(lease);

    let again = rig.open().unwrap();
    let ids = again.generator();
    assert_eq!(ids.ready_in(), Duration::from_millis(500));
    assert_eq!(ids.next_id(route()), Err(IdError::ClockBehind { by: Duration::from_millis(500) }));
    rig.step(499);
    assert_eq!(ids.ready_in(), Duration::from_millis(1));
    rig.step(1);
    // The owner's renewal is due by now; without it the time is not reserved.
    let mut again = again;
    again.renew().unwrap();
    assert!(ids.next_id(route()).unwrap() > last);
}

#[test]
fn a_clock_stepped_back_across_a_restart_is_waited_for() {
    let rig = Rig::new();
    let lease = rig.open().unwrap();
    let last = lease.generator().next_id(route()).unwrap();
    lease.close().unwrap();
    rig.step(-3_600_000);

    let mut lease = rig.open().unwrap();
    let ids = lease.generator();
    assert_eq!(ids.ready_in(), Duration::from_millis(3_599_001));
    rig.step(3_599_001);
    lease.renew().unwrap();
    assert!(ids.next_id(route()).unwrap() > last);
}

#[test]
fn generators_of_a_dropped_lease_stay_below_the_mark_the_next_one_starts_at() {
    let rig = Rig::new();
    let lease = rig.open().unwrap();
    let old = lease.generator();
    drop(lease);
    rig.step(600);
    let new = rig.open().unwrap().generator();
    let minted: Vec<_> = (0..100_000).map_while(|_| old.next_id(route()).ok()).collect();
    assert!(new.next_id(route()).unwrap() > *minted.last().unwrap());
}

/// Nothing above the last durable mark is minted, and a lease that failed once stays failed.
#[test]
fn a_failed_write_reserves_nothing_and_is_final() {
    let rig = Rig::new();
    let mut lease = rig.open().unwrap();
    let ids = lease.generator();
    // A file that was opened for reading only refuses every write.
    let sound = lease.file.replace_file(fs::File::open(rig.file()).unwrap());
    rig.step(1499);
    let error = lease.renew().unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
    let last = ids.next_id(route()).unwrap();
    rig.step(1);
    assert_eq!(ids.next_id(route()), Err(IdError::NotReserved));

    lease.file.replace_file(sound);
    assert!(matches!(lease.renew(), Err(LeaseError::Failed { .. })));
    assert_eq!(ids.next_id(route()), Err(IdError::NotReserved));
    assert!(matches!(lease.close(), Err(LeaseError::Failed { .. })));
    assert!(rig.open().unwrap().generator().next_id(route()).unwrap() > last);
}

/// Opens a folder written by [`Rig::options`] with another setting, and expects a message that says what to do.
fn check_mismatch(change: impl FnOnce(&mut LeaseOptions), expect: &str) {
    let rig = Rig::new();
    rig.open().unwrap().close().unwrap();
    let before = fs::read(rig.file()).unwrap();
    let mut options = rig.options();
    change(&mut options);
    let message = Lease::open(rig.dir.path(), options).unwrap_err().to_string();
    assert!(message.contains(expect) && message.contains("or use another data folder"), "{message}");
    assert_eq!(fs::read(rig.file()).unwrap(), before);
    rig.open().unwrap();
}

#[test]
fn other_settings_than_the_stored_ones_are_refused() {
    check_mismatch(|o| o.epoch_ms += 1, "set the epoch back to 1704067200000");
    check_mismatch(|o| o.layout = Layout::SEED, "set the layout back to W7/S8");
    check_mismatch(|o| o.worker = 3, "set the worker back to 0");
}

#[test]
fn a_worker_beyond_the_layout_is_refused() {
    let rig = Rig::new();
    let options = LeaseOptions { layout: Layout::SEED, worker: 8, ..rig.options() };
    let error = Lease::open(rig.dir.path(), options).unwrap_err();
    assert!(matches!(error, LeaseError::Worker { worker: 8, max: 7 }), "{error}");
}

#[test]
fn a_missing_folder_is_named() {
    let error = Lease::open(Path::new("/nonexistent/folder"), LeaseOptions::default()).unwrap_err();
    assert!(error.to_string().contains("cannot open /nonexistent/folder/ids.lock"), "{error}");
}

/// Every length at which a crash can cut a write of the first copy, and then of the second.
#[test]
fn a_torn_copy_loses_nothing_and_is_repaired() {
    let rig = Rig::new();
    drop(rig.open().unwrap());
    let old = fs::read(rig.file()).unwrap();
    let old_mark = rig.stored_mark();
    rig.step(700);
    drop(rig.open().unwrap());
    let new = fs::read(rig.file()).unwrap();
    let new_mark = rig.stored_mark();
    assert!(old_mark < new_mark);

    for (copy, at) in COPIES.map(|at| usize::try_from(at).unwrap()).into_iter().enumerate() {
        for cut in 0..SLOT_LEN {
            let mut torn = if copy == 0 { old.clone() } else { new.clone() };
            torn[at..].copy_from_slice(&old[at..]);
            torn[at..at + cut].copy_from_slice(&new[at..at + cut]);
            fs::write(rig.file(), &torn).unwrap();
            rig.unix_ms.store(0, Ordering::SeqCst); // no renewal may hide what the file said
            drop(rig.open().unwrap());
            let mark = rig.stored_mark();
            assert!(mark == old_mark || mark == new_mark, "copy {copy} cut at {cut}: {mark}");
        }
    }
}

#[test]
fn one_damaged_byte_in_each_copy_is_refused_and_not_reset() {
    let rig = Rig::new();
    drop(rig.open().unwrap());
    let whole = fs::read(rig.file()).unwrap();
    for byte in 0..SLOT_LEN {
        let mut damaged = whole.clone();
        for at in COPIES.map(|at| usize::try_from(at).unwrap()) {
            damaged[at + byte] ^= 0x10;
        }
        fs::write(rig.file(), &damaged).unwrap();
        let error = rig.open().unwrap_err();
        let expected = match byte {
            8..12 => matches!(error, LeaseError::Format { .. }),
            _ => matches!(error, LeaseError::Damaged { .. }),
        };
        assert!(expected, "byte {byte}: {error}");
        assert_eq!(fs::read(rig.file()).unwrap(), damaged);
    }
}

/// Shifted into a stamp, such a mark would lose its upper bits and let old times be minted again.
#[test]
fn a_mark_beyond_the_end_of_time_is_damage() {
    let rig = Rig::new();
    drop(rig.open().unwrap());
    let identity = slot::Identity { layout: Layout::DEFAULT, worker: 0, epoch_ms: DEFAULT_EPOCH_MS };
    let mut bytes = fs::read(rig.file()).unwrap();
    for at in COPIES.map(|at| usize::try_from(at).unwrap()) {
        bytes[at..at + SLOT_LEN].copy_from_slice(&identity.encode(1 << 56));
    }
    fs::write(rig.file(), &bytes).unwrap();
    let error = rig.open().unwrap_err();
    assert!(matches!(error, LeaseError::Damaged { .. }), "{error}");
}

#[test]
fn an_empty_or_foreign_file_is_refused() {
    let rig = Rig::new();
    for content in [&b""[..], b"aqueduct", b"something else entirely"] {
        fs::write(rig.file(), content).unwrap();
        let error = rig.open().unwrap_err();
        assert!(matches!(error, LeaseError::Damaged { .. }), "{error}");
    }
    fs::write(rig.file(), b"aqueduct\x02\x00\x00\x00and what version 2 adds").unwrap();
    let error = rig.open().unwrap_err();
    assert!(matches!(error, LeaseError::Format { found: 2, expected: 1, .. }), "{error}");
}

/// What may happen to a worker, in any order.
#[derive(Clone, Debug)]
enum Event {
    Mint { route: usize, count: usize },
    Step { ms: i64 },
    Renew,
    Crash,
    Close,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..ROUTES, 1..600_usize).prop_map(|(route, count)| Event::Mint { route, count }),
        4 => (-3000..3000_i64).prop_map(|ms| Event::Step { ms }),
        1 => (-100_000..100_000_i64).prop_map(|ms| Event::Step { ms }),
        4 => Just(Event::Renew),
        1 => Just(Event::Crash),
        1 => Just(Event::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Restarts, crashes and a clock that jumps both ways: no ID twice, each route only grows, nothing at or above
    /// the mark that is on disk.
    #[test]
    fn nothing_is_ever_repeated(events in prop::collection::vec(event(), 1..40)) {
        let rig = Rig::new();
        let routes: Vec<_> = Route::all().collect();
        let mut seen = HashSet::new();
        let mut last = [None; ROUTES];
        let mut lease = rig.open().unwrap();
        for event in events {
            match event {
                Event::Mint { route, count } => {
                    let ids = lease.generator();
                    for _ in 0..count {
                        let Ok(id) = ids.next_id(routes[route]) else { break };
                        prop_assert_eq!(id.route(), routes[route]);
                        prop_assert!(seen.insert(id), "{} again", id);
                        prop_assert!(last[route] < Some(id));
                        last[route] = Some(id);
                    }
                    let newest = last.iter().flatten().map(|id| time(*id)).max();
                    prop_assert!(newest < Some(rig.stored_mark()));
                }
                Event::Step { ms } => rig.step(ms),
                Event::Renew => lease.renew().unwrap(),
                Event::Crash => {
                    drop(lease);
                    lease = rig.open().unwrap();
                }
                Event::Close => {
                    lease.close().unwrap();
                    lease = rig.open().unwrap();
                }
            }
        }
        // The model itself must not idle: a fresh folder and a sane clock mint.
        rig.unix_ms.store(rig.stored_mark() + DEFAULT_EPOCH_MS, Ordering::SeqCst);
        lease.renew().unwrap();
        prop_assert!(lease.generator().next_id(routes[0]).is_ok());
    }
}
