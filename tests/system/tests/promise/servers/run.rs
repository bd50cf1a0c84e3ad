//! One run: servers, instances, a workload with a fault in its middle, and the check of all that happened.
//!
//! ```ignore
//! let mut run = Run::start("promise-name").await;
//! for _ in 0..faults() {
//!     run.work().await;                   // everybody reads and writes, for a while
//!     run.blocking(|site| site.nats.kill9().unwrap());
//!     run.work().await;                   // and goes on to
//!     let seen = run.check().await;       // rests until all has arrived, and checks
//! }
//! run.end().await;
//! ```

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_bus::jetstream::{self, Bus};
use aqueduct_cache::Mutation;
use aqueduct_cache::l2::{self, Codec as _, Found, Store};
use aqueduct_kit::process::within;
use aqueduct_runtime::task::{self, Owned};
use aqueduct_sim::checker::{Rule, Violation, check};
use aqueduct_sim::history::{Answer, Event, History, Key, Kind, Table, What};
use aqueduct_sim::random::Random;
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use super::ears::{Ears, Heard};
use super::instance::{Instance, Shared, Text};
use super::observed::Watch;
use super::rows::{self, Rows};
use super::site::Site;
use super::workload::{AWHILE, Workload};

const INSTANCES: usize = 3;

pub(crate) struct Run {
    pub(crate) site: Site,
    pub(crate) shared: Shared,
    pub(crate) instances: Vec<Arc<Instance>>,
    pub(crate) heard: watch::Receiver<Heard>,
    workload: Option<Workload>,
    /// Of the second level, unobserved.
    level2: Store,
    /// Of the masters when the round began.
    stamps: Vec<String>,
    round: u64,
    bus: Bus,
    /// Instances so far.
    begun: usize,
    _ears: Owned,
}

/// What came in a round: a run in which nothing happens proves nothing.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) unmarked: usize,
    pub(crate) marked: usize,
    pub(crate) refused: usize,
    pub(crate) tokens: usize,
    pub(crate) served: usize,
    pub(crate) fills: usize,
    pub(crate) changes: usize,
    pub(crate) missed: usize,
    pub(crate) violations: Vec<Violation>,
}

impl Run {
    pub(crate) async fn start(name: &str) -> Self {
        Self::broken(name, None).await
    }

    /// With a promise that the instances break on purpose.
    pub(crate) async fn broken(name: &str, broken: Option<Mutation>) -> Self {
        let site = block_in_place(|| Site::start(name));
        let history = Arc::new(History::new());
        let rows = Rows::new(Arc::clone(&history), site.mariadb.port());
        let watch = Watch::new(Arc::clone(&history));
        let shared = Shared { history: Arc::clone(&history), rows, watch, broken };
        let url = format!("nats://{}", site.nats.address());
        let bus = Bus::connect(jetstream::Options::new(&url, "primary-0")).await.unwrap();
        let (ears, heard) = Ears::new(Arc::clone(&shared.watch), history, bus.subscribe().await.unwrap());
        let ears = task::spawn("ears", ears.run()).into();
        let mut instances = Vec::new();
        for number in 0..INSTANCES {
            instances.push(Instance::start(&site, &bus, number, &shared).await);
        }
        let level2 = Store::connect(&site.nodes(), l2::Options::default()).await.unwrap();
        let mut run = Self {
            stamps: Vec::new(),
            round: 0,
            bus,
            begun: INSTANCES,
            workload: None,
            _ears: ears,
            site,
            shared,
            instances,
            heard,
            level2,
        };
        run.arrive().await;
        run.begin().await;
        run
    }

    /// A new history, which knows the rows.
    async fn begin(&mut self) {
        self.shared.history.take();
        self.shared.rows.tell().await;
        self.stamps = block_in_place(|| self.site.stamps());
        self.round += 1;
    }

