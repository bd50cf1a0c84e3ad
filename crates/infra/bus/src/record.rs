//! What travels on a bus. Records are shared, never copied: cloning one clones no payload.

use std::sync::Arc;

use bytes::Bytes;

/// What a publisher hands over; the log adds where and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// What the record is about; readers choose by it. Publishers clone one they keep, which allocates nothing.
    pub topic: Arc<str>,
    /// The entity: records of one key concern one thing.
    pub key: Bytes,
    /// Context such as a trace or a colour, opaque to the bus.
    pub headers: Vec<Header>,
    /// The content. A slice of a larger buffer keeps the whole buffer in memory.
    pub payload: Bytes,
}

impl Draft {
    /// A draft without headers.
    pub fn new(topic: impl Into<Arc<str>>, key: impl Into<Bytes>, payload: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), key: key.into(), headers: Vec::new(), payload: payload.into() }
    }
}

/// A named value beside the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Lower case, by convention.
    pub name: Arc<str>,
    /// Opaque bytes.
    pub value: Bytes,
}

/// A published record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// See [`Draft::topic`].
    pub topic: Arc<str>,
    /// See [`Draft::key`].
    pub key: Bytes,
    /// Which log it came from.
    pub source: Arc<str>,
    /// The life of that log in which `seq` counts: a log that forgot its records starts a higher one.
    pub epoch: u64,
    /// Contiguous within an epoch, from 1.
    pub seq: u64,
    /// See [`Draft::headers`].
    pub headers: Vec<Header>,
    /// See [`Draft::payload`].
    pub payload: Bytes,
}

impl Record {
    /// What it counts towards a log's capacity: its bytes and the fixed part, not the allocator's overhead.
    pub(crate) fn size(&self) -> usize {
        let headers = self.headers.iter().map(|h| size_of::<Header>() + h.name.len() + h.value.len());
        size_of::<Self>() + self.key.len() + self.payload.len() + headers.sum::<usize>()
    }
}

/// What a reader receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The next record.
    Record(Arc<Record>),
    /// The reader was too slow: this many records left the ring before it came for them. It goes on behind them.
    Gap {
        /// At least 1.
        missed: u64,
    },
}
