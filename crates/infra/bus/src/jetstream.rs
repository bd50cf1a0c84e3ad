//! A bus on NATS JetStream (feature `jetstream`): one stream a source, one publisher, any number of readers of the whole.
//!
//! - **Numbers are the publisher's**, in headers: `seq` counts from 1 in each epoch, whatever the stream's own sequence does. Each
//!   publisher begins an epoch above all earlier ones: the time in milliseconds, or above the last that is in the stream.
//! - **Order, and one publisher.** Records are published many at a time, each with the sequence that the stream must have before
//!   it, so one that is lost takes those behind it along, and they are sent again together. The same refuses a publisher that another one
//!   has followed: it ends with [`Error::Superseded`].
//! - **Each record once.** Its `Nats-Msg-Id` is source, epoch, number and the publisher's [`DedupId`](crate::DedupId): the
//!   server drops a second attempt. It is no use over epochs, whose numbers must have no holes.
//! - **A stream that lost what it had acknowledged** (deleted, or restored from before a crash) makes the publisher begin an
//!   epoch and send the batch again in it. Readers notice by the numbers alone.
//! - **Readers** have a consumer of their own without acknowledgements, never one of a group. When it is silent for
//!   too long they make another one, behind the last record that they have; whatever they miss shows in the numbers.
//! - **Workers** share the records under a name, which is a durable consumer with acknowledgements ([`Worker`]).

mod publisher;
mod reader;
mod wire;
mod worker;

use std::time::Duration;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode, context};
use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;
use tokio::time::timeout;

/// What [`Options::tls`] is.
pub use async_nats::rustls::ClientConfig;
pub use publisher::Publisher;
pub use reader::Reader;
pub use worker::{Job, Worker};

/// Where the stream is, and how it is bounded if it must be created.
#[derive(Clone)]
pub struct Options {
    /// `nats://user:password@host:port`, several with commas between them.
    pub url: String,
    /// The source: the stream is `aqueduct-SOURCE`, its subjects `aqueduct.SOURCE.TOPIC`. Letters, digits, `-` and `_`.
    pub source: String,
    /// The oldest records go when there are more bytes. A reader that is further behind has a gap.
    pub max_bytes: u64,
    /// They go when they are older, too.
    pub max_age: Duration,
    /// How long a second attempt at a record is known as such. Longer than a publisher may be cut off.
    pub duplicate_window: Duration,
    /// On how many servers of a NATS cluster each record is.
    pub replicas: usize,
    /// Records under way at a time.
    pub in_flight: usize,
    /// How long an answer may take before it is asked again.
    pub timeout: Duration,
    /// A reader that hears nothing for three times this long makes a consumer anew. The server says that it is alive as often.
    pub heartbeat: Duration,
    /// How long to wait before the server is tried again.
    pub retry: Duration,
    /// How the servers are verified; without it, a connection is encrypted only where the server demands it or the URL is `tls://`.
    pub tls: Option<ClientConfig>,
}

impl Options {
    /// 1 GiB, an hour, one server.
    pub fn new(url: &str, source: &str) -> Self {
        Self {
            url: url.to_owned(),
            source: source.to_owned(),
            max_bytes: 1 << 30,
            max_age: Duration::from_hours(1),
            duplicate_window: Duration::from_mins(5),
            replicas: 1,
            in_flight: 64,
            timeout: Duration::from_secs(5),
            heartbeat: Duration::from_millis(500),
            retry: Duration::from_millis(50),
            tls: None,
        }
    }

    /// Without a password.
    fn server(&self) -> String {
        let without = |url: &str| match url.split_once("://") {
            Some((scheme, rest)) => match rest.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://{host}"),
                None => url.to_owned(),
            },
            None => url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned(),
        };
        self.url.split(',').map(without).collect::<Vec<_>>().join(",")
    }

    fn check_source(&self) -> Result<(), Error> {
        let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
        if self.source.is_empty() || !self.source.chars().all(fits) {
            return Err(Error::Source(self.source.clone()));
        }
        Ok(())
    }

    fn stream(&self) -> String {
        format!("aqueduct-{}", self.source)
    }

    fn prefix(&self) -> String {
        format!("aqueduct.{}", self.source)
    }

    fn config(&self) -> stream::Config {
        stream::Config {
            name: self.stream(),
            subjects: vec![format!("{}.>", self.prefix())],
            description: Some("Aqueduct: what changed in one source, in order".to_owned()),
            max_bytes: i64::try_from(self.max_bytes).unwrap_or(i64::MAX),
            max_age: self.max_age,
            duplicate_window: self.duplicate_window.min(self.max_age),
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            num_replicas: self.replicas,
            ..stream::Config::default()
        }
    }
}

/// Without a password.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.server())
            .field("source", &self.source)
            .field("max_bytes", &self.max_bytes)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

