//! A Redis Cluster as the back end, by redis-rs.

use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind};
use tokio::time::timeout;

use super::{Backend, Call, Error, Options, Script, Value};

/// Connections to a Redis Cluster, one a node; clones share them.
#[derive(Clone)]
pub struct Cluster {
    connection: ClusterConnection,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Connects to the cluster that has these nodes (`redis://user:password@host:port`), over RESP3, and sees that it serves all slots.
    /// The client's own task runs on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When nobody answers, the server is no cluster or refuses us, slots are not served, or the options are wrong.
    pub async fn connect(nodes: &[String], options: &Options) -> Result<Self, Error> {
        options.validate()?;
        let limit = options.connect_timeout;
        let late = |_| Error::TimedOut { command: "connect", limit };
        let connection = timeout(limit, connect(nodes, options)).await.map_err(late)??;
        Ok(Self { connection })
    }

    async fn ask(&self, script: &Script, calls: &[Call], hashed: bool) -> Result<Vec<redis::Value>, RedisError> {
        let mut connection = self.connection.clone();
        if let [call] = calls {
            return command(script, call, hashed).query_async(&mut connection).await.map(|value| vec![value]);
        }
        let mut pipeline = redis::pipe();
        for call in calls {
            pipeline.add_command(command(script, call, hashed));
        }
        pipeline.query_async(&mut connection).await
    }
}

impl Backend for Cluster {
    /// Asks by the script's hash, and with its text when the node does not know it. `SCRIPT LOAD`, as redis-rs would do it,
    /// goes to all nodes, and fails while one of them is down.
    async fn run(&self, script: &Script, calls: &[Call]) -> Result<Vec<Value>, Error> {
        let answer = match self.ask(script, calls, true).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.ask(script, calls, false).await
            }
            other => other,
        };
        let values = answer.map_err(|error| failed(script.name, error))?;
        values.into_iter().map(|value| read(value).ok_or(Error::Reply(script.name))).collect()
    }
}

fn command(script: &Script, call: &Call, hashed: bool) -> Cmd {
    let mut command = redis::cmd(if hashed { "EVALSHA" } else { "EVAL" });
    command.arg(if hashed { &script.hash } else { &script.text }).arg(call.keys.len()).arg(&call.keys);
    for arg in &call.args {
        command.arg(arg.as_slice());
    }
    command
}

fn read(value: redis::Value) -> Option<Value> {
    Some(match value {
        redis::Value::Nil => Value::Nil,
        redis::Value::Int(number) => Value::Int(number),
        redis::Value::BulkString(bytes) => Value::Bytes(bytes),
        redis::Value::SimpleString(text) => Value::Bytes(text.into_bytes()),
        redis::Value::Okay => Value::Bytes(b"OK".to_vec()),
        redis::Value::Array(values) => Value::Array(values.into_iter().map(read).collect::<Option<_>>()?),
        _ => return None,
    })
}

fn failed(command: &'static str, source: RedisError) -> Error {
    match source.kind() {
        ErrorKind::Server(ServerErrorKind::ClusterDown) => Error::Uncovered(source.to_string()),
        _ => Error::Redis { command, source: Box::new(source) },
    }
}

