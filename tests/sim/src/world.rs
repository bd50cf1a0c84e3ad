//! A run: one seed, one history.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aqueduct_cache::l2;
use tokio::task::{AbortHandle, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::bus::Bus;
use crate::cdc::Source;
use crate::checker::{Violation, check};
use crate::history::{Answer, Event, History, Key, Table, What};
use crate::instance::Instance;
use crate::mutation::Mutation;
use crate::plan::{Fault, Lost, Plan};
use crate::random::Random;
use crate::redis::Redis;
use crate::store::{Done, Store};
use crate::workload;

/// Long enough for everything to arrive that was late, leases and distributed transactions to end.
const SETTLE: Duration = Duration::from_secs(6);

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    /// From what.
    pub seed: u64,
    /// All that happened.
    pub history: Vec<Event>,
    /// What of it should not have.
    pub violations: Vec<Violation>,
}

/// Runs a seed, with a promise broken or none, and checks what happened.
///
/// # Panics
///
/// When the simulation itself is broken.
pub fn run(seed: u64, mutation: Option<Mutation>) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be built");
    let history = LocalSet::new().block_on(&runtime, simulate(seed, mutation));
    let violations = check(&history);
    Run { seed, history, violations }
}

/// Everything that outlives processes.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) plan: Plan,
    pub(crate) history: Arc<History>,
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) redis: Redis,
    pub(crate) level2: l2::Store<Redis>,
    pub(crate) busy: AtomicBool,
    /// What writers were told, for readers who show it.
    pub(crate) tokens: Mutex<Vec<(Key, u64, Done)>>,
    instances: Mutex<Vec<Arc<Instance>>>,
    followers: Mutex<Vec<AbortHandle>>,
    lagging: Vec<Mutex<Option<Instant>>>,
}

impl World {
    fn new(seed: u64, mutation: Option<Mutation>) -> Arc<Self> {
        let plan = Plan::new(seed);
        let history = Arc::new(History::new());
        history.note(format!("{plan:?}"));
        let redis = Redis::new(seed, plan.bounded, Arc::clone(&history));
        let options = l2::Options::default();
        let store = |redis: Redis| {
            let store = match mutation.and_then(Mutation::script) {
                Some(broken) => l2::Store::broken(redis, options.clone(), broken),
                None => l2::Store::over(redis, options.clone()),
            };
            store.expect("the options can hold together")
        };
        let (level2, capture) = (store(redis.loyal()), store(redis.clone()));
        let queue_group = mutation == Some(Mutation::QueueGroup);
        let sources = (0..plan.sources).map(|number| {
            let tables = tables_of(number, plan.sources);
            let store = Store::new((seed, number), &tables, &plan, Arc::clone(&history));
            let bus = Bus::new((seed, number), tables, queue_group, Arc::clone(&history));
            let parts = (store, bus);
            Arc::new(Source::new(
                number,
                parts,
                capture.clone(),
                Arc::clone(&history),
                (seed, &plan, mutation),
            ))
        });
        let sources: Vec<_> = sources.collect();
        let lagging = sources.iter().map(|_| Mutex::default()).collect();
        Arc::new(Self {
            seed,
            mutation,
            plan,
            history,
            sources,
            redis,
            level2,
            busy: AtomicBool::new(true),
            tokens: Mutex::default(),
            instances: Mutex::default(),
            followers: Mutex::default(),
            lagging,
        })
    }

