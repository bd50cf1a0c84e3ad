//! A reader of the whole stream, with a consumer of its own that lives as long as somebody listens.

use std::sync::Arc;

use async_nats::jetstream::consumer::push::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy};
use async_nats::{Message, StatusCode, Subscriber, jetstream};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use super::wire::{self, Number};
use super::{Bus, Error, spelled};
use crate::publish::Subscribe;
use crate::record::{Delivery, Record};

/// Reads a source from the moment it subscribed. What it missed, it says.
#[derive(Debug)]
pub struct Reader {
    bus: Bus,
    source: Arc<str>,
    prefix: String,
    subscriber: Option<Subscriber>,
    /// The stream's sequence of the last message, or of the last before it subscribed.
    stream_seq: u64,
    /// The consumer's own count of messages.
    delivered: u64,
    last: Option<Number>,
    /// Comes behind a gap.
    next: Option<Record>,
}

/// What a message comes to.
enum Taken {
    Delivery(Delivery),
    Nothing,
    /// Something is missing before it: to be listened to anew.
    Broken,
}

impl Reader {
    pub(super) async fn new(bus: Bus) -> Result<Self, Error> {
        let source: Arc<str> = bus.options.source.as_str().into();
        let prefix = bus.options.prefix();
        let mut reader = Self {
            bus,
            source,
            prefix,
            subscriber: None,
            stream_seq: 0,
            delivered: 0,
            last: None,
            next: None,
        };
        reader.stream_seq = reader.end().await?;
        reader.listen().await?;
        Ok(reader)
    }

    async fn end(&self) -> Result<u64, Error> {
        self.bus.ensure_stream().await?;
        Ok(self.bus.info().await?.map_or(0, |info| info.state.last_sequence))
    }

    /// Makes a consumer of what comes after the last message.
    async fn listen(&mut self) -> Result<(), Error> {
        let Bus { client, context, options, .. } = &self.bus;
        let inbox = client.new_inbox();
        let subscribed = client.subscribe(inbox.clone()).await;
        let subscriber = subscribed.map_err(|error| self.bus.unreachable(spelled(&error)))?;
        let config = Config {
            deliver_subject: inbox,
            description: Some("Aqueduct: a reader of the whole stream".to_owned()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.stream_seq + 1 },
            ack_policy: AckPolicy::None,
            max_deliver: 1,
            replay_policy: ReplayPolicy::Instant,
            idle_heartbeat: options.heartbeat,
            num_replicas: 1,
            memory_storage: true,
            inactive_threshold: options.heartbeat * 20,
            ..Config::default()
        };
        let created = Box::pin(context.create_consumer_on_stream(config, options.stream())).await;
        created.map_err(|error| self.bus.unreachable(spelled(&error)))?;
        self.subscriber = Some(subscriber);
        self.delivered = 0;
        Ok(())
    }

    /// Listens again, however long it takes. A stream that ends before what was read from it is another one: whether something
    /// was missed is not known, so it was.
    async fn listen_again(&mut self) -> Option<Delivery> {
        self.subscriber = None;
        loop {
            let went = timeout(self.bus.options.timeout, Box::pin(self.try_again())).await;
            match went {
                Ok(Ok(delivery)) => return delivery,
                Ok(Err(error)) => tracing::debug!(%error, source = &*self.source, "cannot listen yet"),
                Err(_) => tracing::debug!(source = &*self.source, "cannot listen yet: no answer in time"),
            }
            sleep(self.bus.options.retry).await;
        }
    }

    async fn try_again(&mut self) -> Result<Option<Delivery>, Error> {
        let end = self.end().await?;
        let went_back = end < self.stream_seq;
        if went_back {
            self.stream_seq = end;
        }
        self.listen().await?;
        if went_back {
            self.last = None;
            return Ok(Some(Delivery::Gap { missed: 1 }));
        }
        Ok(None)
    }

    fn take(&mut self, message: Message) -> Taken {
        if message.status == Some(StatusCode::IDLE_HEARTBEAT) {
            // It names the last message that the consumer sent; one that is missing was dropped on its way.
            let sent = message.headers.as_ref().and_then(|headers| headers.get("Nats-Last-Consumer"));
            let sent = sent.and_then(|sent| sent.as_str().parse::<u64>().ok());
            let all = sent.is_none_or(|sent| sent == self.delivered);
            return if all { Taken::Nothing } else { Taken::Broken };
        }
        if message.status.is_some() {
            return Taken::Broken;
        }
        let context = self.bus.context.clone();
        let message = jetstream::Message { message, context };
        let Ok(info) = message.info() else { return Taken::Nothing };
        let (delivered, stream_seq) = (info.consumer_sequence, info.stream_sequence);
        if delivered != self.delivered + 1 {
            return Taken::Broken;
        }
        self.delivered = delivered;
        self.stream_seq = stream_seq;
        let message = message.message;
        let number = message.headers.as_ref().and_then(|headers| wire::number(headers, &self.source));
        let Some(number) = number else {
            tracing::warn!(
                source = &*self.source,
                stream_seq,
                "a message that no publisher of ours wrote is left out"
            );
            return Taken::Nothing;
        };
        let record = wire::record(&self.prefix, &self.source, number, message);
        Taken::Delivery(self.deliver(number, record))
    }

    /// Another epoch speaks for itself. In the same one the numbers have no holes and do not go back.
    fn deliver(&mut self, number: Number, record: Record) -> Delivery {
        let before = self.last.replace(number).filter(|before| before.epoch == number.epoch);
        let missed = before.map_or(0, |before| match number.seq.checked_sub(before.seq) {
            Some(1) => 0,
            Some(ahead) if ahead > 1 => ahead - 1,
            _ => 1,
        });
        if missed == 0 {
            return Delivery::Record(Arc::new(record));
        }
        self.next = Some(record);
        Delivery::Gap { missed }
    }
}

impl Subscribe for Reader {
    /// Never ends by itself: a server that is gone is waited for.
    async fn recv(&mut self) -> Option<Delivery> {
        if let Some(record) = self.next.take() {
            return Some(Delivery::Record(Arc::new(record)));
        }
        loop {
            let Some(subscriber) = &mut self.subscriber else {
                if let Some(delivery) = self.listen_again().await {
                    return Some(delivery);
                }
                continue;
            };
            match timeout(self.bus.options.heartbeat * 3, subscriber.next()).await {
                Ok(Some(message)) => match self.take(message) {
                    Taken::Delivery(delivery) => return Some(delivery),
                    Taken::Nothing => {}
                    Taken::Broken => self.subscriber = None,
                },
                // Silence, or a client that was closed.
                Ok(None) | Err(_) => self.subscriber = None,
            }
        }
    }
}
