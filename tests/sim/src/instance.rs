//! A process with a first level: the real cache over the real tier, a follower for each source, and its heartbeat.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_cache::l2::{Codec, Epochs, Mode, Tier, TierError, TierOptions};
use aqueduct_cache::{Ask, Cache, Loaded, Stamp, Watermarks};
use aqueduct_cdc::feed;
use aqueduct_cdc::follow::{Apply, Beats, Follower};
use aqueduct_cdc::{Change, EpochBump, Scope};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::bus::{self, Subscription};
use crate::cdc::Source;
use crate::checker::DELTA;
use crate::history::{Answer, History, Key, Table, What};
use crate::mutation::Mutation;
use crate::redis::{self, Redis};
use crate::store::{Down, Wish};
use crate::world::{World, spawn};

type Rows = Cache<Key, u64, TierError<Down>>;

struct Version;

impl Codec<u64> for Version {
    fn encode(&self, version: &u64) -> Vec<u8> {
        format!("row of version {version}").into_bytes()
    }

    fn decode(&self, bytes: Vec<u8>) -> Option<u64> {
        redis::row(&bytes)
    }
}

/// One table's levels.
#[derive(Clone)]
struct Levels {
    source: usize,
    rows: Rows,
    tier: Tier<u64, Redis>,
}

