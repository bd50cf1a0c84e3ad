//! A process with a first level: the real cache over the real tier, a follower of the real bus, and its heartbeat in the primary.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_bus::jetstream::Bus;
use aqueduct_cache::l2::{self, Cluster, Codec, Epochs, Mode, Store, Tier, TierError, TierOptions};
use aqueduct_cache::{Ask, Cache, Loaded, Mutation, Stamp, Watermarks};
use aqueduct_cdc::follow::{Apply, Beats, Follower};
use aqueduct_cdc::heartbeat::{Heart, HeartOptions};
use aqueduct_cdc::{Change, EpochBump, Scope, feed};
use aqueduct_runtime::task::{self, Owned};
use aqueduct_sim::checker::DELTA;
use aqueduct_sim::history::{Answer, History, Key, Table, What};
use aqueduct_sim::random::Random;
use tokio::time::{Instant, sleep};

use super::ears;
use super::observed::{Observed, Watch};
use super::rows::{self, Rows, TABLES};
use super::site::Site;

/// Rows by key; of an order its version, of an item what stands in for one.
type Cached = Cache<Key, u64, TierError<String>>;

/// How a row is written in the second level.
pub(crate) struct Text;

impl Codec<u64> for Text {
    fn encode(&self, version: &u64) -> Vec<u8> {
        version.to_string().into_bytes()
    }

    fn decode(&self, bytes: Vec<u8>) -> Option<u64> {
        String::from_utf8(bytes).ok()?.parse().ok()
    }
}

/// What all instances of a run share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) history: Arc<History>,
    pub(crate) rows: Arc<Rows>,
    pub(crate) watch: Arc<Watch>,
    /// A promise of the first level that is broken on purpose.
    pub(crate) broken: Option<Mutation>,
}

pub(crate) struct Instance {
    pub(crate) number: usize,
    shared: Shared,
    cached: Cached,
    tiers: BTreeMap<Table, Tier<u64, Observed>>,
    pub(crate) watermarks: Watermarks,
    pub(crate) epochs: Epochs,
    random: Random,
    _tasks: [Owned; 2],
}

impl Instance {
    pub(crate) async fn start(site: &Site, bus: &Bus, number: usize, shared: &Shared) -> Arc<Self> {
        let options = l2::Options::default();
        let cluster = Cluster::connect(&site.nodes(), &options).await.unwrap();
        let store = Store::over(Observed::new(cluster, Arc::clone(&shared.watch)), options).unwrap();
        let (watermarks, epochs) = (Watermarks::new(1, DELTA), Epochs::new());
        let tier = |table: Table| {
            let mode = if table == Table::Items { Mode::Bounded } else { Mode::Exact };
            let options = TierOptions { mode, negative: Duration::from_secs(2), ..TierOptions::default() };
            let table = (&*rows::name(table).to_string(), Text, options);
            Tier::following(store.clone(), table, watermarks.clone(), epochs.clone()).unwrap()
        };
        let tiers = TABLES.map(|table| (table, tier(table))).into();
        let mut cached = Cached::builder().soft(Duration::from_secs(4)).negative(Duration::from_secs(2));
        cached = cached.watermarks(watermarks.clone(), |_| 0);
        if let Some(broken) = shared.broken {
            cached = cached.broken(broken);
        }
        let cached = cached.build(Arc::new(|load| drop(task::spawn("load", load)))).unwrap();

        let (id, beats) = (number as u64 + 1, Beats::default());
        let applied = Applied {
            history: Arc::clone(&shared.history),
            number,
            cached: cached.clone(),
            watermarks: watermarks.clone(),
            epochs: epochs.clone(),
        };
        let follower = Follower::new(bus.subscribe().await.unwrap(), applied, id, beats.clone());
        let heart = HeartOptions {
            host: "127.0.0.1".to_owned(),
            port: site.mariadb.port(),
            user: "root".to_owned(),
            password: String::new(),
            tls: None,
            database: "shop".to_owned(),
            instance: id,
            every: DELTA / 4,
        };
        let heart = Heart::new(heart, beats);
        let tasks = [
            task::spawn("follow", async move { drop(follower.run().await) }).into(),
            task::spawn("heart", async move { match heart.run().await {} }).into(),
        ];
        let random = Random::new(number as u64, "loads");
        let shared = shared.clone();
        Arc::new(Self { number, shared, cached, tiers, watermarks, epochs, random, _tasks: tasks })
    }

