//! A Redis Cluster as the back end, by redis-rs.

use std::sync::{Arc, PoisonError, RwLock};

use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{ClientTlsConfig, Cmd, ErrorKind, RedisError, ServerErrorKind, TlsCertificates};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::silence::Silence;
use super::{Backend, Call, Error, Options, Script, Tls, Value, key};

/// Connections to a Redis Cluster, one a node; clones share them.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    nodes: Vec<String>,
    options: Options,
    client: RwLock<ClusterConnection>,
    /// Held by who replaces the client.
    replacing: Mutex<()>,
    silence: Silence,
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
        let shared = Shared {
            nodes: nodes.to_vec(),
            options: options.clone(),
            client: RwLock::new(connection),
            replacing: Mutex::default(),
            silence: Silence::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Takes a fresh client. One caller at a time; the others go on with what there is.
    async fn replace(&self) {
        let Ok(_replacing) = self.shared.replacing.try_lock() else { return };
        match Box::pin(connect(&self.shared.nodes, &self.shared.options)).await {
            Ok(connection) => {
                tracing::warn!("a part of the Redis Cluster has not answered for long: connected anew");
                *self.shared.client.write().unwrap_or_else(PoisonError::into_inner) = connection;
                self.shared.silence.forget();
            }
            Err(error) => tracing::debug!(%error, "connecting anew to the Redis Cluster"),
        }
    }

    async fn ask(
        &self,
        script: &Script,
        calls: &[Call],
        hashed: bool,
    ) -> Result<Vec<redis::Value>, RedisError> {
        let mut connection = self.shared.client.read().unwrap_or_else(PoisonError::into_inner).clone();
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
        let asked = calls.first().and_then(|call| call.keys.first());
        let part = asked.map_or(0, |name| key::part(name));
        if self.shared.silence.begin(part) {
            self.replace().await;
        }
        let answer = match self.ask(script, calls, true).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.ask(script, calls, false).await
            }
            other => other,
        };
        let values = answer.map_err(|error| failed(script.name, error))?;
        self.shared.silence.heard(part);
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

async fn connect(nodes: &[String], options: &Options) -> Result<ClusterConnection, Error> {
    let address = || nodes.iter().map(|node| shown(node)).collect::<Vec<_>>().join(", ");
    let failed = |source: RedisError| Error::Connect { address: address(), source: Box::new(source) };
    let certificates = options.tls.as_ref().map(certificates);
    let mut client = ClusterClientBuilder::new(nodes.iter().map(String::as_str))
        .use_protocol(redis::ProtocolVersion::RESP3)
        .connection_timeout(options.connect_timeout)
        .response_timeout(options.timeout)
        .retries(3)
        .min_retry_wait(5)
        .max_retry_wait(50);
    if let Some(certificates) = &certificates {
        client = client.certs(certificates.clone());
    }
    let client = client.build().map_err(failed)?;
    // What a node says of itself is clearer than what the cluster client makes of it.
    let info = single(nodes, certificates.as_ref()).await;
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
async fn single(nodes: &[String], tls: Option<&TlsCertificates>) -> Result<String, RedisError> {
    let mut last = RedisError::from((ErrorKind::InvalidClientConfig, "no address of a node is given"));
    for node in nodes {
        let asked = async {
            let client = match tls {
                Some(tls) => redis::Client::build_with_tls(node.as_str(), tls.clone())?,
                None => redis::Client::open(node.as_str())?,
            };
            let mut connection = client.get_multiplexed_async_connection().await?;
            redis::cmd("CLUSTER").arg("INFO").query_async::<String>(&mut connection).await
        };
        match asked.await {
            Ok(info) => return Ok(info),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn certificates(tls: &Tls) -> TlsCertificates {
    let client_tls = tls.client.clone();
    let client_tls = client_tls.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    TlsCertificates { client_tls, root_cert: tls.ca.clone() }
}

/// An address without the password.
fn shown(node: &str) -> &str {
    node.rsplit_once('@').or_else(|| node.split_once("://")).map_or(node, |(_, address)| address)
}
