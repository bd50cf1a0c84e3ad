//! The other end of the bus: applies what the feed told to the caches of this process, and dates it.
//!
//! **What was heard, and up to when** is reckoned on this process's own clock. Its [`Heart`](crate::heartbeat::Heart) writes a row in the
//! primary again and again, and remembers when it began to. The change of that row comes back over the bus, in order:
//! by then everything that was committed before that instant has been applied here, so the instant becomes the first
//! level's watermark. [`Message::Applied`] says the same of the second level, later.
//!
//! **A gap, another epoch, or bytes that cannot be read** mean that something was missed: everything is flushed, and nothing is
//! known of either level. So is it at the beginning, since what was loaded before the stream was subscribed to may have changed
//! before it, too. What was missed may not even be visible yet, as an event can arrive before its row, and what is loaded until then is
//! old and has no fence. So the first beat after it does not count. When the second is heard, everything before the
//! first is visible (the second could only be written when the first, a change of the same row, was committed), and
//! everything is flushed once more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use aqueduct_bus::{Delivery, Record, Subscribe};
use tokio::time::Instant;

use crate::change::{Change, EpochBump};
use crate::feed::{self, Epochs, Master, Message};

/// What a process does with what it hears of one source. The calls come one after the other and must not block.
pub trait Apply: Send {
    /// A row has changed: what is below `floor` is stale. For a table without versions it is 0: everything of the row is.
    fn fence(&mut self, change: &Change, floor: u64);
    /// Everything of some tables is stale, in memory as well as below `epoch` in the second level. It was told when it was visible in the
    /// primary: a replica may be behind that, and no version will tell.
    fn bump(&mut self, bump: &EpochBump, epoch: u64);
    /// In the second level nothing counts below these epochs. They may be known already.
    fn raise(&mut self, epochs: &Epochs);
    /// Something was missed: everything in memory of this source may be stale.
    fn flush(&mut self);
    /// The first level has everything that was committed before `at`. Only goes up, but for [`Apply::lost`].
    fn l1(&mut self, at: Instant);
    /// So has the second level, as far as these servers are asked.
    fn l2(&mut self, at: Instant, masters: &[Master]);
    /// Nothing is known of either any more.
    fn lost(&mut self);
}

/// The beats that this process sent and did not hear of yet. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Beats(Arc<Mutex<VecDeque<(u64, Instant)>>>);

/// More than any stream that is of use is behind.
const MAX_BEATS: usize = 4096;

impl Beats {
    /// Beat `beat` is about to be sent, at `at`. Beats only grow.
    pub fn sent(&self, beat: u64, at: Instant) {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if beats.len() == MAX_BEATS {
            beats.pop_front();
        }
        beats.push_back((beat, at));
    }

    /// When `beat` was sent. It and all before it are forgotten.
    pub fn heard(&self, beat: u64) -> Option<Instant> {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = None;
        while let Some((number, sent)) = beats.front().copied()
            && number <= beat
        {
            at = (number == beat).then_some(sent);
            beats.pop_front();
        }
        at
    }
}

/// A follower at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowStats {
    /// Records that were applied.
    pub records: u64,
    /// Times that something was missed, the beginning included.
    pub gaps: u64,
    /// Own beats that came back.
    pub beats: u64,
    /// Records that could not be read.
    pub malformed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    records: AtomicU64,
    gaps: AtomicU64,
    beats: AtomicU64,
    malformed: AtomicU64,
}

/// Reads a follower's figures from anywhere.
#[derive(Clone, Debug, Default)]
pub struct FollowGauge(Arc<Counters>);

impl FollowGauge {
    /// The figures now.
    pub fn stats(&self) -> FollowStats {
        let Counters { records, gaps, beats, malformed } = &*self.0;
        FollowStats {
            records: records.load(Relaxed),
            gaps: gaps.load(Relaxed),
            beats: beats.load(Relaxed),
            malformed: malformed.load(Relaxed),
        }
    }
}