    /// The tables, and whose they are.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (Table, usize)> {
        let all = [Table::Orders, Table::Items];
        all.into_iter().map(|table| (table, source_of(table, self.sources.len())))
    }

    pub(crate) fn store(&self, table: Table) -> &Store {
        &self.sources[source_of(table, self.sources.len())].store
    }

    pub(crate) fn instance(&self, number: usize) -> Arc<Instance> {
        Arc::clone(&self.instances()[number])
    }

    fn instances(&self) -> MutexGuard<'_, Vec<Arc<Instance>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, source: usize) -> AbortHandle {
        spawn(Arc::clone(&self.sources[source]).run())
    }

    fn replicate(self: &Arc<Self>, source: usize) {
        let world = Arc::clone(self);
        let random = Random::new(self.seed, &format!("replica {source}"));
        spawn(async move {
            let lag = || {
                let until = *world.lagging[source].lock().unwrap_or_else(PoisonError::into_inner);
                let behind =
                    until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
                behind + random.millis(0..30)
            };
            world.sources[source].store.replicate(lag).await;
        });
    }

    async fn fault(self: Arc<Self>, fault: Fault) {
        self.history.fault(format!("{fault:?}"));
        match fault {
            Fault::KillCdc { source, gone, lost } => self.kill_cdc(source, gone, lost).await,
            Fault::StopCdc { source, lasts } => {
                self.sources[source].paused.send_replace(Some(Instant::now() + lasts));
            }
            Fault::Failover { gone } => {
                self.redis.die();
                sleep(gone).await;
                self.redis.promote();
                self.redis.set_down(false);
            }
            Fault::Replaced { gone, later, lasts, instance } => {
                self.redis.die();
                sleep(gone).await;
                self.redis.promote();
                self.redis.set_down(false);
                self.restart(instance);
                sleep(later).await;
                self.redis.wake(true);
                sleep(lasts).await;
                self.redis.wake(false);
            }
            Fault::Handover => self.redis.promote(),
            Fault::RedisDown { lasts } => {
                self.redis.set_down(true);
                sleep(lasts).await;
                self.redis.set_down(false);
            }
            Fault::RedisSlow { lasts, millis } => {
                self.redis.set_slow(Some(millis));
                sleep(lasts).await;
                self.redis.set_slow(None);
            }
            Fault::BusDown { source, lasts } => {
                self.sources[source].bus.set_down(true);
                sleep(lasts).await;
                self.sources[source].bus.set_down(false);
            }
            Fault::BusReset { source } => self.sources[source].bus.reset(),
            Fault::Deaf { instance, source, lasts } => {
                self.sources[source].bus.pause(instance, Instant::now() + lasts);
            }
            Fault::KillInstance { instance } => self.restart(instance),
            Fault::StoreDown { source, lasts } => {
                self.sources[source].store.set_down(true);
                sleep(lasts).await;
                self.sources[source].store.set_down(false);
            }
            Fault::Lag { source, lasts } => {
                *self.lagging[source].lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Instant::now() + lasts);
            }
        }
    }

    fn restart(self: &Arc<Self>, instance: usize) {
        let new = Instance::start(self, instance);
        let old = std::mem::replace(&mut self.instances()[instance], new);
        drop(old);
    }

    async fn kill_cdc(&self, source: usize, gone: Duration, lost: Lost) {
        let followers = || self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers()[source].abort();
        self.sources[source].lose(lost);
        sleep(gone).await;
        // Another may have been started meanwhile.
        followers()[source].abort();
        let new = self.follow(source);
        followers()[source] = new;
    }

    /// When all is well again: what everybody sees, and what is stored.
    async fn look(&self) {
        let keys: Vec<Key> = self
            .tables()
            .flat_map(|(table, _)| (0..self.plan.keys).map(move |id| Key { table, id }))
            .collect();
        self.history.add(What::Quiet);
        for number in 0..self.plan.instances {
            let instance = self.instance(number);
            for key in &keys {
                // Past its soft deadline an entry is answered marked, once.
                if let Answer::Marked(..) = instance.read(*key, None).await {
                    sleep(REFRESHED).await;
                    instance.read(*key, None).await;
                }
            }
            let (l1, l2) = instance.current();
            self.history.add(What::Current(number, l1, l2));
        }
        for key in keys {
            let source = &self.sources[source_of(key.table, self.sources.len())];
            if let Some((kind, version)) = self.redis.held(key, source.bus.epoch_of(key.table)) {
                self.history.add(What::Held(key, kind, version));
            }
        }
    }
}

/// A task that lives until its end, or that of the run.
#[expect(clippy::disallowed_methods, reason = "the runtime is this run's own, and ends with it")]
pub(crate) fn spawn(task: impl Future<Output = ()> + 'static) -> AbortHandle {
    tokio::task::spawn_local(task).abort_handle()
}

/// Long enough for a refresh.
const REFRESHED: Duration = Duration::from_millis(400);

fn source_of(table: Table, sources: usize) -> usize {
    usize::from(table == Table::Items && sources == 2)
}

fn tables_of(source: usize, sources: usize) -> Vec<Table> {
    [Table::Orders, Table::Items].into_iter().filter(|table| source_of(*table, sources) == source).collect()
}

async fn simulate(seed: u64, mutation: Option<Mutation>) -> Vec<Event> {
    let world = World::new(seed, mutation);
    let start = Instant::now();
    for source in 0..world.sources.len() {
        world.replicate(source);
        let follower = world.follow(source);
        world.followers.lock().unwrap_or_else(PoisonError::into_inner).push(follower);
    }
    for number in 0..world.plan.instances {
        let instance = Instance::start(&world, number);
        world.instances().push(instance);
    }
    workload::start(&world);
    for (at, fault) in world.plan.faults.clone() {
        sleep_until(start + at).await;
        spawn(Arc::clone(&world).fault(fault));
    }
    sleep_until(start + world.plan.busy).await;
    world.busy.store(false, Relaxed);
    world.history.calm();
    sleep(SETTLE).await;
    world.look().await;
    world.history.take()
}