/// Why a stream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name of a source is part of a subject.
    #[error("{0:?} cannot be the name of a source: letters, digits, `-` and `_` can")]
    Source(String),
    /// A topic is, too.
    #[error(
        "{0:?} cannot be a topic: words of visible characters but `*` and `>`, with dots between them, can"
    )]
    Topic(String),
    /// The server cannot be reached, or refuses us.
    #[error("cannot use NATS at {server}: {message}")]
    Unreachable {
        /// Where.
        server: String,
        /// What happened.
        message: String,
    },
    /// JetStream is off, full, or the stream is not fit for it.
    #[error("the stream {stream} at {server} cannot be used: {message}")]
    Stream {
        /// Where.
        server: String,
        /// Which.
        stream: String,
        /// What is wrong.
        message: String,
    },
    /// A record is longer than the server takes.
    #[error("a record of {size} bytes is longer than the server takes: raise its max_payload")]
    TooLong {
        /// Its payload's bytes.
        size: usize,
    },
    /// Another publisher of the same source has begun.
    #[error(
        "another publisher of {source_name} has begun, in epoch {theirs} after our {ours}: only one may run, and this one must end"
    )]
    Superseded {
        /// The source.
        source_name: String,
        /// Our epoch.
        ours: u64,
        /// The other's.
        theirs: u64,
    },
}

/// A connection to the server, and the stream.
#[derive(Clone, Debug)]
pub struct Bus {
    options: Options,
    client: Client,
    context: Context,
    /// How often the connection broke.
    broken: watch::Receiver<u64>,
}

impl Bus {
    /// Connects, and creates the stream if there is none.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        options.check_source()?;
        let unreachable = |message: String| Error::Unreachable { server: options.server(), message };
        let (breaks, broken) = watch::channel(0);
        let servers: Vec<&str> = options.url.split(',').map(str::trim).collect();
        let mut connect = ConnectOptions::new()
            .name(format!("aqueduct {}", options.source))
            .connection_timeout(options.timeout)
            .reconnect_delay_callback(|attempt| Duration::from_millis(if attempt == 0 { 0 } else { 100 }))
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected) {
                    breaks.send_modify(|count| *count += 1);
                }
                std::future::ready(())
            });
        if let Some(tls) = &options.tls {
            connect = connect.require_tls(true).tls_client_config(tls.clone());
        }
        let client = match timeout(options.timeout, Box::pin(connect.connect(servers))).await {
            Ok(client) => client.map_err(|error| unreachable(spelled(&error)))?,
            Err(_) => return Err(unreachable(format!("no answer in {:?}", options.timeout))),
        };
        let context = ContextBuilder::new()
            .timeout(options.timeout)
            .max_ack_inflight(options.in_flight * 4 + 64)
            .build(client.clone());
        let bus = Self { options, client, context, broken };
        bus.ensure_stream().await?;
        Ok(bus)
    }

    /// A publisher, which begins an epoch. An earlier one of the same source is of no use from its first record on.
    pub async fn publisher(&self) -> Result<Publisher, Error> {
        Publisher::new(self.clone()).await
    }

    /// A reader of everything that is published from now on.
    pub async fn subscribe(&self) -> Result<Reader, Error> {
        Reader::new(self.clone()).await
    }

    /// One of those that share the records of the source under `name` (letters, digits, `-` and `_`).
    pub async fn worker(&self, name: &str) -> Result<Worker, Error> {
        Worker::new(self.clone(), name).await
    }

    /// The stream of another source at the same server, over the same connection; created if there is none. What is kept of it is kept for
    /// `max_age`.
    pub async fn of_source(&self, source: &str, max_age: Duration) -> Result<Self, Error> {
        let options = Options { source: source.to_owned(), max_age, ..self.options.clone() };
        options.check_source()?;
        let bus = Self { options, ..self.clone() };
        bus.ensure_stream().await?;
        Ok(bus)
    }

    /// Whether the connection stands.
    pub fn connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    async fn ensure_stream(&self) -> Result<(), Error> {
        let info = if let Some(info) = self.info().await? {
            info
        } else {
            let created = Box::pin(self.context.get_or_create_stream(self.options.config())).await;
            created.map_err(|error| self.unfit(spelled(&error)))?.cached_info().clone()
        };
        let config = &info.config;
        if config.retention != RetentionPolicy::Limits {
            return Err(self.unfit("its retention is not `limits`: remove it, and it is created anew"));
        }
        if !config.subjects.contains(&format!("{}.>", self.options.prefix())) {
            return Err(self.unfit(format!("it does not have the subject {}.>", self.options.prefix())));
        }
        if config.storage != StorageType::File {
            return Err(self.unfit("it is in memory: remove it, and it is created anew in files"));
        }
        Ok(())
    }

    /// The stream as it is now; `None` if there is none.
    async fn info(&self) -> Result<Option<stream::Info>, Error> {
        match Box::pin(self.context.get_stream(self.options.stream())).await {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                context::GetStreamErrorKind::JetStream(inner)
                    if inner.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                context::GetStreamErrorKind::JetStream(inner) => Err(self.unfit(inner.to_string())),
                _ => Err(self.unreachable(spelled(&error))),
            },
        }
    }

    fn unfit(&self, message: impl Into<String>) -> Error {
        let (server, stream) = (self.options.server(), self.options.stream());
        Error::Stream { server, stream, message: message.into() }
    }

    fn unreachable(&self, message: String) -> Error {
        Error::Unreachable { server: self.options.server(), message }
    }
}

/// With its causes: the client's errors name their kind only.
fn spelled(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn a_password_is_never_shown() {
        let options = Options::new("nats://user:secret@a:1, nats://b:2", "s");
        assert_eq!(options.server(), "nats://a:1, nats://b:2");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