/// A running process. Dropped, it is as if it had been killed.
pub(crate) struct Instance {
    world: Arc<World>,
    number: usize,
    tables: BTreeMap<Table, Levels>,
    watermarks: Watermarks,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Instance {
    pub(crate) fn start(world: &Arc<World>, number: usize) -> Arc<Self> {
        let watermarks = Watermarks::new(world.sources.len(), DELTA);
        let epochs = Epochs::new();
        let tables = world.tables().map(|(table, source)| {
            (table, levels(world, (table, source), watermarks.clone(), epochs.clone()))
        });
        let tables = tables.collect();
        let instance =
            Arc::new(Self { world: Arc::clone(world), number, tables, watermarks, tasks: Mutex::default() });
        for source in &world.sources {
            instance.follow(source, &epochs);
        }
        instance
    }

    fn follow(&self, source: &Arc<Source>, epochs: &Epochs) {
        let of_source = |levels: &&Levels| levels.source == source.number;
        let caches = self.tables.iter().filter(|(_, levels)| of_source(levels));
        let apply = Applied {
            history: Arc::clone(&self.world.history),
            instance: self.number,
            source: source.number,
            caches: caches.map(|(table, levels)| (*table, levels.rows.clone())).collect(),
            watermarks: self.watermarks.clone(),
            epochs: epochs.clone(),
        };
        let beats = Beats::default();
        let id = self.number as u64;
        let subscription: Subscription = source.bus.subscribe(self.number);
        let follower = Follower::new(subscription, apply, id, beats.clone());
        let (source, history) = (Arc::clone(source), Arc::clone(&self.world.history));
        let start = self.world.history.now();
        let tasks = [
            spawn(async move { drop(follower.run().await) }),
            spawn(async move { beat((&source, &history), id, start, &beats).await }),
        ];
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend(tasks);
    }

    /// Reads a row, and notes what came.
    pub(crate) async fn read(&self, key: Key, token: Option<Duration>) -> Answer {
        let world = &self.world;
        let began = world.history.now();
        let Levels { source, rows, tier } = &self.tables[&key.table];
        let load = |ask: Ask| {
            let (world, tier, source, instance) = (Arc::clone(world), tier.clone(), *source, self.number);
            async move {
                let primary = |_least| {
                    let world = Arc::clone(&world);
                    async move {
                        world.history.add(What::Loading { instance, key });
                        let store = &world.sources[source].store;
                        let row = match world.plan.bounded {
                            Some(table) if table == key.table => store.read_locked(key).await?,
                            _ => store.read(key).await?,
                        };
                        Ok(Loaded::new(row.unwrap_or(0), row))
                    }
                };
                tier.load(&key.id.to_string(), source, ask, primary).await
            }
        };
        let answer = match rows.get_with(&key, load).await {
            Ok(answer)
                if answer.version != 0 && answer.value.is_some_and(|value| value != answer.version) =>
            {
                unreachable!("a row of another version: {answer:?}")
            }
            Ok(answer) => match answer.age {
                None => Answer::Unmarked(answer.value),
                Some(age) => Answer::Marked(answer.value, age),
            },
            Err(error) => Answer::Refused(error.to_string()),
        };
        let read = What::Read { instance: self.number, key, began, token, answer: answer.clone() };
        world.history.add(read);
        answer
    }

    /// What a writer does before it acknowledges, and a reader with a token before it reads.
    pub(crate) fn fence(&self, key: Key, floor: u64) {
        let floor = if self.world.plan.bounded == Some(key.table) { 0 } else { floor };
        self.tables[&key.table].rows.fence(&key, floor);
    }

    /// Whether both levels of all sources are current.
    pub(crate) fn current(&self) -> (bool, bool) {
        let sources = 0..self.watermarks.sources();
        let l1 = sources.clone().all(|source| self.watermarks.is_current(source));
        (l1, sources.into_iter().all(|source| self.watermarks.l2_is_current(source)))
    }
}

fn levels(
    world: &Arc<World>,
    (table, source): (Table, usize),
    watermarks: Watermarks,
    epochs: Epochs,
) -> Levels {
    let mode = if world.plan.bounded == Some(table) { Mode::Bounded } else { Mode::Exact };
    let options = TierOptions {
        mode,
        fresh: world.plan.fresh,
        hard: Duration::from_mins(1),
        negative: world.plan.negative,
        ..TierOptions::default()
    };
    let store = world.level2.clone();
    let tier = (redis::table_of(table), Version, options);
    let tier =
        Tier::following(store, tier, watermarks.clone(), epochs).expect("the options can hold together");
    let mut rows = Rows::builder().soft(world.plan.soft).negative(world.plan.negative).seed(world.seed);
    rows = rows.watermarks(watermarks, move |_| source);
    if let Some(Mutation::Level1(broken)) = world.mutation {
        rows = rows.broken(broken);
    }
    let rows = rows.build(Arc::new(|task| drop(spawn(task)))).expect("valid options");
    Levels { source, rows, tier }
}

/// As `cdc::heartbeat::Heart` does it, which would speak to a real server.
async fn beat(
    (source, history): (&Arc<Source>, &Arc<History>),
    instance: u64,
    start: Duration,
    beats: &Beats,
) {
    let every = DELTA / 4;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Above those of the process before.
    let mut beat = u64::try_from(start.as_millis()).unwrap_or(0) * 1000;
    loop {
        ticks.tick().await;
        beat += 1;
        beats.sent(beat, Instant::now());
        let (source, history) = (Arc::clone(source), Arc::clone(history));
        // Once it is with the server it is committed, whatever becomes of who sent it.
        spawn(async move {
            if !matches!(source.store.commit(&Wish::Beat(instance, beat), false).await, Ok(Some(_))) {
                history.note(format!("beat {beat} of instance {instance} was not written"));
            }
        });
    }
}

/// Tells one source's stream to the caches.
struct Applied {
    history: Arc<History>,
    instance: usize,
    source: usize,
    caches: BTreeMap<Table, Rows>,
    watermarks: Watermarks,
    epochs: Epochs,
}

impl Apply for Applied {
    fn fence(&mut self, change: &Change, floor: u64) {
        if let Some(key) = bus::row(&change.table, &change.key)
            && let Some(rows) = self.caches.get(&key.table)
        {
            rows.fence(&key, floor);
        }
    }

    fn bump(&mut self, bump: &EpochBump, epoch: u64) {
        for (table, rows) in &self.caches {
            let covered = match &bump.scope {
                Scope::All => true,
                Scope::Table(name) => bus::table(name) == Some(*table),
            };
            if covered {
                self.epochs.raise(redis::table_of(*table), epoch);
                rows.flush();
            }
        }
    }

    fn raise(&mut self, epochs: &feed::Epochs) {
        for table in self.caches.keys() {
            self.epochs.raise(redis::table_of(*table), epochs.of(&bus::table_name(*table)));
        }
    }

    fn flush(&mut self) {
        self.caches.values().for_each(Rows::flush);
    }

    fn l1(&mut self, at: Instant) {
        self.watermarks.l1(self.source, at);
    }

    fn l2(&mut self, at: Instant, masters: &[feed::Master]) {
        let masters: Vec<_> = masters.iter().copied().map(Stamp).collect();
        self.watermarks.l2(self.source, at, &masters);
    }

    fn lost(&mut self) {
        self.history.note(format!("instance {} missed something", self.instance));
        self.watermarks.lost(self.source);
    }
}