/// Applies one source's stream.
#[derive(Debug)]
pub struct Follower<R, A> {
    reader: R,
    apply: A,
    instance: u64,
    beats: Beats,
    /// The epoch and the number of the last record.
    at: Option<(u64, u64)>,
    /// Own beats that the second level may not yet have: the numbers of their records, and when they were sent.
    behind: VecDeque<(u64, Instant)>,
    since_miss: SinceMiss,
    gauge: FollowGauge,
}

/// What was heard since something was missed.
#[derive(Clone, Copy, Debug)]
enum SinceMiss {
    Nothing,
    /// A beat: what was missed lies before it.
    Beat,
    /// Another: what was missed is visible.
    Visible,
}

impl<R: Subscribe, A: Apply> Follower<R, A> {
    /// Reads from `reader`, which has subscribed already. `beats` are those that are sent as `instance`.
    pub fn new(reader: R, apply: A, instance: u64, beats: Beats) -> Self {
        let gauge = FollowGauge::default();
        let since_miss = SinceMiss::Nothing;
        Self { reader, apply, instance, beats, at: None, behind: VecDeque::new(), since_miss, gauge }
    }

    /// Its figures, to be read from elsewhere.
    pub fn gauge(&self) -> FollowGauge {
        self.gauge.clone()
    }

    /// Applies until the stream ends; then nothing is known any more.
    pub async fn run(mut self) -> A {
        while let Some(delivery) = self.reader.recv().await {
            self.take(&delivery);
        }
        self.miss();
        self.apply
    }

    /// Applies one delivery.
    pub fn take(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Gap { .. } => self.miss(),
            Delivery::Record(record) => self.record(record),
        }
    }

    fn record(&mut self, record: &Record) {
        let here = (record.epoch, record.seq);
        match self.at {
            Some((epoch, seq)) if here == (epoch, seq + 1) => {}
            _ => self.miss(),
        }
        self.at = Some(here);
        match feed::decode(&record.payload) {
            Ok(messages) => messages.iter().for_each(|message| self.message(message, record)),
            Err(error) => {
                tracing::warn!(source = %record.source, epoch = record.epoch, seq = record.seq, %error, "flushing instead");
                self.gauge.0.malformed.fetch_add(1, Relaxed);
                self.miss();
                // The numbers go on.
                self.at = Some(here);
            }
        }
        self.gauge.0.records.fetch_add(1, Relaxed);
    }

    fn message(&mut self, message: &Message, record: &Record) {
        match message {
            Message::Change(change) => self.apply.fence(change, feed::floor(change)),
            Message::Bump { bump, epoch } => self.apply.bump(bump, *epoch),
            Message::Beat { instance, beat } if *instance == self.instance => self.beat(*beat, record.seq),
            Message::Beat { .. } => {}
            Message::Applied { epoch, seq, epochs, masters } => {
                self.apply.raise(epochs);
                if *epoch == record.epoch {
                    self.applied(*seq, masters);
                }
            }
        }
    }

    fn beat(&mut self, beat: u64, seq: u64) {
        let Some(sent) = self.beats.heard(beat) else { return };
        self.gauge.0.beats.fetch_add(1, Relaxed);
        match self.since_miss {
            SinceMiss::Nothing => {
                self.since_miss = SinceMiss::Beat;
                return;
            }
            SinceMiss::Beat => {
                self.since_miss = SinceMiss::Visible;
                self.apply.flush();
            }
            SinceMiss::Visible => {}
        }
        self.behind.push_back((seq, sent));
        if self.behind.len() > MAX_BEATS {
            self.behind.pop_front();
        }
        self.apply.l1(sent);
    }

    fn applied(&mut self, seq: u64, masters: &[Master]) {
        let mut at = None;
        while let Some((number, sent)) = self.behind.front().copied()
            && number <= seq
        {
            at = Some(sent);
            self.behind.pop_front();
        }
        if let Some(at) = at {
            self.apply.l2(at, masters);
        }
    }

    fn miss(&mut self) {
        self.at = None;
        self.since_miss = SinceMiss::Nothing;
        self.behind.clear();
        self.apply.lost();
        self.apply.flush();
        self.gauge.0.gaps.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
