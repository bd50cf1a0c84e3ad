//! The operations: each is one script on one key, or one pipeline a slot.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::entry::{HEADER, State};
use super::masters::{self, Probes};
use super::reply::{Reply, filled};
use super::script::{Mutation, Scripts};
use super::slow::Counters;
use super::{
    Backend, Call, Cluster, Entry, Error, Filled, Found, Key, Leased, Options, Script, Slow, Stats, Token,
    Value,
};
use crate::Stamp;

/// The second level of the cache. Clones share connections and counters.
#[derive(Clone)]
pub struct Store<B = Cluster> {
    backend: B,
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    scripts: Scripts,
    counters: Counters,
    /// Makes tokens that no other process makes.
    seed: [u64; 2],
    leases: AtomicU64,
    probes: Probes,
    mutation: Option<Mutation>,
}

impl<B> std::fmt::Debug for Store<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

#[cfg(feature = "redis")]
impl Store {
    /// Connects to the cluster that has these nodes: see [`Cluster::connect`].
    ///
    /// # Errors
    ///
    /// When nobody answers, the server is no cluster or refuses us, slots are not served, or the options are wrong.
    pub async fn connect(nodes: &[String], options: Options) -> Result<Self, Error> {
        let cluster = Cluster::connect(nodes, &options).await?;
        Self::over(cluster, options)
    }
}

impl<B: Backend> Store<B> {
    /// A store on a back end of the owner's.
    ///
    /// # Errors
    ///
    /// When the options are wrong.
    pub fn over(backend: B, options: Options) -> Result<Self, Error> {
        Self::with_scripts(backend, options, None)
    }

    /// A store whose scripts break one promise.
    ///
    /// # Errors
    ///
    /// When the options are wrong.
    #[cfg(feature = "mutations")]
    pub fn broken(backend: B, options: Options, mutation: Mutation) -> Result<Self, Error> {
        Self::with_scripts(backend, options, Some(mutation))
    }

    fn with_scripts(backend: B, options: Options, mutation: Option<Mutation>) -> Result<Self, Error> {
        options.validate()?;
        let random = RandomState::new();
        let shared = Shared {
            scripts: Scripts::new(mutation),
            counters: Counters::default(),
            seed: [random.hash_one(0), random.hash_one(1)],
            leases: AtomicU64::new(0),
            probes: Probes::new(),
            mutation,
            options,
        };
        Ok(Self { backend, shared: Arc::new(shared) })
    }

    /// How it behaves.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// When Redis does not answer in time. Poison is a miss, no error.
    pub async fn get(&self, key: &Key) -> Result<Found, Error> {
        let reply = self.one(&self.shared.scripts.read, &[key.name()], &self.read_args(key)).await?;
        self.found(key, reply).await
    }

    /// The live entry of a key, fresh or past its soft deadline: what a stale answer is made of.
    ///
    /// # Errors
    ///
    /// When Redis does not answer in time.
    pub async fn get_stale(&self, key: &Key) -> Result<Option<Entry>, Error> {
        Ok(match self.get(key).await? {
            Found::Live(entry) => Some(entry),
            _ => None,
        })
    }