    /// Everybody is at work, from now on and for a while.
    pub(crate) async fn work(&mut self) {
        self.work_for(AWHILE).await;
    }

    pub(crate) async fn work_for(&mut self, time: Duration) {
        let Self { shared, instances, round, .. } = self;
        self.workload.get_or_insert_with(|| Workload::start(shared, instances, *round));
        sleep(time).await;
    }

    /// Everybody rests.
    pub(crate) async fn rest(&mut self) {
        if let Some(workload) = self.workload.take() {
            workload.end().await;
        }
    }

    /// An instance ends, and another begins, which knows nothing.
    pub(crate) async fn renew_instance(&mut self) {
        self.rest().await;
        self.begun += 1;
        self.instances.remove(0);
        let new = Instance::start(&self.site, &self.bus, self.begun, &self.shared).await;
        self.instances.push(new);
        self.arrive().await;
    }

    /// Does what blocks: tasks go on at other threads.
    pub(crate) fn blocking<T>(&mut self, what: &str, fault: impl FnOnce(&mut Site) -> T) -> T {
        self.shared.history.fault(what);
        let done = block_in_place(|| fault(&mut self.site));
        self.shared.history.note(format!("done: {what}"));
        done
    }

    /// Waits until all that was committed has been told to everybody.
    async fn arrive(&mut self) {
        let marker = self.shared.rows.mark().await;
        let marked = tokio::time::Instant::now();
        let arrive = async {
            let told = self.heard.wait_for(|heard| heard.marker >= marker);
            assert!(told.await.is_ok(), "the ears are deaf");
            while !self.instances.iter().all(|instance| instance.has_all_since(marked.elapsed())) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(within(60), arrive).await.is_err() {
            let lags = self.instances.iter().map(|it| (it.watermarks.lag(0), it.watermarks.l2_lag(0)));
            let lags: Vec<_> = lags.collect();
            panic!("not all has arrived: {:?}, {lags:?}", *self.heard.borrow());
        }
    }

    /// Ends the workload, waits until all has arrived, and checks all that happened.
    pub(crate) async fn check(&mut self) -> Seen {
        let seen = self.seen().await;
        if let [first, ..] = &seen.violations[..] {
            panic!("{} violations, the first: {first:?}", seen.violations.len());
        }
        assert!(seen.unmarked > 100 && seen.tokens > 10 && seen.changes > 20, "{seen:?}");
        assert!(seen.served > 10 && seen.fills > 0, "the second level was not in it: {seen:?}");
        seen
    }

    /// The same, whatever is wrong.
    pub(crate) async fn seen(&mut self) -> Seen {
        self.rest().await;
        self.arrive().await;
        assert_eq!(self.heard.borrow().missed, 0, "nobody knows what is missing on the bus");
        self.look().await;
        let mut history = self.shared.history.take();
        if block_in_place(|| self.site.stamps()) != self.stamps && !self.shared.watch.has_turned() {
            // Nobody meant to: a node was too slow for the others. What one master did is not known then.
            history.retain(|event| {
                !matches!(event.what, What::Granted { .. } | What::Released { .. } | What::Stored { .. })
            });
        }
        let seen = Seen::of(&history, check(&history));
        self.keep(&history);
        // Last: a later change of a row would make up for one that is lost.
        self.leave_floors().await;
        self.begin().await;
        seen
    }

    /// Each row is changed once more, and nobody reads it: then the second level has its floor, and not nothing.
    async fn leave_floors(&mut self) {
        let random = Random::new(self.round, "floors");
        let mut conn = self.shared.rows.connect().await;
        for key in rows::keys() {
            self.shared.rows.change(&mut conn, key, &random).await;
        }
        drop(conn);
        self.arrive().await;
        let floors = self.shared.rows.floors().await;
        for key in rows::keys().filter(|key| key.table == Table::Orders) {
            let held = self.held(key).await;
            let version = held.map_or(0, |(_, version)| version);
            assert!(
                version >= floors[&key],
                "{key:?} has {held:?} in the second level, not {}",
                floors[&key]
            );
        }
    }

    /// What the second level has of a row.
    async fn found(&self, key: Key) -> Found {
        let table = rows::name(key.table).to_string();
        let name = l2::Key::new(&table, &key.id.to_string()).unwrap();
        self.level2.get(&name.epoch(self.instances[0].epochs.of(&table))).await.unwrap()
    }

    /// What counts of it.
    async fn held(&self, key: Key) -> Option<(Kind, u64)> {
        match self.found(key).await {
            Found::Live(entry) => Some((Kind::Live, entry.version)),
            Found::Negative(entry) => Some((Kind::Negative, entry.version)),
            Found::Floor(version) => Some((Kind::Floor, version)),
            Found::Miss => None,
        }
    }

    /// What everybody sees and what is stored, when all has arrived.
    async fn look(&mut self) {
        let history = Arc::clone(&self.shared.history);
        history.add(What::Quiet);
        for instance in &self.instances {
            for key in rows::keys() {
                // Past its soft deadline an entry is answered marked, until it is refreshed.
                let unmarked = async {
                    while !matches!(instance.read(key, None).await, Answer::Unmarked(_)) {
                        sleep(Duration::from_millis(20)).await;
                    }
                };
                // The checker says what it was instead.
                drop(timeout(within(20), unmarked).await);
            }
            let (l1, l2) = instance.current();
            history.add(What::Current(instance.number, l1, l2));
        }
        for key in rows::keys() {
            if key.table == Table::Orders {
                if let Some((kind, version)) = self.held(key).await {
                    history.add(What::Held(key, kind, version));
                }
                continue;
            }
            // Without versions what it would answer is what can be compared.
            let began = history.now();
            let row = match self.found(key).await {
                Found::Live(entry) if !entry.fresh.is_zero() => Text.decode(entry.data.unwrap()),
                Found::Negative(_) => None,
                Found::Live(_) | Found::Floor(_) | Found::Miss => continue,
            };
            let answer = Answer::Unmarked(row);
            history.add(What::Read { instance: usize::MAX, key, began, token: None, answer });
        }
    }

    /// Masters change, by what `fault` does. What one of them did is noted again when all that was told before has arrived.
    pub(crate) async fn masters_change(&mut self, what: &str, fault: impl FnOnce(&mut Site)) {
        self.shared.watch.turn();
        self.blocking(what, fault);
        self.arrive().await;
        self.shared.watch.turn();
    }

    /// For a look, if the test fails.
    fn keep(&self, history: &[Event]) {
        let mut text = String::new();
        for (number, event) in history.iter().enumerate() {
            writeln!(text, "{number:>6} {event:?}").unwrap();
        }
        self.site.scratch.write(&format!("history-{}", self.round), text);
    }

    pub(crate) async fn end(self) {
        self.shared.rows.end().await;
    }
}

impl Seen {
    fn of(history: &[Event], violations: Vec<Violation>) -> Self {
        let mut seen = Self { violations, ..Self::default() };
        for event in history {
            let count = match &event.what {
                What::Read { token, answer, .. } => {
                    seen.tokens += usize::from(token.is_some());
                    match answer {
                        Answer::Unmarked(_) => &mut seen.unmarked,
                        Answer::Marked(..) => &mut seen.marked,
                        Answer::Refused(_) => &mut seen.refused,
                    }
                }
                What::Served { .. } => &mut seen.served,
                What::Stored { fill: Some(_), .. } => &mut seen.fills,
                What::Committed { .. } => &mut seen.changes,
                What::Note(text) if text.contains("missed something") => &mut seen.missed,
                _ => continue,
            };
            *count += 1;
        }
        seen
    }

    pub(crate) fn broke(&self, rule: Rule) -> bool {
        self.violations.iter().any(|violation| violation.rule == rule)
    }
}
