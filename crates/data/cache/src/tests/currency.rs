//! Random histories in which changes are announced late, to the memory first and to a lower level later, some before they are
//! visible and some without a version: an unmarked answer is what was newest Δ ago or later, and a marked one what was newest within its age.

use super::{HARD, SOFT, settle, spawn};
use crate::{Answer, AsOf, Ask, Cache, Error, Loaded, Watermarks, mutation::Mutation};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// More than there are floors. The last has no versions.
const KEYS: usize = 4;
const UNVERSIONED: usize = KEYS - 1;
const DELTA: Duration = Duration::from_secs(1);
const LAG: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
enum Op {
    /// Commits the next version, which is visible so much later than it is announced.
    Commit(usize, Duration),
    /// Announces that everything may have changed.
    Bump,
    Beat,
    /// Memory takes in so many announcements.
    Announce(usize),
    /// The lower level takes in so many of those that memory has.
    Apply(usize),
    /// Memory loses what it has not taken in.
    Gap,
    Read(usize),
    Land(usize),
    Advance(Duration),
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS;
    prop_oneof![
        6 => (key(), 0..40_u64).prop_map(|(key, ms)| Op::Commit(key, Duration::from_millis(ms))),
        1 => Just(Op::Bump),
        4 => Just(Op::Beat),
        6 => (1..8_usize).prop_map(Op::Announce),
        2 => (1..8_usize).prop_map(Op::Apply),
        1 => Just(Op::Gap),
        10 => key().prop_map(Op::Read),
        8 => key().prop_map(Op::Land),
        3 => (1..60_u64).prop_map(|ms| Op::Advance(Duration::from_millis(ms))),
        1 => (1..3_000_u64).prop_map(|ms| Op::Advance(Duration::from_millis(ms))),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Change(usize, u64),
    Bump,
    Beat(Instant),
}

#[derive(Default)]
struct World {
    /// When each version became visible.
    visible: [Vec<Instant>; KEYS],
    events: Vec<Event>,
    announced: usize,
    applied: usize,
    /// What the lower level has: a version that may be answered, or the least that may be filled in.
    lower: HashMap<usize, Result<u64, u64>>,
    /// When the lower level was last told of a change without a version.
    blind: Option<Instant>,
    running: HashMap<usize, oneshot::Sender<()>>,
    violations: Vec<String>,
}

impl World {
    /// The version that was newest at an instant.
    fn newest(&self, key: usize, at: Instant) -> u64 {
        self.visible[key].iter().filter(|visible| **visible <= at).count() as u64
    }

    fn apply(&mut self, event: Event) -> Option<Instant> {
        match event {
            Event::Change(key, version) => {
                let version = if key == UNVERSIONED { 0 } else { version };
                let known = self.lower.get(&key).map_or(0, |entry| entry.unwrap_or_else(|floor| floor));
                if version == 0 || known < version {
                    self.lower.insert(key, Err(version));
                }
                if version == 0 {
                    self.blind = Some(Instant::now());
                }
            }
            Event::Bump => {
                self.lower.clear();
                self.blind = Some(Instant::now());
            }
            Event::Beat(at) => return Some(at),
        }
        None
    }
}

type Row = u64;

#[derive(Clone)]
struct Sim {
    cache: Cache<usize, Row, &'static str>,
    watermarks: Watermarks,
    world: Arc<Mutex<World>>,
}

impl Sim {
    fn new(broken: Option<Mutation>) -> Self {
        let watermarks = Watermarks::new(1, DELTA);
        let mut builder = Cache::builder().jitter(0.0).soft(SOFT).hard(HARD).visible_lag(LAG);
        builder = builder.watermarks(watermarks.clone(), |_| 0);
        builder.broken = broken;
        let cache = builder.build(Arc::new(spawn)).expect("valid");
        // A follower flushes when its subscription stands.
        cache.flush();
        Self { cache, watermarks, world: Arc::default() }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("not poisoned")
    }

    async fn load(self, key: usize, ask: Ask) -> Result<Loaded<Row>, &'static str> {
        let (end, ended) = oneshot::channel();
        let (row, version, as_of) = {
            let mut world = self.world();
            world.running.insert(key, end);
            let current = self.watermarks.l2_at(0).filter(|at| at.elapsed() < DELTA);
            let current = current.filter(|at| ask.since.is_none_or(|since| since <= *at));
            let lower = world.lower.get(&key).copied();
            if let (Some(at), Some(Ok(version))) = (current, lower)
                && (version >= ask.least || key == UNVERSIONED)
            {
                (version, version, AsOf::Since(at))
            } else {
                let version = world.newest(key, Instant::now());
                let floor = lower.map_or(0, |entry| entry.unwrap_or_else(|floor| floor));
                let sighted = world.blind.is_none_or(|blind| blind.elapsed() > LAG);
                if version >= floor && sighted {
                    world.lower.insert(key, Ok(version));
                }
                (version, version, AsOf::Load)
            }
        };
        if ended.await.is_err() {
            return Err("replaced");
        }
        let version = if key == UNVERSIONED { 0 } else { version };
        Ok(Loaded { version, value: Some(row), as_of })
    }

