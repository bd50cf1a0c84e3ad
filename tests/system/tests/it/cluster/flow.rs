//! Orders that flow through several instances of one system, each request to another: what was asked and answered becomes a
//! history, which the checker of the simulation reads.
//!
//! An order is a row whose versions its flow alone makes, one after the other, so they are known beforehand. As in
//! `tests/system/tests/promise`, a change lies between what is noted before it is first asked for and its acknowledgement, however
//! often it was asked for. What is published is not listened to: that nothing is lost shows in what all instances answer at the end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aqueduct_kit::process::within;
use aqueduct_kit::{Process, Response, until};
use aqueduct_sim::checker::{Rule, check};
use aqueduct_sim::history::{Answer, Event, History, Key, Row, Table, What, Write};
use aqueduct_sim::random::Random;

use super::{Below, awhile, wait_health};
use crate::shop::{EVENTS, Order, Shop};
use crate::site::{Site, no_panic};

const TOKEN: &str = "x-aqueduct-token";
const FLOWS: u64 = 4;
const READERS: u64 = 2;
/// Orders that are read by all.
const RECENT: usize = 12;

/// Several instances on the same servers. The first captures the changes.
pub(crate) struct Instances {
    pub(crate) sites: Vec<Site>,
    pub(crate) processes: Vec<Process>,
}

impl Instances {
    pub(crate) fn start(name: &str, below: &Below, count: usize) -> Self {
        Self::start_as(name, below, (count, "user: root"))
    }

    /// So many that log in to the database as `login` says.
    pub(crate) fn start_as(name: &str, below: &Below, (count, login): (usize, &str)) -> Self {
        let site = |number: usize| {
            let yaml = below.yaml("shop: { cache_soft: 5s }").replace("user: root", login);
            let capture = if number == 0 { "" } else { "  cdc: { here: false }\n" };
            Site::with_config(&format!("{name}-{number}"), &(yaml + capture))
        };
        let sites: Vec<_> = (0..count).map(site).collect();
        let processes = sites.iter().map(Site::up).collect();
        let instances = Self { sites, processes };
        instances.wait_well();
        instances
    }

    pub(crate) fn wait_well(&self) {
        for site in &self.sites {
            wait_health(site, "ok");
        }
    }

    /// kill -9, and again from the beginning.
    pub(crate) fn replace(&mut self, number: usize) {
        self.processes[number].kill().unwrap();
        self.processes[number] = self.sites[number].up();
    }

    pub(crate) fn no_panic(&self) {
        self.processes.iter().for_each(no_panic);
    }

    /// Waits until every instance has heard of all that was committed before now.
    fn wait_heard(&self) {
        let began = tokio::time::Instant::now();
        for site in &self.sites {
            let heard = until(within(60), || {
                let since = began.elapsed().as_secs_f64();
                let page = site.metrics();
                let lags = page.lines().filter(|line| line.starts_with("aqueduct_cache_lag_seconds{"));
                let lags: Vec<f64> =
                    lags.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
                (lags.len() == 2 && lags.iter().all(|lag| *lag < since)).then_some(())
            });
            assert!(heard.is_some(), "not all is heard: {}", site.metrics());
        }
    }
}

/// Clients at work.
pub(crate) struct Flow {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    history: History,
    edges: Vec<SocketAddr>,
    stop: AtomicBool,
    recent: Mutex<VecDeque<Key>>,
    acknowledged: AtomicUsize,
}

/// What a flow came to.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) unmarked: usize,
    pub(crate) marked: usize,
    pub(crate) refused: usize,
    pub(crate) tokens: usize,
}

impl Flow {
    pub(crate) fn start(instances: &Instances) -> Self {
        let shared = Arc::new(Shared {
            history: History::new(),
            edges: instances.sites.iter().map(Site::edge).collect(),
            stop: AtomicBool::new(false),
            recent: Mutex::default(),
            acknowledged: AtomicUsize::new(0),
        });
        let client = |number: u64| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut client = Client::new(shared, number);
                if number < FLOWS { client.flow() } else { client.read_all() }
            })
        };
        let clients = (0..FLOWS + READERS).map(client).collect();
        Self { shared, clients }
    }

    /// Waits until so many changes more were acknowledged, and for longer than what is stale may be unmarked.
    pub(crate) fn go_on(&self, changes: usize) {
        let before = self.shared.acknowledged.load(Relaxed);
        let enough = || (self.shared.acknowledged.load(Relaxed) >= before + changes).then_some(());
        assert!(until(within(60), enough).is_some(), "fewer than {changes} changes in a minute");
        awhile(Duration::from_millis(1300));
    }

    pub(crate) fn fault(&self, what: &str) {
        self.shared.history.fault(what);
    }

    /// Ends it, waits until all is well and heard of everywhere, and checks all that happened.
    pub(crate) fn check(self, instances: &Instances) -> Seen {
        self.shared.stop.store(true, Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        instances.wait_well();
        instances.wait_heard();
        self.shared.history.add(What::Quiet);
        let recent = self.shared.recent.lock().unwrap().clone();
        let mut client = Client::new(Arc::clone(&self.shared), 99);
        for instance in 0..self.shared.edges.len() {
            for key in &recent {
                // Past its soft deadline it is answered marked, until it is refreshed.
                until(within(20), || {
                    matches!(client.read(instance, *key, None), Answer::Unmarked(_)).then_some(())
                });
            }
        }
        let history = self.shared.history.take();
        let broken = check(&history).into_iter().find(|broken| broken.rule != Rule::NothingLost);
        if let Some(broken) = broken {
            let text: Vec<_> =
                history.iter().enumerate().map(|(at, event)| format!("{at:>6} {event:?}")).collect();
            instances.sites[0].scratch.write("history", text.join("\n"));
            panic!("{broken:?}");
        }
        let seen = Seen::of(&history);
        assert!(seen.unmarked > 50 && seen.tokens > 20, "{seen:?}");
        seen
    }
}

