//! A model of one shard of a Redis Cluster: a master and a replica that is behind, TTLs, a clock of each node, and failovers
//! that lose what was not replicated. The scripts are the real ones, run by a real Lua 5.1.

mod lua;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aqueduct_cache::l2::{self, Backend, Call, Error, Script, Stored, Value};
use aqueduct_cdc::{KeyPart, feed};
use tokio::time::sleep;

use crate::bus;
use crate::history::{History, Key, Kind, Master, Table, What};
use crate::random::Random;
use lua::Interpreter;

/// The usual time for a command to get there, in milliseconds, at most.
const SWIFT: u64 = 3;

/// A key's bytes, and when it ends by the node's clock in milliseconds.
#[derive(Clone, Debug)]
struct Item {
    bytes: Vec<u8>,
    until: Option<u64>,
}

/// What a master tells its replica.
#[derive(Clone, Debug)]
enum Effect {
    Set(Vec<u8>, Item),
    Delete(Vec<u8>),
}

/// One server's memory.
#[derive(Debug, Default)]
pub(crate) struct Node {
    items: BTreeMap<Vec<u8>, Item>,
    replid: String,
    /// How far its clock is off, in milliseconds.
    ahead: u64,
    /// Since the start of the run.
    now: Duration,
    effects: Vec<Effect>,
}

impl Node {
    /// Unix time in milliseconds by its clock.
    fn clock(&self) -> u64 {
        1_700_000_000_000 + self.ahead + u64::try_from(self.now.as_millis()).unwrap_or(0)
    }

    fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let clock = self.clock();
        if self.items.get(key).is_some_and(|item| item.until.is_some_and(|until| until <= clock)) {
            self.items.remove(key);
        }
        self.items.get(key).map(|item| item.bytes.clone())
    }

    fn set(&mut self, key: &[u8], bytes: Vec<u8>, ttl: Option<u64>) {
        let item = Item { bytes, until: ttl.map(|ttl| self.clock() + ttl) };
        self.items.insert(key.to_vec(), item.clone());
        self.effects.push(Effect::Set(key.to_vec(), item));
    }

    fn delete(&mut self, key: &[u8]) -> bool {
        let there = self.get(key).is_some();
        if there {
            self.items.remove(key);
            self.effects.push(Effect::Delete(key.to_vec()));
        }
        there
    }

    fn ttl(&mut self, key: &[u8]) -> i64 {
        match (self.get(key), self.items.get(key).and_then(|item| item.until)) {
            (None, _) => -2,
            (Some(_), None) => -1,
            (Some(_), Some(until)) => i64::try_from(until - self.clock()).unwrap_or(i64::MAX),
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Set(key, item) => drop(self.items.insert(key, item)),
            Effect::Delete(key) => drop(self.items.remove(&key)),
        }
    }
}

/// The servers, and the network before them.
#[derive(Clone)]
pub(crate) struct Redis {
    shared: Arc<Shared>,
    /// A client that may still be connected to a master that was replaced.
    loyal: bool,
}

struct Shared {
    history: Arc<History>,
    random: Random,
    lua: Interpreter,
    state: Mutex<State>,
    /// Tokens are drawn anew in each run: the history has their numbers.
    holders: Mutex<BTreeMap<String, u64>>,
    /// The table without versions: the master's clock is theirs.
    bounded: Option<Table>,
}

struct State {
    master: Arc<Mutex<Node>>,
    number: Master,
    replica: Node,
    /// On its way to the replica, and when it is there.
    stream: VecDeque<(Duration, Effect)>,
    down: bool,
    /// How long a command takes to get there, and its answer back, at most.
    slow: u64,
    replaced: Option<Replaced>,
}

/// A master that was stopped when its replica was promoted.
struct Replaced {
    node: Arc<Mutex<Node>>,
    lua: Interpreter,
    number: Master,
    /// It goes on, and does not know it yet.
    awake: bool,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    pub(crate) fn new(seed: u64, bounded: Option<Table>, history: Arc<History>) -> Self {
        let random = Random::new(seed, "redis");
        let fresh = |ahead| Node { replid: replid(&random), ahead, ..Node::default() };
        let master = Arc::new(Mutex::new(fresh(random.range(0..7_200_000))));
        let replica = fresh(random.range(0..7_200_000));
        let lua = Interpreter::new(Arc::clone(&master));
        let stream = VecDeque::new();
        let state = State { master, number: 0, replica, stream, down: false, slow: SWIFT, replaced: None };
        Self {
            loyal: false,
            shared: Arc::new(Shared {
                history,
                random,
                lua,
                state: Mutex::new(state),
                holders: Mutex::default(),
                bounded,
            }),
        }
    }

