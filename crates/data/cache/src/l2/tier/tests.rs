//! How a load goes: which of Redis and the primary is asked when, and what the answer is worth.

mod master;

use super::{Mode, Tier, TierError, TierOptions};
use crate::l2::{Codec, Entry, Epochs, Found, Key, Leased, Options, Plain, Store};
use crate::{AsOf, Ask, Loaded, Stamp, Watermarks};
use master::{Health, Master};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::Instant;

const ANY: Ask = Ask { least: 0, since: None };
const TTL: Duration = Duration::from_mins(1);

type Row = Vec<u8>;
type Outcome = Result<Loaded<Row>, TierError<&'static str>>;

/// One row, whose bytes are its version.
#[derive(Clone, Default)]
struct Primary {
    version: Arc<AtomicU64>,
    reads: Arc<AtomicUsize>,
    /// How many reads from now on still see the version before.
    late: Arc<AtomicUsize>,
    fails: Arc<AtomicUsize>,
    takes: Arc<AtomicU64>,
}

impl Primary {
    fn at(version: u64) -> Self {
        let primary = Self::default();
        primary.version.store(version, SeqCst);
        primary
    }

    fn reads(&self) -> usize {
        self.reads.load(SeqCst)
    }

    async fn read(&self) -> Result<Loaded<Row>, &'static str> {
        self.reads.fetch_add(1, SeqCst);
        let late = self.late.fetch_update(SeqCst, SeqCst, |late| late.checked_sub(1)).is_ok();
        let version = self.version.load(SeqCst) - u64::from(late);
        tokio::time::sleep(Duration::from_millis(self.takes.load(SeqCst))).await;
        if self.fails.load(SeqCst) == 1 {
            return Err("the primary is down");
        }
        Ok(Loaded::new(version, (version != 0).then(|| row(version))))
    }
}

fn row(version: u64) -> Row {
    version.to_string().into_bytes()
}

struct World {
    master: Master,
    store: Store<Master>,
    watermarks: Watermarks,
    epochs: Epochs,
    tier: Tier<Row, Master>,
    primary: Primary,
}

impl World {
    fn with(options: TierOptions) -> Self {
        let master = Master::new();
        let store = Store::over(master.clone(), Options::default()).unwrap();
        let (watermarks, epochs) = (Watermarks::new(1, Watermarks::DELTA), Epochs::new());
        let table = ("orders", Plain, options);
        let tier = Tier::following(store.clone(), table, watermarks.clone(), epochs.clone()).unwrap();
        watermarks.l2(0, Instant::now(), &[Master::stamp()]);
        Self { master, store, watermarks, epochs, tier, primary: Primary::at(1) }
    }

    fn new() -> Self {
        Self::with(TierOptions::default())
    }

    async fn load(&self, ask: Ask) -> Outcome {
        self.tier.load("7", 0, ask, |_| self.primary.read()).await
    }

    /// A fresh look at what Redis has.
    async fn found(&self) -> Found {
        self.store.get(&key()).await.unwrap()
    }

    async fn advance(&self, seconds: f64) {
        tokio::time::advance(Duration::from_secs_f64(seconds)).await;
        self.watermarks.l2(0, Instant::now(), &[Master::stamp()]);
    }
}

fn key() -> Key {
    Key::new("orders", "7").unwrap()
}