    /// Reads a row, and notes what came.
    pub(crate) async fn read(&self, key: Key, token: Option<Duration>) -> Answer {
        let history = &self.shared.history;
        let began = history.now();
        let load = |ask: Ask| {
            let (shared, tier, instance) = (self.shared.clone(), self.tiers[&key.table].clone(), self.number);
            // Some loads are slow, so that changes overtake them.
            let late = if self.random.percent(30) { self.random.millis(1..150) } else { Duration::ZERO };
            async move {
                let primary = |_least| {
                    let shared = shared.clone();
                    async move {
                        shared.history.add(What::Loading { instance, key });
                        let row = shared.rows.load(key, key.table == Table::Items).await?;
                        sleep(late).await;
                        Ok(Loaded::new(row.unwrap_or(0), row))
                    }
                };
                tier.load(&key.id.to_string(), 0, ask, primary).await
            }
        };
        let answer = match self.cached.get_with(&key, load).await {
            Ok(answer) => {
                let mixed = answer.version != 0 && answer.value.is_some_and(|value| value != answer.version);
                assert!(!mixed, "a row of another version: {answer:?}");
                match answer.age {
                    None => Answer::Unmarked(answer.value),
                    Some(age) => Answer::Marked(answer.value, age + history.now().saturating_sub(began)),
                }
            }
            Err(error) => Answer::Refused(error.to_string()),
        };
        history.add(What::Read { instance: self.number, key, began, token, answer: answer.clone() });
        answer
    }

    /// What a writer does before it acknowledges, and a reader with a token before it reads.
    pub(crate) fn fence(&self, key: Key, floor: u64) {
        self.cached.fence(&key, if key.table == Table::Items { 0 } else { floor });
    }

    /// Whether both levels are known to have all that was committed before `then` ago.
    pub(crate) fn has_all_since(&self, then: Duration) -> bool {
        let (l1, l2) = (self.watermarks.lag(0), self.watermarks.l2_lag(0));
        l1.is_some_and(|lag| lag < then) && l2.is_some_and(|lag| lag < then)
    }

    /// Whether each level is current.
    pub(crate) fn current(&self) -> (bool, bool) {
        (self.watermarks.is_current(0), self.watermarks.l2_is_current(0))
    }
}

/// Tells the stream of changes to the cache.
struct Applied {
    history: Arc<History>,
    number: usize,
    cached: Cached,
    watermarks: Watermarks,
    epochs: Epochs,
}

impl Apply for Applied {
    fn fence(&mut self, change: &Change, floor: u64) {
        if let Some(key) = ears::row(change) {
            self.cached.fence(&key, floor);
        }
    }

    fn bump(&mut self, bump: &EpochBump, epoch: u64) {
        for name in TABLES.map(rows::name) {
            let covered = match &bump.scope {
                Scope::All => true,
                Scope::Table(table) => **table == name,
            };
            if covered {
                self.epochs.raise(&name.to_string(), epoch);
            }
        }
        self.cached.flush();
    }

    fn raise(&mut self, epochs: &feed::Epochs) {
        for name in TABLES.map(rows::name) {
            self.epochs.raise(&name.to_string(), epochs.of(&name));
        }
    }

    fn flush(&mut self) {
        self.cached.flush();
    }

    fn l1(&mut self, at: Instant) {
        self.watermarks.l1(0, at);
    }

    fn l2(&mut self, at: Instant, masters: &[feed::Master]) {
        let masters: Vec<_> = masters.iter().copied().map(Stamp).collect();
        self.watermarks.l2(0, at, &masters);
    }

    fn lost(&mut self) {
        self.history.note(format!("instance {} missed something", self.number));
        self.watermarks.lost(0);
    }
}
