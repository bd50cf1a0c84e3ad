//! The one publisher of a source.

use std::collections::VecDeque;
use std::ops::Range;

use aqueduct_runtime::clock;
use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use tokio::time::{sleep, timeout};

use super::wire::{self, Number};
use super::{Bus, Error, spelled};
use crate::publish::{DedupId, Publish};
use crate::record::Draft;

/// Publishes in an epoch of its own.
#[derive(Debug)]
pub struct Publisher {
    bus: Bus,
    epoch: u64,
    /// The number of the last record that was acknowledged in this epoch.
    seq: u64,
    /// The stream's sequence behind it.
    stream_seq: u64,
}

/// What an attempt came to.
enum Went {
    Through,
    /// Something was lost or is in doubt: to be looked at.
    Doubtful(String),
}

/// What the stream ends with.
struct End {
    sequence: u64,
    /// Of the last record that a publisher of this source wrote, if it is still there.
    last: Option<Number>,
    empty: bool,
}

impl Publisher {
    pub(super) async fn new(bus: Bus) -> Result<Self, Error> {
        let end = end(&bus).await?;
        let mut publisher = Self { bus, epoch: 0, seq: 0, stream_seq: end.sequence };
        publisher.begin_epoch(end.last);
        Ok(publisher)
    }

    /// Above the last and, where nothing is left of it, above the time at which it can have been. The numbers of the last
    /// count as well, so that epoch and number in one word only grow.
    fn begin_epoch(&mut self, last: Option<Number>) {
        let after = |number: Number| number.epoch + 1 + (number.seq >> 20);
        let own = after(Number { epoch: self.epoch, seq: self.seq });
        self.epoch = clock::now_unix_ms().max(own).max(last.map_or(0, after));
        self.seq = 0;
    }

    /// Sends what comes after the last acknowledged, and waits for the acknowledgements.
    async fn attempt(&mut self, drafts: &[(DedupId, Draft)]) -> Result<Went, Error> {
        let mut broken = self.bus.broken.clone();
        broken.mark_unchanged();
        let mut under_way: VecDeque<PublishAckFuture> = VecDeque::new();
        let mut unsent = drafts.iter().enumerate();
        loop {
            while under_way.len() < self.bus.options.in_flight
                && let Some((at, (id, draft))) = unsent.next()
            {
                // What is under way has not moved `seq` on yet.
                match self.send(under_way.len() as u64 + 1, id, draft).await? {
                    Ok(ack) => under_way.push_back(ack),
                    Err(why) => return Ok(Went::Doubtful(format!("record {at} was not sent: {why}"))),
                }
            }
            let Some(next) = under_way.pop_front() else { return Ok(Went::Through) };
            let ack = tokio::select! {
                biased;
                ack = next.into_future() => ack,
                _ = broken.changed() => return Ok(Went::Doubtful("the connection broke".to_owned())),
            };
            match ack {
                Ok(ack) if ack.sequence == self.stream_seq + 1 => {
                    self.stream_seq += 1;
                    self.seq += 1;
                }
                Ok(ack) => {
                    let (is, must) = (ack.sequence, self.stream_seq + 1);
                    return Ok(Went::Doubtful(format!("it is at {is} in the stream instead of {must}")));
                }
                Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                    return Err(Error::TooLong { size: 0 });
                }
                Err(error) => return Ok(Went::Doubtful(spelled(&error))),
            }
        }
    }

    async fn send(
        &self,
        ahead: u64,
        id: &DedupId,
        draft: &Draft,
    ) -> Result<Result<PublishAckFuture, String>, Error> {
        let options = &self.bus.options;
        let number = Number { epoch: self.epoch, seq: self.seq + ahead };
        let headers = wire::headers(&options.source, number, id, draft, self.stream_seq + ahead - 1);
        let subject = wire::subject(&options.prefix(), &draft.topic)?;
        let message = PublishMessage::build().payload(draft.payload.clone()).headers(headers);
        match self.bus.context.send_publish(subject, message).await {
            Ok(ack) => Ok(Ok(ack)),
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                Err(Error::TooLong { size: draft.payload.len() })
            }
            Err(error) => Ok(Err(spelled(&error))),
        }
    }

    /// Looks what the stream really has of this epoch. Returns whether that is all that was acknowledged; if not, there is
    /// another epoch now.
    async fn look(&mut self) -> Result<bool, Error> {
        let end = self.wait_end().await?;
        let ours = match end.last {
            Some(Number { epoch, .. }) if epoch > self.epoch => {
                let source_name = self.bus.options.source.clone();
                return Err(Error::Superseded { source_name, ours: self.epoch, theirs: epoch });
            }
            Some(Number { epoch, seq }) if epoch == self.epoch => Some(seq),
            // All that there was may have become too old by now.
            None if end.empty && end.sequence >= self.stream_seq => Some(self.seq),
            _ if self.seq == 0 => Some(0),
            _ => None,
        };
        self.stream_seq = end.sequence;
        match ours {
            Some(seq) if seq >= self.seq => {
                self.seq = seq;
                Ok(true)
            }
            _ => {
                let source = &self.bus.options.source;
                tracing::warn!(
                    source,
                    "the stream lost records that it had acknowledged: beginning another epoch"
                );
                self.begin_epoch(end.last);
                Ok(false)
            }
        }
    }

    async fn wait_end(&self) -> Result<End, Error> {
        loop {
            match timeout(self.bus.options.timeout, end(&self.bus)).await {
                Ok(Ok(end)) => return Ok(end),
                Ok(Err(error)) => tracing::debug!(%error, "the stream's end is not known"),
                Err(_) => tracing::debug!("the stream's end is not known in time"),
            }
            sleep(self.bus.options.retry).await;
        }
    }
}

async fn end(bus: &Bus) -> Result<End, Error> {
    let Some(info) = bus.info().await? else {
        bus.ensure_stream().await?;
        return Ok(End { sequence: 0, last: None, empty: true });
    };
    let sequence = info.state.last_sequence;
    let empty = info.state.messages == 0;
    let mut end = End { sequence, last: None, empty };
    if !empty {
        let stream = Box::pin(bus.context.get_stream_no_info(bus.options.stream())).await;
        let stream = stream.map_err(|error| bus.unreachable(spelled(&error)))?;
        let message = Box::pin(stream.get_raw_message(sequence)).await;
        let message = message.map_err(|error| bus.unreachable(spelled(&error)))?;
        end.last = wire::number(&message.headers, &bus.options.source);
    }
    Ok(end)
}

impl Publish for Publisher {
    type Error = Error;

    fn epoch(&self) -> u64 {
        self.epoch
    }

    async fn publish(&mut self, drafts: Vec<(DedupId, Draft)>) -> Result<Range<u64>, Error> {
        let mut first = self.seq + 1;
        let mut told = false;
        loop {
            let done = usize::try_from(self.seq + 1 - first).unwrap_or(usize::MAX).min(drafts.len());
            let Went::Doubtful(why) = Box::pin(self.attempt(&drafts[done..])).await? else {
                return Ok(first..self.seq + 1);
            };
            if !told {
                tracing::warn!(source = self.bus.options.source, why, "publishing is held up; trying again");
                told = true;
            }
            sleep(self.bus.options.retry).await;
            if !Box::pin(self.look()).await? {
                // All of it again: the rest of this epoch's records mean nothing to a reader.
                first = 1;
            }
        }
    }
}