    /// Reads many keys: those of one slot in one pipeline, all slots at once. The answers are in the keys' order; a part of
    /// the cluster that does not answer fails its own keys only.
    pub async fn get_many(&self, keys: &[Key]) -> Vec<Result<Found, Error>> {
        let mut slots: HashMap<u16, Vec<usize>> = HashMap::new();
        for (index, key) in keys.iter().enumerate() {
            slots.entry(key.slot()).or_default().push(index);
        }
        let groups = slots.into_values().map(async |group| {
            let one = group.iter().map(|index| &keys[*index]).collect::<Vec<_>>();
            let found = self.group(&one).await;
            group.into_iter().zip(found).collect::<Vec<_>>()
        });
        let mut found: Vec<_> = join_all(groups).await.into_iter().flatten().collect();
        found.sort_unstable_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, found)| found).collect()
    }

    /// Asks to be the one who loads a key.
    ///
    /// # Errors
    ///
    /// When Redis does not answer in time.
    pub async fn lease(&self, key: &Key) -> Result<Leased, Error> {
        let Shared { options, scripts, seed, leases, .. } = &*self.shared;
        let token = format!("{:016x}{:016x}{:016x}", seed[0], seed[1], leases.fetch_add(1, Relaxed));
        let mut args = self.read_args(key);
        args.extend([token.clone().into_bytes(), millis(options.lease)]);
        // Once more when poison was removed; should somebody write it again at once, nobody gets a lease.
        for _ in 0..2 {
            let reply = self.one(&scripts.lease, &[key.name(), &key.lease()], &args).await?;
            return Ok(match Reply::parse(reply, self.limit()).ok_or(Error::Reply("lease"))? {
                Reply::Hit(_, entry) => Leased::Entry(entry),
                Reply::Wait(stale, at_most) => Leased::Wait { at_most, stale },
                Reply::Load(stale, least) => Leased::Load { token: Token(token), least, stale },
                Reply::Poisoned(bytes) => {
                    self.remove(key, bytes).await?;
                    continue;
                }
                Reply::Miss | Reply::Stamped => return Err(Error::Reply("lease")),
            });
        }
        Ok(Leased::Wait { at_most: options.lease, stale: None })
    }

    /// Stores what was loaded under a lease. [`Entry::fresh`] is how long it is fresh, [`Entry::age`] how long ago its load
    /// began; after `ttl` Redis forgets it.
    ///
    /// # Errors
    ///
    /// When the data is over the limit, or Redis does not answer in time: then it may be stored or not.
    pub async fn fill(
        &self,
        key: &Key,
        token: &Token,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Filled, Error> {
        self.fill_in(key, (token, Some(entry.version)), entry, ttl).await
    }

    /// Stores what a locking read at the primary found, of a table without versions. The version of the entry does not count:
    /// the master's clock takes its place.
    ///
    /// # Errors
    ///
    /// As [`Store::fill`].
    pub async fn fill_bounded(
        &self,
        key: &Key,
        token: &Token,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Filled, Error> {
        self.fill_in(key, (token, None), entry, ttl).await
    }

    async fn fill_in(
        &self,
        key: &Key,
        (token, version): (&Token, Option<u64>),
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Filled, Error> {
        let data = entry.data.as_deref().unwrap_or_default();
        let limit = self.shared.options.max_value;
        if data.len() > limit {
            return Err(Error::TooLarge { size: data.len(), limit });
        }
        let state = if entry.data.is_some() { State::Live } else { State::Negative };
        let mut args = set_args(key, state, version, ttl);
        args.extend([token.0.clone().into_bytes(), millis(entry.fresh), number(entry.age), data.to_vec()]);
        self.set(key, &args).await
    }

    /// Tells that a key has a version that is not older than `floor`: what is older goes, and cannot be filled in. Repeating
    /// it is harmless.
    ///
    /// # Errors
    ///
    /// When Redis does not answer in time: repeat it until it does.
    pub async fn invalidate(&self, key: &Key, floor: u64) -> Result<(), Error> {
        let mut args = set_args(key, State::Floor, Some(floor), self.shared.options.floor);
        args.extend([Vec::new(), b"0".to_vec(), b"0".to_vec(), Vec::new()]);
        self.set(key, &args).await.map(drop)
    }

    /// Tells that the row was deleted when it had `version`: a tombstone at the next version says that there is none, unless
    /// as late a version is known.
    ///
    /// # Errors
    ///
    /// When Redis does not answer in time: repeat it until it does.
    pub async fn delete(&self, key: &Key, version: u64) -> Result<(), Error> {
        let ttl = self.shared.options.floor;
        let mut args = set_args(key, State::Negative, Some(version.saturating_add(1)), ttl);
        args.extend([Vec::new(), number(ttl), b"0".to_vec(), Vec::new()]);
        self.set(key, &args).await.map(drop)
    }

    /// Tells that a row of a table without versions has changed: what is there goes, and so does the lease of a load under way, which
    /// may have read too early. The master's clock gives the floor its version.
    ///
    /// # Errors
    ///
    /// When Redis does not answer in time: repeat it until it does.
    pub async fn mark(&self, key: &Key) -> Result<(), Error> {
        let mut args = set_args(key, State::Floor, None, self.shared.options.floor);
        args.extend([Vec::new(), b"0".to_vec(), b"0".to_vec(), Vec::new()]);
        self.set(key, &args).await.map(drop)
    }

    /// Gives back a lease that will not be used, so that nobody waits for it to end.
    ///
    /// # Errors
    ///
    /// When Redis does not answer in time: then it ends by itself.
    pub async fn release(&self, key: &Key, token: &Token) -> Result<(), Error> {
        let keys = [key.name(), &key.lease()];
        self.one(&self.shared.scripts.release, &keys, &[token.0.clone().into_bytes()]).await.map(drop)
    }

    /// Removes a live entry whose data is not what its owner wrote; the floor that it implies stays.
    ///
    /// # Errors
    ///
    /// When Redis does not answer in time.
    pub async fn discard(&self, key: &Key, version: u64) -> Result<(), Error> {
        self.shared.counters.poisoned.fetch_add(1, Relaxed);
        tracing::warn!(key = key.name(), "an entry in Redis that cannot be decoded is removed");
        let args = [format!("{version:020}").into_bytes(), millis(self.shared.options.floor)];
        self.one(&self.shared.scripts.discard, &[key.name(), &key.lease()], &args).await.map(drop)
    }

    /// The masters that answer now, each once: to be told to readers with what has been written until now
    /// ([`Watermarks::l2`](crate::Watermarks::l2)). Those that do not answer are missing.
    pub async fn masters(&self) -> Vec<Stamp> {
        self.shared.probes.ask(self).await
    }

    /// Who serves a key; `None` if it is no master (any more).
    pub(super) async fn master(&self, key: &Key) -> Result<Option<Stamp>, Error> {
        masters::master(self.one(&self.shared.scripts.master, &[key.name()], &[]).await?)
    }

    pub(super) fn is_broken(&self, mutation: Mutation) -> bool {
        cfg!(any(test, feature = "mutations")) && self.shared.mutation == Some(mutation)
    }

    /// What has happened since the start.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }

    /// The last 256 slow commands, the oldest first.
    pub fn slow(&self) -> Vec<Slow> {
        self.shared.counters.last()
    }

    fn limit(&self) -> usize {
        self.shared.options.max_value + HEADER
    }

    fn read_args(&self, key: &Key) -> Vec<Vec<u8>> {
        vec![key.epoch_digits().into_bytes(), self.limit().to_string().into_bytes()]
    }

    async fn set(&self, key: &Key, args: &[Vec<u8>]) -> Result<Filled, Error> {
        let reply = self.one(&self.shared.scripts.set, &[key.name(), &key.lease()], args).await?;
        filled(reply).ok_or(Error::Reply("set"))
    }

    async fn found(&self, key: &Key, reply: Value) -> Result<Found, Error> {
        Ok(match Reply::parse(reply, self.limit()).ok_or(Error::Reply("get"))? {
            Reply::Hit(State::Live, entry) => Found::Live(entry),
            Reply::Hit(State::Negative, entry) => Found::Negative(entry),
            Reply::Hit(State::Floor, entry) => Found::Floor(entry.version),
            Reply::Miss => Found::Miss,
            Reply::Stamped => {
                self.shared.counters.stamped.fetch_add(1, Relaxed);
                Found::Miss
            }
            Reply::Poisoned(bytes) => {
                self.remove(key, bytes).await?;
                Found::Miss
            }
            Reply::Wait(..) | Reply::Load(..) => return Err(Error::Reply("get")),
        })
    }

    async fn remove(&self, key: &Key, bytes: Vec<u8>) -> Result<(), Error> {
        self.shared.counters.poisoned.fetch_add(1, Relaxed);
        tracing::warn!(key = key.name(), "poisoned bytes in Redis are removed");
        let keys = [key.name(), &key.lease()];
        self.one(&self.shared.scripts.remove, &keys, &[bytes]).await.map(drop)
    }

    /// The keys of one slot.
    async fn group(&self, keys: &[&Key]) -> Vec<Result<Found, Error>> {
        if let [key] = keys {
            return vec![self.get(key).await];
        }
        let call = |key: &&Key| Call { keys: vec![key.name().to_owned()], args: self.read_args(key) };
        let calls: Vec<_> = keys.iter().map(call).collect();
        match self.run(&self.shared.scripts.read, &calls).await {
            Ok(replies) => {
                join_all(keys.iter().zip(replies).map(|(key, reply)| self.found(key, reply))).await
            }
            Err(error) => {
                // An error is no value that can be copied: the first key gets it, the others ask for themselves, which fails
                // as fast.
                let others = keys.iter().skip(1).map(|key| self.get(key));
                let mut found = vec![Err(error)];
                found.extend(join_all(others).await);
                found
            }
        }
    }

    async fn one(&self, script: &Script, keys: &[&str], args: &[Vec<u8>]) -> Result<Value, Error> {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let mut values = self.run(script, &[Call { keys, args: args.to_vec() }]).await?;
        values.pop().ok_or(Error::Reply(script.name))
    }

    async fn run(&self, script: &Script, calls: &[Call]) -> Result<Vec<Value>, Error> {
        let Options { timeout: limit, slow, .. } = self.shared.options;
        let (command, keys) = (script.name, calls.len());
        let start = Instant::now();
        let answer = match timeout(limit, self.backend.run(script, calls)).await {
            Ok(Ok(values)) if values.len() != keys => Err(Error::Reply(command)),
            Ok(answer) => answer,
            Err(_) => Err(Error::TimedOut { command, limit }),
        };
        let took = start.elapsed();
        self.shared.counters.record(Slow { command, keys, took, ok: answer.is_ok() }, slow);
        answer
    }
}

fn set_args(key: &Key, state: State, version: Option<u64>, ttl: Duration) -> Vec<Vec<u8>> {
    let state = match state {
        State::Live => "L",
        State::Negative => "N",
        State::Floor => "F",
    };
    let version = version.map(|version| format!("{version:020}")).unwrap_or_default();
    vec![state.into(), version.into_bytes(), key.epoch_digits().into_bytes(), millis(ttl)]
}

/// Milliseconds for `PX`, which takes no 0.
fn millis(time: Duration) -> Vec<u8> {
    number(time.max(Duration::from_millis(1)))
}

/// Milliseconds; eight years at most, so that the script's sums stay exact and above 0.
fn number(time: Duration) -> Vec<u8> {
    time.as_millis().min(1 << 38).to_string().into_bytes()
}
