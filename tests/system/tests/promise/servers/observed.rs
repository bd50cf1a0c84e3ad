//! The second level as the test's instances use it, and what it is seen to do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_cache::l2::{self, Backend, Call, Cluster, Error, Script, Value};
use aqueduct_sim::history::{History, Key, Kind, Table, What};

use super::rows;

/// Real masters, watched.
#[derive(Clone)]
pub(crate) struct Observed {
    cluster: Cluster,
    watch: Arc<Watch>,
}

/// What all instances of a run have seen.
pub(crate) struct Watch {
    history: Arc<History>,
    /// Goes up when masters begin to change and when they have: odd in between.
    generation: AtomicU32,
    /// Who holds a lease: its number, and the generation in which it was given.
    holders: Mutex<BTreeMap<Vec<u8>, (u64, u32)>>,
    /// The highest version that an instance wrote, in which generation.
    written: Mutex<BTreeMap<(Key, u32), u64>>,
}

impl Watch {
    pub(crate) fn new(history: Arc<History>) -> Arc<Self> {
        Arc::new(Self {
            history,
            generation: AtomicU32::new(0),
            holders: Mutex::default(),
            written: Mutex::default(),
        })
    }

    /// From now on masters change, or do not any more.
    pub(crate) fn turn(&self) {
        self.generation.fetch_add(1, SeqCst);
    }

    pub(crate) fn has_turned(&self) -> bool {
        self.generation() > 0
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(SeqCst)
    }

    fn wrote(&self, key: Key, generation: u32, version: u64) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = written.entry((key, generation)).or_default();
        *highest = version.max(*highest);
    }

    /// Whether an instance wrote that version or a later one. It lives for as long as that instance said, and not for as long as a
    /// floor that came before: an absent row's, for instance, is forgotten soon.
    pub(crate) fn has_written(&self, key: Key, generation: u32, version: u64) -> bool {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(&(key, generation)).is_some_and(|highest| *highest >= version)
    }

    fn holder(&self, token: &[u8]) -> Option<(u64, u32)> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner).get(token).copied()
    }

    fn granted(&self, token: &[u8], generation: u32) -> u64 {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let next = holders.len() as u64;
        let holder = holders.entry(token.to_owned()).or_insert((next, generation));
        holder.1 = generation;
        holder.0
    }
}

impl Observed {
    pub(crate) fn new(cluster: Cluster, watch: Arc<Watch>) -> Self {
        Self { cluster, watch }
    }

    /// What may end a lease, before it is sent.
    fn sends(&self, script: &str, call: &Call, master: u32) {
        let token = match script {
            "release" => call.args.first(),
            "set" => call.args.get(4),
            _ => None,
        };
        if let Some(key) = key(call)
            && let Some((holder, _)) = token.and_then(|token| self.watch.holder(token))
        {
            self.watch.history.add(What::Released { key, master, holder: Some(holder) });
        }
    }

    fn answered(&self, script: &str, call: &Call, value: &Value, (asked, master): (Duration, u32)) {
        let (Some(key), Value::Array(items)) = (key(call), value) else { return };
        // Without versions nothing goes up, and the capture ends leases.
        if key.table == Table::Items {
            return;
        }
        let history = &self.watch.history;
        if let Some(Value::Bytes(bytes)) = items.get(2)
            && let Ok(l2::Stored { state, version, .. }) = l2::decode(bytes, 1 << 20)
            && let Some(kind) = kind(state)
        {
            history.add(What::Served { key, master, kind, version, asked });
        }
        // Masters changed meanwhile: whose word it is is not known.
        if master % 2 == 1 || self.watch.generation() != master {
            return;
        }
        let text = |at: usize| match items.get(at) {
            Some(Value::Bytes(bytes)) => std::str::from_utf8(bytes).unwrap_or_default(),
            _ => "",
        };
        let millis = |at: usize| Duration::from_millis(number(&call.args[at]));
        match (script, text(0)) {
            ("lease", "T") => {
                let holder = self.watch.granted(&call.args[2], master);
                history.add(What::Granted { key, master, holder, asked, until: asked + millis(3) });
            }
            ("set", "ok") => {
                let holder = self.watch.holder(&call.args[4]);
                let fill = holder.filter(|(_, given)| *given == master).map(|(holder, _)| holder);
                // A floor may be there already, with less time left.
                let lives = if call.args[4].is_empty() { Duration::ZERO } else { millis(3) };
                let version = number(text(1).as_bytes());
                self.watch.wrote(key, master, version);
                history.add(What::Stored { key, master, fill, version, asked, until: asked + lives });
            }
            _ => {}
        }
    }
}

impl Backend for Observed {
    async fn run(&self, script: &Script, calls: &[Call]) -> Result<Vec<Value>, Error> {
        let master = self.watch.generation();
        let asked = self.watch.history.now();
        for call in calls {
            self.sends(script.name(), call, master);
        }
        let values = self.cluster.run(script, calls).await?;
        for (call, value) in calls.iter().zip(&values) {
            self.answered(script.name(), call, value, (asked, master));
        }
        Ok(values)
    }
}

fn key(call: &Call) -> Option<Key> {
    let (table, id) = call.keys.first()?.split_once(':')?;
    Some(Key { table: rows::table(table)?, id: id.parse().ok()? })
}

fn number(digits: &[u8]) -> u64 {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A floor serves nobody.
fn kind(state: l2::State) -> Option<Kind> {
    match state {
        l2::State::Live => Some(Kind::Live),
        l2::State::Negative => Some(Kind::Negative),
        l2::State::Floor => None,
    }
}
