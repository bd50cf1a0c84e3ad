//! The log: publishers number records under a short lock and wake the readers once a batch.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::reader::Reader;
use crate::record::{Draft, Record};
use crate::ring::{FIRST_SEQ, Ring};

/// How a log is named and bounded.
#[derive(Clone, Debug)]
pub struct Options {
    /// The log's name, in every record.
    pub source: Arc<str>,
    /// This life of the log. It forgets its records and begins again at 1 when the process ends, so the owner must
    /// choose a higher epoch at each start (a counter in the data folder, or the time).
    pub epoch: u64,
    /// Records kept for slow readers.
    pub capacity_records: usize,
    /// Bytes kept for slow readers, of keys, payloads, headers and the records themselves. A single record beyond
    /// it reaches its readers as a gap.
    pub capacity_bytes: usize,
}

impl Default for Options {
    /// 65,536 records or 64 MiB, whichever is less; source `"local"`, epoch 0.
    fn default() -> Self {
        Self { source: "local".into(), epoch: 0, capacity_records: 65_536, capacity_bytes: 64 << 20 }
    }
}

/// The log was closed, and takes no more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed")]
pub struct Closed;

/// A log at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records published so far; also the `seq` of the newest.
    pub published: u64,
    /// Records in the ring.
    pub held_records: usize,
    /// Their bytes, as [`Options::capacity_bytes`] counts them.
    pub held_bytes: usize,
    /// Readers subscribed.
    pub readers: usize,
    /// Records missed, over all readers and the log's life.
    pub missed: u64,
}

/// A handle to publish and to subscribe. Clones share one log, which closes with the last of them.
#[derive(Clone, Debug)]
pub struct Log(Arc<Handle>);

/// Readers share the log's state but not this, so that its drop means that nobody can publish any more.
#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    source: Arc<str>,
    epoch: u64,
    /// A std mutex: it is held for nanoseconds and never over an await, and publishers are not async.
    state: Mutex<State>,
    pub(crate) wake: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) ring: Ring,
    pub(crate) readers: usize,
    pub(crate) closed: bool,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock leaves the state half-changed when it panics (only allocation could).
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_waiters();
    }

    fn record(&self, draft: Draft) -> Arc<Record> {
        let Draft { topic, key, headers, payload } = draft;
        // The number is given under the lock; allocating is not done there.
        let source = Arc::clone(&self.source);
        Arc::new(Record { topic, key, source, epoch: self.epoch, seq: 0, headers, payload })
    }
}

impl Log {
    /// An empty log without readers.
    pub fn new(options: Options) -> Self {
        let Options { source, epoch, capacity_records, capacity_bytes } = options;
        let ring = Ring::new(capacity_records, capacity_bytes);
        let state = Mutex::new(State { ring, readers: 0, closed: false });
        Self(Arc::new(Handle(Arc::new(Shared { source, epoch, state, wake: Notify::new() }))))
    }

    /// Publishes one record and returns its number. Never waits for readers; callable from any thread.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn publish(&self, draft: Draft) -> Result<u64, Closed> {
        self.publish_all([draft]).map(|seqs| seqs.start)
    }

    /// Publishes a batch under consecutive numbers, which it returns: one lock and one wake-up for all of it.
    ///
    /// While nobody reads, records are only counted, and the iterator is not even advanced: pass one that builds
    /// its drafts lazily, and an unread log costs a few nanoseconds a batch.
    ///
    /// # Errors
    /// [`Closed`]; then none was published.
    pub fn publish_all<I>(&self, drafts: I) -> Result<Range<u64>, Closed>
    where
        I: IntoIterator<Item = Draft, IntoIter: ExactSizeIterator>,
    {
        let shared = &*self.0.0;
        let drafts = drafts.into_iter();
        {
            let mut state = shared.lock();
            if state.closed {
                return Err(Closed);
            }
            if state.readers == 0 {
                return Ok(state.ring.skip(drafts.len() as u64));
            }
        }
        // The drafts are the caller's code: it must not run under the lock.
        let mut batch: Vec<_> = drafts.map(|draft| shared.record(draft)).collect();
        let seqs = {
            let mut state = shared.lock();
            if state.closed {
                return Err(Closed);
            }
            if state.readers == 0 {
                return Ok(state.ring.skip(batch.len() as u64));
            }
            state.ring.append(&mut batch)
        };
        shared.wake.notify_waiters();
        Ok(seqs)
    }

    /// See [`Options::epoch`].
    pub fn epoch(&self) -> u64 {
        self.0.0.epoch
    }

    /// A reader of everything that is published from now on.
    pub fn subscribe(&self) -> Reader {
        let shared = Arc::clone(&self.0.0);
        let position = {
            let mut state = shared.lock();
            state.readers += 1;
            state.ring.next_seq()
        };
        Reader::new(shared, position)
    }

    /// Takes no more records. Readers receive what is left and then `None`.
    pub fn close(&self) {
        self.0.0.close();
    }

    /// The log at this moment.
    pub fn stats(&self) -> Stats {
        let state = self.0.0.lock();
        let (held_records, held_bytes) = state.ring.held();
        Stats {
            published: state.ring.next_seq() - FIRST_SEQ,
            held_records,
            held_bytes,
            readers: state.readers,
            missed: state.ring.missed(),
        }
    }
}