    fn read(&self, key: usize) {
        let sim = self.clone();
        spawn(async move {
            let start = Instant::now();
            let answer = sim.cache.get_with(&key, |ask| sim.clone().load(key, ask)).await;
            let mut world = sim.world();
            if let Some(violation) = violation(&world, key, start, &answer) {
                world.violations.push(violation);
            }
        });
    }

    fn announce(&self, count: usize) {
        for _ in 0..count {
            let event = {
                let mut world = self.world();
                let Some(event) = world.events.get(world.announced).copied() else { return };
                world.announced += 1;
                event
            };
            match event {
                Event::Change(UNVERSIONED, _) => self.cache.fence(&UNVERSIONED, 0),
                Event::Change(key, version) => self.cache.fence(&key, version),
                Event::Bump => self.cache.flush(),
                Event::Beat(at) => self.watermarks.l1(0, at),
            }
        }
    }

    async fn apply(&self, op: Op) {
        match op {
            Op::Commit(key, later) => {
                let mut world = self.world();
                let last = world.visible[key].last().copied();
                let at = Instant::now() + later;
                world.visible[key].push(last.map_or(at, |last| last.max(at)));
                let version = world.visible[key].len() as u64;
                world.events.push(Event::Change(key, version));
            }
            Op::Bump => self.world().events.push(Event::Bump),
            Op::Beat => self.world().events.push(Event::Beat(Instant::now())),
            Op::Announce(count) => self.announce(count),
            Op::Apply(count) => {
                for _ in 0..count {
                    let mut world = self.world();
                    if world.applied < world.announced {
                        let event = world.events[world.applied];
                        world.applied += 1;
                        if let Some(at) = world.apply(event) {
                            self.watermarks.l2(0, at, &[]);
                        }
                    }
                }
            }
            Op::Gap => {
                let mut world = self.world();
                world.announced = world.events.len();
                drop(world);
                self.cache.flush();
                self.watermarks.lost(0);
            }
            Op::Read(key) => self.read(key),
            Op::Land(key) => {
                if let Some(end) = self.world().running.remove(&key) {
                    // Nobody listens: the load has timed out.
                    end.send(()).ok();
                }
            }
            Op::Advance(by) => tokio::time::advance(by).await,
        }
        settle().await;
    }
}

/// What is wrong with an answer given now, if anything.
fn violation(
    world: &World,
    key: usize,
    start: Instant,
    answer: &Result<Answer<Row>, Error<&'static str>>,
) -> Option<String> {
    let Ok(Answer { value: Some(row), age, .. }) = answer else { return None };
    let back = age.unwrap_or(DELTA);
    let from = if age.is_some() { Instant::now() } else { start };
    let least = from.checked_sub(back).map_or(0, |at| world.newest(key, at));
    (*row < least)
        .then(|| format!("key {key}: version {row}, age {age:?}, but {least} was newest {back:?} ago"))
}

fn check(broken: Option<Mutation>, cases: u32) -> Result<(), TestError<Vec<Op>>> {
    let max_shrink_iters = if broken.is_some() { 0 } else { 2000 };
    let config = Config { cases, max_shrink_iters, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&prop::collection::vec(op(), 1..150), |ops| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let violations = runtime.expect("a runtime").block_on(async {
            let sim = Sim::new(broken);
            for op in ops {
                sim.apply(op).await;
            }
            std::mem::take(&mut sim.world().violations)
        });
        prop_assert!(violations.is_empty(), "{violations:#?}");
        Ok(())
    })
}

#[test]
fn an_unmarked_answer_was_the_newest_delta_ago_or_later() {
    if let Err(error) = check(None, 1000) {
        panic!("{error}");
    }
}

#[test]
fn the_model_notices_every_way_to_forget_a_late_announcement() {
    use Mutation::{JoinOutdated, KeepDespiteForgotten, KeepUnsighted, NoWatermark};
    for mutation in [NoWatermark, KeepDespiteForgotten, KeepUnsighted, JoinOutdated] {
        assert!(check(Some(mutation), 6000).is_err(), "{mutation:?} went unnoticed");
    }
}