async fn connect(nodes: &[String], options: Options) -> Result<Self, Error> {
        Self::with_scripts(nodes, options, None).await
    }

    /// Connects with scripts of which one promise is broken.
    ///
    /// # Errors
    ///
    /// As [`Store::connect`].
    #[cfg(feature = "mutations")]
    pub async fn connect_broken(
        nodes: &[String],
        options: Options,
        mutation: Mutation,
    ) -> Result<Self, Error> {
        Self::with_scripts(nodes, options, Some(mutation)).await
    }

    async fn with_scripts(
        nodes: &[String],
        options: Options,
        mutation: Option<Mutation>,
    ) -> Result<Self, Error> {
        options.validate()?;
        let limit = options.connect_timeout;
        let late = |_| Error::TimedOut { command: "connect", limit };
        let connection = timeout(limit, connect(nodes, &options)).await.map_err(late)??;
        let random = RandomState::new();
        let shared = Shared {
            scripts: Scripts::new(mutation),
            counters: Counters::default(),
            seed: [random.hash_one(0), random.hash_one(1)],
            leases: AtomicU64::new(0),
            options,
        };
        Ok(Self { connection, shared: Arc::new(shared) })
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

    /// Reads many keys: those of one slot in one pipeline, all slots at once. The answers are in the keys' order; a part of
    /// the cluster that does not answer fails its own keys only.
    pub async fn get_many(&self, keys: &[Key]) -> Vec<Result<Found, Error>> {
        let mut slots: HashMap<Slot, Vec<usize>> = HashMap::new();
        for (index, key) in keys.iter().enumerate() {
            slots.entry(Slot::for_key(key.name())).or_default().push(index);
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
        let data = entry.data.as_deref().unwrap_or_default();
        let limit = self.shared.options.max_value;
        if data.len() > limit {
            return Err(Error::TooLarge { size: data.len(), limit });
        }
        let state = if entry.data.is_some() { State::Live } else { State::Negative };
        let mut args = set_args(key, state, entry.version, ttl);
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
        let mut args = set_args(key, State::Floor, floor, self.shared.options.floor);
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
        let mut args = set_args(key, State::Negative, version.saturating_add(1), ttl);
        args.extend([Vec::new(), number(ttl), b"0".to_vec(), Vec::new()]);
        self.set(key, &args).await.map(drop)
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
            Reply::Hit(State::Negative, entry) => Found::Negative(entry.version),
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
        let script = &self.shared.scripts.read;
        let ask = async |hashed| {
            let mut pipeline = redis::pipe();
            for key in keys {
                pipeline.add_command(script.command(hashed, &[key.name()], &self.read_args(key)));
            }
            pipeline.query_async::<Vec<Value>>(&mut self.connection.clone()).await
        };
        match self.timed(script.name, keys.len(), ask).await {
            Ok(replies) if replies.len() == keys.len() => {
                join_all(keys.iter().zip(replies).map(|(key, reply)| self.found(key, reply))).await
            }
            Ok(_) => keys.iter().map(|_| Err(Error::Reply("get"))).collect(),
            Err(error) => {
                // An error of Redis is no value that can be copied: the first key gets it, the others ask for themselves,
                // which fails as fast.
                let others = keys.iter().skip(1).map(|key| self.get(key));
                let mut found = vec![Err(error)];
                found.extend(join_all(others).await);
                found
            }
        }
    }

    async fn one(&self, script: &Loaded, keys: &[&str], args: &[Vec<u8>]) -> Result<Value, Error> {
        let ask = async |hashed| {
            script.command(hashed, keys, args).query_async::<Value>(&mut self.connection.clone()).await
        };
        self.timed(script.name, 1, ask).await
    }

    /// Asks by the script's hash, and with its text when the node does not know it. `SCRIPT LOAD`, as redis-rs would do it, goes
    /// to all nodes, and fails while one of them is down.
    async fn timed<T>(
        &self,
        command: &'static str,
        keys: usize,
        ask: impl AsyncFn(bool) -> Result<T, RedisError>,
    ) -> Result<T, Error> {
        let Options { timeout: limit, slow, .. } = self.shared.options;
        let start = Instant::now();
        let both = async {
            match ask(true).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    ask(false).await
                }
                other => other,
            }
        };
        let answer = match timeout(limit, both).await {
            Ok(answer) => answer.map_err(|error| Error::from_redis(command, error)),
            Err(_) => Err(Error::TimedOut { command, limit }),
        };
        let took = start.elapsed();
        self.shared.counters.record(Slow { command, keys, took, ok: answer.is_ok() }, slow);
        answer
    }
}

impl Loaded {
    fn command(&self, hashed: bool, keys: &[&str], args: &[Vec<u8>]) -> Cmd {
        let mut command = redis::cmd(if hashed { "EVALSHA" } else { "EVAL" });
        command.arg(if hashed { &self.hash } else { &self.text }).arg(keys.len()).arg(keys);
        for arg in args {
            command.arg(arg.as_slice());
        }
        command
    }
}

async fn connect(nodes: &[String], options: &Options) -> Result<ClusterConnection, Error> {
    let address = || nodes.iter().map(|node| shown(node)).collect::<Vec<_>>().join(", ");
    let failed = |source: RedisError| Error::Connect { address: address(), source: Box::new(source) };
    let client = ClusterClientBuilder::new(nodes.iter().map(String::as_str))
        .use_protocol(redis::ProtocolVersion::RESP3)
        .connection_timeout(options.connect_timeout)
        .response_timeout(options.timeout)
        .retries(3)
        .min_retry_wait(5)
        .max_retry_wait(50)
        .build()
        .map_err(failed)?;
    // What a node says of itself is clearer than what the cluster client makes of it.
    let info = single(nodes).await;
    match info {
        Ok(info) if !info.contains("cluster_state:ok") || !info.contains("cluster_slots_assigned:16384") => {
            let says = info.lines().take(3).collect::<Vec<_>>().join(", ");
            return Err(Error::Uncovered(says));
        }
        Err(error) if error.to_string().contains("cluster support disabled") => {
            return Err(Error::NoCluster(address()));
        }
        Err(error) => return Err(failed(error)),
        Ok(_) => {}
    }
    client.get_async_connection().await.map_err(failed)
}

/// `CLUSTER INFO` of the first node that answers.
async fn single(nodes: &[String]) -> Result<String, RedisError> {
    let mut last = RedisError::from((ErrorKind::InvalidClientConfig, "no address of a node is given"));
    for node in nodes {
        let asked = async {
            let mut connection =
                redis::Client::open(node.as_str())?.get_multiplexed_async_connection().await?;
            redis::cmd("CLUSTER").arg("INFO").query_async::<String>(&mut connection).await
        };
        match asked.await {
            Ok(info) => return Ok(info),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// An address without the password.
fn shown(node: &str) -> &str {
    node.rsplit_once('@').or_else(|| node.split_once("://")).map_or(node, |(_, address)| address)
}
