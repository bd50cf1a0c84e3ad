//! Random histories of writes, fences, reads, landings and flushes against a model of what a reader may see, and the
//! proof that the model notices each promise broken on purpose.

mod currency;

use crate::{Answer, Cache, Error, Loaded, mutation::Mutation};
use proptest::{
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

const KEYS: usize = 2;
const SOFT: Duration = Duration::from_secs(10);
const HARD: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
enum Op {
    /// Commits the next version and fences it.
    Write(usize),
    /// Commits the next version; its fence is lost. Only a flush makes up for it.
    WriteInSilence(usize),
    /// Fences the next version, whose row is not visible yet.
    Announce(usize),
    /// Fences without a version.
    FenceUnknown(usize),
    Flush,
    Read(usize),
    /// Lets the load of the key end.
    Land {
        key: usize,
        ok: bool,
    },
    Advance(Duration),
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS;
    prop_oneof![
        3 => key().prop_map(Op::Write),
        1 => key().prop_map(Op::WriteInSilence),
        1 => key().prop_map(Op::Announce),
        1 => key().prop_map(Op::FenceUnknown),
        1 => Just(Op::Flush),
        8 => key().prop_map(Op::Read),
        6 => (key(), prop::bool::weighted(0.7)).prop_map(|(key, ok)| Op::Land { key, ok }),
        3 => (1..25_000_u64).prop_map(|ms| Op::Advance(Duration::from_millis(ms))),
    ]
}

/// What a loader saw. Every fourth version is a deletion.
#[derive(Debug, Clone, Copy)]
struct Row {
    version: u64,
    seen: Instant,
}

type Outcome = Result<Answer<Row>, Error<&'static str>>;

struct Reader {
    key: usize,
    /// The version the reader must at least see: the latest fenced when it began.
    needed: u64,
    outcome: Option<Outcome>,
}

#[derive(Default)]
struct World {
    visible: [u64; KEYS],
    needed: [u64; KEYS],
    running: [Option<oneshot::Sender<bool>>; KEYS],
    readers: Vec<Reader>,
    violations: Vec<String>,
}

#[derive(Clone)]
struct Sim {
    cache: Cache<usize, Row, &'static str>,
    world: Arc<Mutex<World>>,
}

#[expect(clippy::disallowed_methods, reason = "the test owns its runtime")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}

impl Sim {
    fn new(broken: Option<Mutation>) -> Self {
        let mut builder = Cache::builder().jitter(0.0).soft(SOFT).hard(HARD);
        builder.broken = broken;
        let cache = builder.build(Arc::new(spawn)).expect("valid");
        Self { cache, world: Arc::default() }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("not poisoned")
    }

    async fn load(self, key: usize) -> Result<Loaded<Row>, &'static str> {
        let (version, seen, ended) = {
            let mut world = self.world();
            let (end, ended) = oneshot::channel();
            if world.running[key].replace(end).is_some_and(|other| !other.is_closed()) {
                world.violations.push(format!("two loads of key {key} at once"));
            }
            (world.visible[key], Instant::now(), ended)
        };
        let value = (version % 4 != 3).then_some(Row { version, seen });
        if ended.await == Ok(true) { Ok(Loaded::new(version, value)) } else { Err("the store is down") }
    }

    fn read(&self, key: usize) {
        let reader = {
            let mut world = self.world();
            let needed = world.needed[key];
            world.readers.push(Reader { key, needed, outcome: None });
            world.readers.len() - 1
        };
        let sim = self.clone();
        spawn(async move {
            let outcome = sim.cache.get(&key, || sim.clone().load(key)).await;
            let mut world = sim.world();
            let needed = world.readers[reader].needed;
            if let Some(violation) = violation(&outcome, needed) {
                world.violations.push(format!("key {key}, version {needed} needed: {violation}"));
            }
            world.readers[reader].outcome = Some(outcome);
        });
    }

    /// What was known of the key is void: readers under way may see what is visible now.
    fn forget(&self, key: usize) {
        let mut world = self.world();
        let visible = world.visible[key];
        world.needed[key] = visible;
        for reader in world.readers.iter_mut().filter(|r| r.key == key && r.outcome.is_none()) {
            reader.needed = reader.needed.min(visible);
        }
    }

    fn commit(&self, key: usize) -> u64 {
        let mut world = self.world();
        world.visible[key] += 1;
        world.visible[key]
    }

    fn fence(&self, key: usize, version: u64) {
        self.cache.fence(&key, version);
        let mut world = self.world();
        world.needed[key] = world.needed[key].max(version);
    }

    fn land(&self, key: usize, ok: bool) {
        if let Some(end) = self.world().running[key].take() {
            // Nobody listens: the load has timed out.
            end.send(ok).ok();
        }
    }

    async fn apply(&self, op: Op) {
        match op {
            Op::Write(key) => self.fence(key, self.commit(key)),
            Op::WriteInSilence(key) => drop(self.commit(key)),
            Op::Announce(key) => self.fence(key, self.world.lock().map_or(0, |w| w.visible[key]) + 1),
            Op::FenceUnknown(key) => {
                self.cache.fence(&key, 0);
                self.forget(key);
            }
            Op::Flush => {
                self.cache.flush();
                (0..KEYS).for_each(|key| self.forget(key));
            }
            Op::Read(key) => self.read(key),
            Op::Land { key, ok } => self.land(key, ok),
            Op::Advance(by) => tokio::time::advance(by).await,
        }
        settle().await;
    }

    /// Nobody hangs: when all loads end, all readers do.
    async fn finish(&self) {
        for _ in 0..4 {
            (0..KEYS).for_each(|key| self.land(key, true));
            settle().await;
        }
        let mut world = self.world();
        if world.readers.iter().any(|reader| reader.outcome.is_none()) {
            world.violations.push("a reader hangs".into());
        }
    }
}

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..24 {
        tokio::task::yield_now().await;
    }
}