impl Seen {
    fn of(history: &[Event]) -> Self {
        let mut seen = Self::default();
        for event in history {
            let What::Read { token, answer, .. } = &event.what else { continue };
            match answer {
                _ if token.is_some() => seen.tokens += 1,
                Answer::Unmarked(_) => seen.unmarked += 1,
                Answer::Marked(..) => seen.marked += 1,
                Answer::Refused(_) => seen.refused += 1,
            }
        }
        seen
    }
}

/// A client of all instances.
struct Client {
    shared: Arc<Shared>,
    shops: Vec<Shop>,
    random: Random,
    number: u64,
}

impl Client {
    fn new(shared: Arc<Shared>, number: u64) -> Self {
        let shops = shared.edges.iter().map(|edge| Shop::new(*edge)).collect();
        Self { random: Random::new(number, "client"), shared, shops, number }
    }

    fn any(&self) -> usize {
        usize::try_from(self.random.range(0..self.shops.len() as u64)).unwrap()
    }

    fn goes_on(&self) -> bool {
        !self.shared.stop.load(Relaxed)
    }

    /// Places orders and moves each on, every request at another instance.
    fn flow(&mut self) {
        while self.goes_on() {
            let at = self.any();
            let user = i64::try_from(self.number * 100 + self.random.range(0..20)).unwrap();
            // Where nobody answers an order may have been placed; but nobody knows its id.
            let Ok(placed) = self.shops[at].try_create(user) else { continue };
            if placed.status() != 200 {
                awhile(Duration::from_millis(20));
                continue;
            }
            let id = Order::read(&placed.json()).id;
            let key = Key { table: Table::Orders, id: id.cast_unsigned() };
            self.acknowledged(key, 1);
            {
                let mut recent = self.shared.recent.lock().unwrap();
                recent.push_back(key);
                if recent.len() > RECENT {
                    recent.pop_front();
                }
            }
            let mut token = placed.header(TOKEN).unwrap().to_owned();
            for (version, event) in (2..).zip(EVENTS) {
                awhile(self.random.millis(0..120));
                let writes = vec![Write::Row { key, version, tombstone: false }];
                self.shared.history.add(What::Committed { source: 0, gtid: 0, prepared: None, writes });
                token = self.transition(id, event, &token);
                let acknowledged = self.acknowledged(key, version);
                let at = self.any();
                self.read(at, key, Some((acknowledged, &token)));
                let at = self.any();
                self.read(at, key, None);
            }
        }
    }

    fn acknowledged(&self, key: Key, version: u64) -> Duration {
        self.shared.history.add(What::Visible(key, Some(version)));
        self.shared.acknowledged.fetch_add(1, Relaxed);
        self.shared.history.now()
    }

    /// Asks until it is done, under the same event id: its token.
    fn transition(&mut self, id: i64, event: &str, token: &str) -> String {
        let path = format!("/v1/orders/{id}:{event}");
        let body = format!(r#"{{"eventId":"{id}-{event}"}}"#);
        let mut last = String::new();
        let done = until(within(60), || {
            let at = self.any();
            let headers = [("content-type", "application/json"), (TOKEN, token)];
            match self.shops[at].client.request("POST", &path, &headers, body.as_bytes()) {
                Ok(answer) if answer.status() == 200 => answer.header(TOKEN).map(str::to_owned),
                Ok(answer) => {
                    last = answer.text();
                    awhile(Duration::from_millis(20));
                    None
                }
                Err(error) => {
                    last = error.to_string();
                    None
                }
            }
        });
        done.unwrap_or_else(|| panic!("{event} of {id} is refused for a minute: {last}"))
    }

    fn read_all(&mut self) {
        while self.goes_on() {
            awhile(self.random.millis(5..30));
            let recent: Vec<_> = self.shared.recent.lock().unwrap().iter().copied().collect();
            if !recent.is_empty() {
                let (at, key) = (self.any(), *self.random.pick(&recent));
                self.read(at, key, None);
            }
        }
    }

    /// Reads an order, and notes what came.
    fn read(&mut self, instance: usize, key: Key, token: Option<(Duration, &str)>) -> Answer {
        let history = &self.shared.history;
        let began = history.now();
        let path = format!("/v1/orders/{}", key.id);
        let header = token.map(|(_, text)| (TOKEN, text));
        let answer = self.shops[instance].client.request("GET", &path, header.as_slice(), b"");
        let answer = match answer {
            Ok(answer) => told(&answer, history.now().saturating_sub(began)),
            Err(error) => Answer::Refused(error.to_string()),
        };
        let token = token.map(|(acknowledged, _)| acknowledged);
        history.add(What::Read { instance, key, began, token, answer: answer.clone() });
        answer
    }
}

/// What an answer that took so long says of an order.
fn told(answer: &Response, took: Duration) -> Answer {
    let row: Row = match answer.status() {
        200 => Some(u64::try_from(Order::read(&answer.json()).version).unwrap()),
        404 => None,
        _ => return Answer::Refused(answer.text()),
    };
    match answer.header("x-aqueduct-stale") {
        None => Answer::Unmarked(row),
        Some(age) => {
            let seconds: f64 = age.strip_prefix("age=").unwrap().parse().unwrap();
            Answer::Marked(row, Duration::from_secs_f64(seconds) + took)
        }
    }
}
