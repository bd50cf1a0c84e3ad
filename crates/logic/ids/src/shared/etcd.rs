//! The register in etcd (3.4 and later): a key a worker number, whose version is etcd's `mod_revision`.
//!
//! Of etcd's own leases no use is made: a key that etcd deletes at the end of a term would take the mark with it.
//!
//! The client is tonic's, with the few messages written out in `wire`. The crate `etcd-client` would need `protoc` on the
//! machine that builds, and etcd's HTTP+JSON gateway an HTTP client that nothing else here needs.

mod wire;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::{Entry, Register, RegisterError, Row, Settings};
use wire::{Compare, KeyValue, Put, Range, RangeAnswer, Txn, TxnAnswer};

/// A member that does not answer is not waited for; the next one is asked.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// A connection that died without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(2);
const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";

/// The register below a prefix of keys.
#[derive(Clone)]
pub struct Etcd {
    /// One a member, connected when it is first asked. tonic's own balancing would go on asking members that are away.
    members: Arc<[Channel]>,
    /// The one to ask.
    turn: Arc<AtomicUsize>,
    prefix: String,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Etcd {
    /// In the cluster at `endpoints` (`http://host:port`, without TLS), below `prefix`, such as `/aqueduct/ids/`. Connects when it
    /// is first asked. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// An endpoint that is no URL, or none at all.
    pub fn new(endpoints: &[String], prefix: &str) -> Result<Self, RegisterError> {
        let member = |url: &String| {
            let endpoint = Endpoint::from_shared(url.clone());
            let endpoint = endpoint.map_err(|error| RegisterError(format!("{url} is no URL: {error}")))?;
            Ok(endpoint
                .connect_timeout(CONNECT_WITHIN)
                .http2_keep_alive_interval(KEEPALIVE)
                .keep_alive_timeout(KEEPALIVE)
                .tcp_nodelay(true)
                .connect_lazy())
        };
        let members = endpoints.iter().map(member).collect::<Result<Arc<[_]>, RegisterError>>()?;
        if members.is_empty() {
            return Err(RegisterError("no member of etcd is named".to_owned()));
        }
        Ok(Self { members, turn: Arc::default(), prefix: prefix.to_owned() })
    }

    fn settings_key(&self) -> String {
        format!("{}settings", self.prefix)
    }

    fn worker_key(&self, worker: u16) -> String {
        // With leading zeros, so that they are listed in order.
        format!("{}workers/{worker:05}", self.prefix)
    }

    /// Asks one member after the other, until one answers. That an earlier one may have done what it was asked is no harm: a swap
    /// that is made again finds another version.
    async fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A, RegisterError>
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut last = RegisterError("etcd: nobody was asked".to_owned());
        for _ in 0..self.members.len() {
            // The next one's turn already: whoever gives up waiting does not ask the same one again.
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let member = self.members[turn % self.members.len()].clone();
            match unary(member, path, question.clone()).await {
                Ok(answer) => {
                    self.turn.store(turn, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(why) => last = RegisterError(format!("etcd: {why}")),
            }
        }
        Err(last)
    }

    async fn range(&self, first: String, end: Option<String>) -> Result<Vec<KeyValue>, RegisterError> {
        let range = Range { key: first.into_bytes(), range_end: end.unwrap_or_default().into_bytes() };
        Ok(self.ask::<_, RangeAnswer>(RANGE, range).await?.kvs)
    }

    /// Writes a key if its `mod_revision` is `expect`, and answers the new one.
    async fn put(&self, key: String, expect: u64, value: String) -> Result<Option<u64>, RegisterError> {
        let key = key.into_bytes();
        let compare = Compare::last_written(key.clone(), expect.cast_signed());
        let txn =
            Txn { compare: vec![compare], success: vec![Put { key, value: value.into_bytes() }.into()] };
        let answer: TxnAnswer = self.ask(TXN, txn).await?;
        let revision = answer.header.map_or(0, |header| header.revision).cast_unsigned();
        Ok(answer.succeeded.then_some(revision))
    }
}

async fn unary<Q, A>(member: Channel, path: &'static str, question: Q) -> Result<A, String>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let mut client = Grpc::new(member);
    client.ready().await.map_err(|error| causes(error.to_string(), &error))?;
    let (request, path) = (tonic::Request::new(question), PathAndQuery::from_static(path));
    let answer = client.unary(request, path, ProstCodec::<Q, A>::default()).await;
    Ok(answer.map_err(|status| causes(status.message().to_owned(), &status))?.into_inner())
}

/// tonic says "transport error", and why only below that.
fn causes(message: String, error: &(dyn Error + 'static)) -> String {
    let below = std::iter::successors(error.source(), |error| (*error).source()).map(ToString::to_string);
    std::iter::once(message).chain(below).collect::<Vec<_>>().join(": ")
}

impl Register for Etcd {
    fn place(&self) -> String {
        format!("the prefix {} in etcd", self.prefix)
    }

    async fn settings(&self, proposed: Settings) -> Result<Settings, RegisterError> {
        let Settings { sequence_bits, epoch_ms } = proposed;
        self.put(self.settings_key(), 0, format!("{sequence_bits} {epoch_ms}")).await?;
        let stored = self.range(self.settings_key(), None).await?;
        let stored = stored.first().and_then(|stored| {
            let (bits, epoch) = std::str::from_utf8(&stored.value).ok()?.split_once(' ')?;
            Some(Settings { sequence_bits: bits.parse().ok()?, epoch_ms: epoch.parse().ok()? })
        });
        stored.ok_or_else(|| damaged(&self.settings_key()))
    }

    async fn read(&self) -> Result<Vec<(u16, Entry)>, RegisterError> {
        // `0` is what follows `/`.
        let (first, end) = (format!("{}workers/", self.prefix), format!("{}workers0", self.prefix));
        let stored = self.range(first, Some(end)).await?;
        stored.iter().map(|stored| entry(stored).ok_or_else(|| damaged(&key_of(stored)))).collect()
    }

    async fn swap(&self, worker: u16, expect: u64, row: Row) -> Result<Option<u64>, RegisterError> {
        self.put(self.worker_key(worker), expect, format!("{} {}", row.mark, row.holder)).await
    }
}

/// `MARK HOLDER`, readable with etcdctl.
fn entry(stored: &KeyValue) -> Option<(u16, Entry)> {
    let (_, worker) = std::str::from_utf8(&stored.key).ok()?.rsplit_once('/')?;
    let (mark, holder) = std::str::from_utf8(&stored.value).ok()?.split_once(' ')?;
    let row = Row { holder: holder.to_owned(), mark: mark.parse().ok()? };
    let version = u64::try_from(stored.mod_revision).ok()?;
    Some((worker.parse().ok()?, Entry { version, row }))
}

fn key_of(stored: &KeyValue) -> String {
    String::from_utf8_lossy(&stored.key).into_owned()
}

fn damaged(key: &str) -> RegisterError {
    RegisterError(format!("etcd: what is stored at {key} was not written by this program"))
}