/// What is wrong with an answer given now, if anything.
fn violation(outcome: &Outcome, needed: u64) -> Option<String> {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(Error::Load(_) | Error::TimedOut(_) | Error::Behind { .. }) => return None,
        Err(error) => return Some(format!("an impossible error: {error}")),
    };
    if answer.version < needed {
        return Some(format!("answered version {}, age {:?}", answer.version, answer.age));
    }
    let Some(row) = answer.value else {
        return answer.age.map(|age| format!("an absent row was answered stale, {age:?} old"));
    };
    let age = row.seen.elapsed();
    let lawful = match answer.age {
        None => age < SOFT,
        Some(told) => told == age && (SOFT..HARD).contains(&age),
    };
    (row.version != answer.version || !lawful).then(|| format!("{age:?} old, but answered {answer:?}"))
}

fn check(broken: Option<Mutation>, cases: u32) -> Result<(), TestError<Vec<Op>>> {
    // A mutation only has to be found, not to be explained.
    let max_shrink_iters = if broken.is_some() { 0 } else { 2000 };
    let config = Config { cases, max_shrink_iters, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    runner.run(&prop::collection::vec(op(), 1..60), |ops| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let violations = runtime.expect("a runtime").block_on(async {
            let sim = Sim::new(broken);
            for op in ops {
                sim.apply(op).await;
            }
            sim.finish().await;
            std::mem::take(&mut sim.world().violations)
        });
        prop_assert!(violations.is_empty(), "{violations:#?}");
        Ok(())
    })
}

#[test]
fn no_history_shows_a_reader_what_it_may_not_see() {
    if let Err(error) = check(None, 600) {
        panic!("{error}");
    }
}

#[test]
fn the_model_notices_every_broken_promise() {
    use Mutation::{
        FenceKeepsEntry, FillBelowFloor, FillDespiteFence, FlushForgetsLoads, JoinDespiteFence,
        RefreshRenewsOldValue,
    };
    for mutation in [
        FillDespiteFence,
        JoinDespiteFence,
        FenceKeepsEntry,
        FillBelowFloor,
        RefreshRenewsOldValue,
        FlushForgetsLoads,
    ] {
        assert!(check(Some(mutation), 600).is_err(), "{mutation:?} went unnoticed");
    }
}
