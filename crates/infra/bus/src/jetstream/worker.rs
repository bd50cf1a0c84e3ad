//! A share of a source's records: each goes to one of all workers of a name, and to another one when that does not say that it is done.
//!
//! Unlike a [`Reader`](super::Reader), which hears what is published from now on, a worker's place is the server's, under its name:
//! what was published while none was there is still to be done. It is kept for as long as the stream keeps it ([`Options`]).
//!
//! [`Options`]: super::Options

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Config, Stream};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use super::wire::{self, Number};
use super::{Bus, Error, spelled};
use crate::record::Record;

/// Records that a worker has at hand. Few, so that those of one that is gone do not wait for long.
const AHEAD: usize = 32;
/// How long one asks for them before it asks again.
const EXPIRES: Duration = Duration::from_secs(30);
/// After so long without a word a record goes to another worker.
const PATIENCE: Duration = Duration::from_secs(10);

/// One of those that share a source's records under a name.
#[expect(missing_debug_implementations, reason = "the client's stream has none")]
pub struct Worker {
    bus: Bus,
    name: String,
    source: Arc<str>,
    prefix: String,
    messages: Option<Stream>,
}

/// A record to be worked on. Dropped, it goes to another worker after a while.
#[derive(Debug)]
pub struct Job {
    /// What was published.
    pub record: Record,
    message: Message,
}

impl Worker {
    pub(super) async fn new(bus: Bus, name: &str) -> Result<Self, Error> {
        let source: Arc<str> = bus.options.source.as_str().into();
        let prefix = bus.options.prefix();
        let mut worker = Self { bus, name: name.to_owned(), source, prefix, messages: None };
        worker.messages = Some(worker.join().await?);
        Ok(worker)
    }

    /// The next record. Waits for a server that is gone. Cancel-safe.
    pub async fn next(&mut self) -> Job {
        loop {
            let Some(messages) = &mut self.messages else {
                match timeout(self.bus.options.timeout, Box::pin(self.join())).await {
                    Ok(Ok(messages)) => {
                        self.messages = Some(messages);
                        continue;
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%error, source = &*self.source, worker = self.name, "cannot ask for work yet");
                    }
                    Err(_) => {
                        tracing::debug!(source = &*self.source, worker = self.name, "no answer in time");
                    }
                }
                sleep(self.bus.options.retry).await;
                continue;
            };
            match messages.next().await {
                Some(Ok(message)) => match self.job(message) {
                    Ok(job) => return job,
                    // No publisher of ours wrote it: nobody will know what to do with it.
                    Err(message) => drop(message.ack().await),
                },
                Some(Err(error)) => {
                    tracing::debug!(%error, source = &*self.source, worker = self.name, "asking for work anew");
                    self.messages = None;
                }
                None => self.messages = None,
            }
        }
    }

    /// The place under this name; the first that asks for it makes it, at the stream's beginning.
    async fn join(&self) -> Result<Stream, Error> {
        self.bus.ensure_stream().await?;
        let config = Config {
            durable_name: Some(self.name.clone()),
            description: Some("Aqueduct: shares the records among workers".to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: PATIENCE,
            ..Config::default()
        };
        let stream = Box::pin(self.bus.context.get_stream_no_info(self.bus.options.stream())).await;
        let stream = stream.map_err(|error| self.bus.unreachable(spelled(&error)))?;
        let consumer = Box::pin(stream.get_or_create_consumer(&self.name, config)).await;
        let consumer = consumer.map_err(|error| self.bus.unreachable(spelled(&error)))?;
        let asked = consumer.stream().max_messages_per_batch(AHEAD).expires(EXPIRES);
        let messages = Box::pin(asked.heartbeat(self.bus.options.heartbeat).messages()).await;
        messages.map_err(|error| self.bus.unreachable(spelled(&error)))
    }

    fn job(&self, message: Message) -> Result<Job, Box<Message>> {
        let headers = message.message.headers.as_ref();
        let number: Option<Number> = headers.and_then(|headers| wire::number(headers, &self.source));
        let Some(number) = number else { return Err(Box::new(message)) };
        let record = wire::record(&self.prefix, &self.source, number, message.message.clone());
        Ok(Job { record, message })
    }
}

impl Job {
    /// It is done. Should that not reach the server, it comes again.
    pub async fn done(self) {
        drop(self.message.ack().await);
    }

    /// It cannot be done now: it comes again, to some worker, after a while.
    pub async fn again(self, after: Duration) {
        drop(self.message.ack_with(AckKind::Nak(Some(after))).await);
    }
}