fn read(version: u64, as_of: AsOf) -> Loaded<Row> {
    Loaded { version, value: Some(row(version)), as_of }
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_loaded_once_and_found_by_the_next_with_the_watermarks_instant() {
    let world = World::new();
    assert_eq!(world.load(ANY).await.unwrap(), read(1, AsOf::Load));
    tokio::time::advance(Duration::from_millis(900)).await;
    let at = world.watermarks.l2_at(0).unwrap();
    assert_eq!(world.load(ANY).await.unwrap(), read(1, AsOf::Since(at)));
    let stats = world.tier.stats();
    assert_eq!((world.primary.reads(), stats.leases, stats.fills, stats.hits), (1, 1, 1, 1));
    // Absence is an answer too.
    let world = World::new();
    world.primary.version.store(0, SeqCst);
    for as_of in [AsOf::Load, AsOf::Since(Instant::now())] {
        assert_eq!(world.load(ANY).await.unwrap(), Loaded { version: 0, value: None, as_of });
    }
    assert_eq!(world.primary.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_many_one_loads_and_the_others_wait_for_it() {
    let world = World::new();
    world.primary.takes.store(100, SeqCst);
    let all = futures_util::future::join_all((0..50).map(|_| world.load(ANY))).await;
    assert!(all.into_iter().all(|loaded| loaded.unwrap().version == 1));
    assert_eq!((world.primary.reads(), world.tier.stats().hits), (1, 49));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_forgotten_is_waited_for_until_it_ends_and_no_longer() {
    let world = World::new();
    let Leased::Load { .. } = world.store.lease(&key()).await.unwrap() else { panic!("no lease") };
    let began = Instant::now();
    assert_eq!(world.load(ANY).await.unwrap(), read(1, AsOf::Load));
    let lease = world.store.options().lease;
    assert!((lease..lease + Duration::from_millis(60)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(world.tier.stats().fills, 1);
    // With less patience it is passed by.
    let world = World::with(TierOptions { wait: Duration::from_millis(500), ..TierOptions::default() });
    drop(world.store.lease(&key()).await.unwrap());
    let began = Instant::now();
    assert_eq!(world.load(ANY).await.unwrap(), read(1, AsOf::Load));
    assert!(began.elapsed() < Duration::from_millis(600));
    assert_eq!((world.tier.stats().impatient, world.tier.stats().fills), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn past_the_soft_deadline_one_loads_and_the_others_get_the_stale_row_with_its_age() {
    let world = World::new();
    world.load(ANY).await.unwrap();
    let loaded = Instant::now();
    world.primary.version.store(2, SeqCst);
    world.advance(301.0).await;
    world.primary.takes.store(100, SeqCst);
    let (one, other) = tokio::join!(world.load(ANY), world.load(ANY));
    assert_eq!(one.unwrap(), read(2, AsOf::Load));
    assert_eq!(other.unwrap(), read(1, AsOf::Stale(loaded)));
    // Not to a caller that knows of a later version, or that something changed since.
    world.advance(301.0).await;
    let (one, other) = tokio::join!(world.load(ANY), world.load(Ask { least: 3, since: None }));
    assert_eq!((one.unwrap().version, other.unwrap_err().kind()), (2, "behind"));
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_lags_behind_a_floor_is_asked_again_until_it_has_it() {
    let world = World::new();
    world.store.invalidate(&key(), 2).await.unwrap();
    world.primary.version.store(2, SeqCst);
    world.primary.late.store(3, SeqCst);
    let began = Instant::now();
    assert_eq!(world.load(ANY).await.unwrap(), read(2, AsOf::Load));
    assert_eq!((world.primary.reads(), began.elapsed()), (4, Duration::from_millis(5 + 10 + 20)));
    assert!(matches!(world.found().await, Found::Live(entry) if entry.version == 2));
    // But not for ever; and then the lease is given back.
    world.store.invalidate(&key(), 9).await.unwrap();
    let error = world.load(ANY).await.unwrap_err();
    assert!(matches!(error, TierError::Behind { found: 2, least: 9 }), "{error}");
    assert!(matches!(world.store.lease(&key()).await.unwrap(), Leased::Load { least: 9, .. }));
}

#[tokio::test(start_paused = true)]
async fn an_absent_row_below_a_floor_is_believed_only_when_it_stays_absent() {
    let world = World::new();
    world.store.invalidate(&key(), 1).await.unwrap();
    // Inserted, announced, not visible yet.
    world.primary.late.store(2, SeqCst);
    assert_eq!(world.load(ANY).await.unwrap(), read(1, AsOf::Load));
    world.store.invalidate(&key(), 5).await.unwrap();
    world.primary.version.store(0, SeqCst);
    let began = Instant::now();
    let absent = world.load(ANY).await.unwrap();
    assert_eq!((absent.version, absent.value), (5, None));
    assert!(began.elapsed() >= TierOptions::default().visible_lag);
    assert!(matches!(world.found().await, Found::Negative(entry) if entry.version == 5));
}

#[tokio::test(start_paused = true)]
async fn what_overtakes_a_load_makes_it_load_again() {
    let world = World::new();
    world.primary.takes.store(100, SeqCst);
    let (loaded, ()) = tokio::join!(world.load(ANY), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.primary.version.store(2, SeqCst);
        world.store.invalidate(&key(), 2).await.unwrap();
    });
    assert_eq!((loaded.unwrap(), world.primary.reads()), (read(2, AsOf::Load), 2));
    assert!(matches!(world.found().await, Found::Live(entry) if entry.version == 2));
}

#[tokio::test(start_paused = true)]
async fn what_overtook_a_load_is_what_the_primary_is_asked_for() {
    let world = World::new();
    let asked = std::sync::Mutex::new(Vec::new());
    let loaded = world.tier.load("7", 0, ANY, async |least| {
        asked.lock().unwrap().push(least);
        if asked.lock().unwrap().len() == 1 {
            world.primary.version.store(2, SeqCst);
            world.primary.late.store(2, SeqCst);
            world.store.invalidate(&key(), 2).await.unwrap();
        }
        world.primary.read().await
    });
    assert_eq!(loaded.await.unwrap(), read(2, AsOf::Load));
    assert_eq!((asked.lock().unwrap().clone(), world.tier.stats().behind), (vec![0, 2, 2], 1));
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_a_longer_life_than_ours_is_not_answered_stale_past_our_hard_deadline() {
    let world = World::new();
    world.load(ANY).await.unwrap();
    world.primary.fails.store(1, SeqCst);
    let minute = Duration::from_mins(1);
    let options = TierOptions { fresh: minute, hard: minute, ..TierOptions::default() };
    let tier = Tier::<Row, _>::new(world.store.clone(), "orders", Plain, options).unwrap();
    for (seconds, stale) in [(301, false), (0, true)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        let tier = if stale { &world.tier } else { &tier };
        assert_eq!(tier.load("7", 0, ANY, |_| world.primary.read()).await.is_ok(), stale);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_level_that_is_behind_the_callers_floor_is_told() {
    let world = World::new();
    world.load(ANY).await.unwrap();
    world.primary.version.store(2, SeqCst);
    assert_eq!(world.load(Ask { least: 2, since: None }).await.unwrap(), read(2, AsOf::Load));
    assert_eq!((world.tier.stats().fills, world.tier.stats().hits), (2, 0));
    // A change of unknown version: only what was current since then.
    world.primary.version.store(3, SeqCst);
    tokio::time::advance(Duration::from_millis(10)).await;
    let since = Ask { least: 0, since: Some(Instant::now()) };
    assert_eq!(world.load(since).await.unwrap(), read(3, AsOf::Load));
    assert_eq!(world.tier.stats().not_current, 1);
    world.advance(0.01).await;
    assert_eq!(world.load(since).await.unwrap().version, 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_current_watermark_redis_is_not_asked_but_for_a_stale_row() {
    let world = World::new();
    world.load(ANY).await.unwrap();
    let loaded = Instant::now();
    world.primary.version.store(2, SeqCst);
    tokio::time::advance(Duration::from_secs(1)).await;
    let commands = world.master.commands();
    assert_eq!(world.load(ANY).await.unwrap(), read(2, AsOf::Load));
    assert_eq!((world.master.commands(), world.tier.stats().not_current), (commands, 1));
    world.primary.fails.store(1, SeqCst);
    assert_eq!(world.load(ANY).await.unwrap(), read(1, AsOf::Stale(loaded)));
    let later = Ask { least: 2, since: None };
    assert!(matches!(world.load(later).await, Err(TierError::Primary("the primary is down"))));
    let since = Ask { least: 0, since: Some(Instant::now()) };
    assert_eq!(world.load(since).await.unwrap_err().kind(), "primary");
    tokio::time::advance(TierOptions::default().hard).await;
    assert_eq!(world.load(ANY).await.unwrap_err().kind(), "primary");
}

#[tokio::test(start_paused = true)]
async fn a_redis_that_is_down_or_hangs_costs_a_bounded_time_and_is_left_alone_for_a_while() {
    for (health, first) in [(Health::Down, Duration::ZERO), (Health::Hangs, Duration::from_millis(250))] {
        let world = World::new();
        world.master.is(health);
        for (took, commands) in [(first, 1), (Duration::ZERO, 1)] {
            let began = Instant::now();
            assert_eq!(world.load(ANY).await.unwrap(), read(1, AsOf::Load));
            assert_eq!((began.elapsed(), world.master.commands()), (took, commands), "{health:?}");
        }
        world.master.is(Health::Well);
        world.advance(0.25).await;
        world.load(ANY).await.unwrap();
        assert_eq!((world.tier.stats().down, world.tier.stats().fills), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_loads_pass_redis_by_and_the_rest_is_refused_in_time() {
    let world = World::with(TierOptions { bypass: 2, ..TierOptions::default() });
    world.watermarks.lost(0);
    world.primary.takes.store(1000, SeqCst);
    let began = Instant::now();
    let third = async {
        let refused = world.load(ANY).await.unwrap_err();
        (refused.kind(), began.elapsed())
    };
    let (one, two, third) = tokio::join!(world.load(ANY), world.load(ANY), third);
    assert_eq!((one.unwrap().version, two.unwrap().version, world.primary.reads()), (1, 1, 2));
    assert_eq!(third, ("overloaded", Duration::from_millis(100)));
}

#[tokio::test(start_paused = true)]
async fn a_raised_epoch_makes_entries_misses_and_what_is_loaded_at_once_is_not_filled_in() {
    let world = World::new();
    world.load(ANY).await.unwrap();
    world.epochs.raise("orders", 1);
    for fills in [1, 1] {
        assert_eq!(world.load(ANY).await.unwrap().as_of, AsOf::Load);
        assert_eq!(world.tier.stats().fills, fills);
    }
    world.advance(0.1).await;
    assert_eq!(world.load(ANY).await.unwrap().as_of, AsOf::Load);
    assert!(matches!(world.load(ANY).await.unwrap().as_of, AsOf::Since(_)));
    assert_eq!(world.tier.stats().fills, 2);
}

#[tokio::test(start_paused = true)]
async fn without_versions_a_change_ends_the_lease_and_nothing_is_ordered() {
    let world = World::with(TierOptions { mode: Mode::Bounded, ..TierOptions::default() });
    let bare = |version| Loaded { version: 0, ..read(version, AsOf::Load) };
    assert_eq!(world.load(ANY).await.unwrap(), bare(1));
    assert_eq!(world.load(ANY).await.unwrap().version, 0);
    assert_eq!(world.primary.reads(), 1);
    world.store.mark(&key()).await.unwrap();
    world.primary.takes.store(100, SeqCst);
    let (loaded, ()) = tokio::join!(world.load(ANY), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.primary.version.store(2, SeqCst);
        world.store.mark(&key()).await.unwrap();
    });
    // It is what the store held when it was read, but may be nobody else's answer.
    assert_eq!(loaded.unwrap(), bare(1));
    assert!(matches!(world.found().await, Found::Floor(_)));
    assert_eq!(world.load(ANY).await.unwrap(), bare(2));
    assert!(matches!(world.load(ANY).await.unwrap().as_of, AsOf::Since(_)));
}

#[tokio::test(start_paused = true)]
async fn of_many_rows_those_that_are_there_come_at_once_and_the_others_are_loaded() {
    let world = World::new();
    let rows: Vec<_> = (0..20).map(|pk| (pk.to_string(), 0, ANY)).collect();
    let load = async |rows: &[(String, usize, Ask)], version| {
        let all = world.tier.load_many(rows, |place, _| {
            world.primary.reads.fetch_add(1, SeqCst);
            async move {
                if place == 3 { Err("not this one") } else { Ok(read(version + place as u64, AsOf::Load)) }
            }
        });
        let all = all.await.into_iter();
        all.map(|loaded| loaded.map(|loaded| (loaded.version, loaded.as_of)).ok()).collect::<Vec<_>>()
    };
    let first = load(&rows[..10], 1).await;
    assert_eq!(
        first.iter().flatten().map(|(version, _)| *version).collect::<Vec<_>>(),
        [1, 2, 3, 5, 6, 7, 8, 9, 10]
    );
    assert_eq!((first[3], world.primary.reads()), (None, 10));
    let second = load(&rows, 100).await;
    assert_eq!(world.primary.reads(), 21);
    let since = AsOf::Since(world.watermarks.l2_at(0).unwrap());
    assert_eq!((second[2], second[3], second[10]), (Some((3, since)), None, Some((110, AsOf::Load))));
    // Without Redis each is read at the primary.
    world.master.is(Health::Down);
    assert_eq!(
        load(&rows, 200).await.into_iter().flatten().filter(|(version, _)| *version >= 200).count(),
        19
    );
}

struct Numbers;

impl Codec<Row> for Numbers {
    fn encode(&self, value: &Row) -> Vec<u8> {
        value.clone()
    }

    fn decode(&self, bytes: Vec<u8>) -> Option<Row> {
        bytes.iter().all(u8::is_ascii_digit).then_some(bytes)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_master_says_that_was_replaced_is_read_at_the_primary() {
    let world = World::new();
    world.load(ANY).await.unwrap();
    assert!(matches!(world.load(ANY).await.unwrap().as_of, AsOf::Since(_)));
    world.primary.version.store(2, SeqCst);
    // Its successor has the floor.
    world.watermarks.l2(0, Instant::now(), &[Stamp([1; 20])]);
    assert_eq!(world.load(ANY).await.unwrap(), read(2, AsOf::Load));
    let rows = [("7".to_owned(), 0, ANY)];
    let many = world.tier.load_many(&rows, |_, _| world.primary.read()).await;
    assert_eq!(many.into_iter().next().unwrap().unwrap(), read(2, AsOf::Load));
    assert_eq!(world.tier.stats().replaced, 2);
    world.watermarks.l2(0, Instant::now(), &[Stamp([1; 20]), Master::stamp()]);
    assert!(matches!(world.load(ANY).await.unwrap().as_of, AsOf::Since(_)), "of two sources one may know it");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_row_are_taken_out_and_their_version_stays_known() {
    let world = World::new();
    let Leased::Load { token, .. } = world.store.lease(&key()).await.unwrap() else { panic!("no lease") };
    let data = Some(b"not digits".to_vec());
    let entry = Entry { version: 3, data, fresh: TTL, age: Duration::ZERO, master: Stamp::default() };
    world.store.fill(&key(), &token, &entry, TTL).await.unwrap();
    let tier = Tier::new(world.store.clone(), "orders", Numbers, TierOptions::default()).unwrap();
    world.primary.version.store(4, SeqCst);
    world.primary.late.store(1, SeqCst);
    let loaded = tier.load("7", 0, ANY, |least| {
        assert_eq!(least, 3);
        world.primary.read()
    });
    assert_eq!(
        (loaded.await.unwrap().version, tier.stats().undecodable, world.store.stats().poisoned),
        (3, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_primary_key_that_redis_cannot_have_is_read_at_the_primary() {
    let world = World::new();
    let long = "x".repeat(513);
    let loaded = world.tier.load(&long, 0, ANY, |_| world.primary.read()).await;
    assert_eq!((loaded.unwrap().version, world.master.commands()), (1, 0));
    let refused = Tier::new(world.store.clone(), "a:b", Plain, TierOptions::default()).map(drop);
    assert_eq!(refused.unwrap_err().kind(), "key");
    let options = TierOptions { attempts: 0, ..TierOptions::default() };
    assert_eq!(Tier::new(world.store, "a", Plain, options).map(drop).unwrap_err().kind(), "options");
}