    /// The same servers, as a reader sees them.
    pub(crate) fn loyal(&self) -> Self {
        Self { loyal: true, ..self.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nobody reaches it, or everybody does.
    pub(crate) fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// How long a command may be on its way, in milliseconds.
    pub(crate) fn set_slow(&self, slow: Option<u64>) {
        self.state().slow = slow.unwrap_or(SWIFT);
    }

    /// The master dies, and with it what is on its way to the replica.
    pub(crate) fn die(&self) {
        let mut state = self.state();
        state.down = true;
        state.replicate(self.shared.history.now());
        let lost = state.stream.len();
        state.stream.clear();
        drop(state);
        self.shared.history.fault(format!("the master is dead, {lost} writes are lost"));
    }

    /// The replica takes the place of the master, with all that was sent to it; the old master comes back as its replica.
    pub(crate) fn promote(&self) {
        let now = self.shared.history.now();
        let mut state = self.state();
        state.replicate(Duration::MAX);
        state.replica.replid = replid(&self.shared.random);
        let ahead = state.replica.ahead;
        let mut promoted = std::mem::take(&mut state.replica);
        let mut master = state.master.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::take(&mut *master);
        promoted.now = now;
        *master = promoted;
        // A full synchronisation.
        let copy = Node { items: master.items.clone(), ahead: old.ahead, ..Node::default() };
        drop(master);
        state.replica = copy;
        let node = Arc::new(Mutex::new(old));
        let lua = Interpreter::new(Arc::clone(&node));
        state.replaced = Some(Replaced { node, lua, number: state.number, awake: false });
        state.number += 1;
        let number = state.number;
        drop(state);
        self.shared.history.fault(format!("master {number} is promoted, its clock {ahead} ms ahead"));
    }

    /// The master that was replaced answers those who still ask it, or does not any more.
    pub(crate) fn wake(&self, awake: bool) {
        if let Some(replaced) = &mut self.state().replaced {
            replaced.awake = awake;
        }
    }

    /// Runs a script at the master that was replaced, if it is awake and the caller asks it.
    fn eval_replaced(&self, script: &Script, call: &Call) -> Option<Value> {
        let Shared { history, random, .. } = &*self.shared;
        let state = self.state();
        let replaced = state.replaced.as_ref().filter(|replaced| replaced.awake && self.loyal)?;
        if random.percent(30) {
            return None;
        }
        let node = || replaced.node.lock().unwrap_or_else(PoisonError::into_inner);
        node().now = history.now();
        let value = replaced.lua.run(script.text(), call);
        node().effects.clear();
        history.note(format!("master {}, which was replaced, answers {}", replaced.number, script.name()));
        Some(value)
    }

    /// Runs a script at the master, now.
    fn eval(&self, script: &Script, call: &Call) -> Value {
        let Shared { history, random, lua, .. } = &*self.shared;
        let mut state = self.state();
        let now = history.now();
        state.replicate(now);
        state.master.lock().unwrap_or_else(PoisonError::into_inner).now = now;
        let value = lua.run(script.text(), call);
        let mut master = state.master.lock().unwrap_or_else(PoisonError::into_inner);
        let effects = std::mem::take(&mut master.effects);
        let ttl = call.keys.first().map_or(0, |key| master.ttl(key.as_bytes()));
        drop(master);
        // In order, some later than others.
        let mut at = state.stream.back().map_or(now, |(at, _)| *at);
        let late = if random.percent(20) { 50..600 } else { 0..10 };
        at = at.max(now + random.millis(late));
        state.stream.extend(effects.into_iter().map(|effect| (at, effect)));
        let number = state.number;
        drop(state);
        self.observe(number, (script.name(), call), ttl, &value);
        value
    }

    fn holder(&self, token: &str) -> u64 {
        let mut holders = self.shared.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let next = holders.len() as u64;
        *holders.entry(token.to_owned()).or_insert(next)
    }

    /// What the master has of a key that counts in this epoch of its table: of a row the version that is in it.
    pub(crate) fn held(&self, key: Key, epoch: u64) -> Option<(Kind, u64)> {
        let state = self.state();
        let mut master = state.master.lock().unwrap_or_else(PoisonError::into_inner);
        master.now = self.shared.history.now();
        let bytes = master.get(key_of(key).name().as_bytes())?;
        let stored = l2::decode(&bytes, 1 << 20).ok()?;
        let counts = match stored.state {
            l2::State::Floor => self.shared.bounded != Some(key.table),
            _ => stored.stamp == master.replid && stored.epoch >= epoch,
        };
        let version = match stored.state {
            l2::State::Live => row(stored.data)?,
            _ => stored.version,
        };
        counts.then(|| (kind(stored.state), version))
    }
}

impl State {
    /// What has reached the replica by now.
    fn replicate(&mut self, now: Duration) {
        while let Some((_, effect)) = self.stream.pop_front_if(|(at, _)| *at <= now) {
            self.replica.apply(effect);
        }
    }
}

fn replid(random: &Random) -> String {
    format!("{:016x}{:016x}{:08x}", random.next(), random.next(), random.range(0..1 << 32))
}

fn kind(state: l2::State) -> Kind {
    match state {
        l2::State::Live => Kind::Live,
        l2::State::Negative => Kind::Negative,
        l2::State::Floor => Kind::Floor,
    }
}

impl Backend for Redis {
    async fn run(&self, script: &Script, calls: &[Call]) -> Result<Vec<Value>, Error> {
        let random = &self.shared.random;
        let slow = self.state().slow;
        sleep(random.millis(0..slow)).await;
        if self.state().down {
            // Some are refused at once, others wait in vain.
            if random.percent(50) {
                sleep(Duration::from_hours(1)).await;
            }
            return Err(Error::Uncovered("simulated".to_owned()));
        }
        let eval = |call: &Call| self.eval_replaced(script, call).unwrap_or_else(|| self.eval(script, call));
        let values = calls.iter().map(eval).collect();
        sleep(random.millis(0..slow)).await;
        if script.name() != "master" && random.percent(1) && !self.shared.history.is_calm() {
            // Done, but nobody is told.
            sleep(Duration::from_hours(1)).await;
        }
        Ok(values)
    }
}

impl Redis {
    /// Notes what a script did, told from its answer.
    fn observe(&self, master: Master, (script, call): (&str, &Call), ttl: i64, value: &Value) {
        let history = &self.shared.history;
        let Some(key) = call.keys.first().and_then(|name| key(name)) else { return };
        let asked = history.now();
        let arg =
            |at: usize| call.args.get(at).and_then(|arg| std::str::from_utf8(arg).ok()).unwrap_or_default();
        if (script, value) == ("release", &Value::Int(1)) {
            history.add(What::Released { key, master, holder: Some(self.holder(arg(0))) });
        }
        let Value::Array(items) = value else { return };
        let text = |at: usize| match items.get(at) {
            Some(Value::Bytes(bytes)) => std::str::from_utf8(bytes).unwrap_or_default(),
            _ => "",
        };
        if let Some(Value::Bytes(bytes)) = items.get(2)
            && let Ok(stored) = l2::decode(bytes, 1 << 20)
            && stored.state != l2::State::Floor
            && self.shared.bounded != Some(key.table)
        {
            let Stored { state, version, .. } = stored;
            history.add(What::Served { key, master, kind: kind(state), version, asked });
        }
        match (script, text(0)) {
            ("lease", "T") => {
                let lives = Duration::from_millis(arg(3).parse().unwrap_or(0));
                let holder = self.holder(arg(2));
                history.add(What::Granted { key, master, holder, asked, until: asked + lives });
            }
            ("set", "ok") => {
                let version = text(1).parse().unwrap_or(0);
                if arg(1).is_empty() && arg(4).is_empty() {
                    // Of a table without versions: the load under way may have read too early.
                    history.add(What::Released { key, master, holder: None });
                }
                let fill = Some(arg(4)).filter(|token| !token.is_empty()).map(|token| self.holder(token));
                // Without an end it has none: a mutation deleted it.
                let lives = u64::try_from(ttl).map_or(Duration::MAX / 2, Duration::from_millis);
                history.add(What::Stored { key, master, fill, version, asked, until: asked + lives });
            }
            _ => {}
        }
    }
}

/// A row is its version, in a form that cannot be mistaken.
pub(crate) fn row(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.strip_prefix("row of version ")?.parse().ok()
}

/// What a row is called in Redis.
pub(crate) fn key_of(key: Key) -> l2::Key {
    feed::l2_key(&bus::table_name(key.table), &vec![KeyPart::Uint(key.id)]).expect("a plain name")
}

/// What a table is called there.
pub(crate) fn table_of(table: Table) -> &'static str {
    match table {
        Table::Orders => "shop.orders",
        Table::Items => "shop.items",
        Table::Heartbeat => "heartbeat",
    }
}

fn key(name: &str) -> Option<Key> {
    let (table, id) = name.split_once(':')?;
    let table = match table {
        "shop.orders" => Table::Orders,
        "shop.items" => Table::Items,
        _ => return None,
    };
    Some(Key { table, id: id.parse().ok()? })
}
