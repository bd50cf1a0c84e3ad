//! The committer: one thread a store, which makes everything that is queued durable in one go, then settles the words, then
//! answers. Nothing else settles a word.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::fsm::Shared;
use crate::options::Options;
use crate::store::{Commit, Store, StoreError};
use crate::table::Slot;

/// What the queue carries.
pub(crate) enum Message<B> {
    Request(Request<B>),
    /// Take nothing more; commit what is queued; end.
    Close,
}

/// A change, the slot of its pinned word, and whom to answer. Dropping `reply` answers `Failed`.
pub(crate) struct Request<B> {
    pub(crate) slot: Slot,
    pub(crate) commit: Commit<B>,
    pub(crate) reply: oneshot::Sender<()>,
}

/// Starts the thread, and returns the way into its queue.
pub(crate) fn start<S: Store>(
    store: S,
    options: &Options,
    shared: Arc<Shared<S::Reader>>,
) -> std::io::Result<Sender<Message<S::Body>>> {
    let (sender, queue) = mpsc::channel(options.queue);
    let committer = Committer {
        store,
        queue,
        shared,
        max_batch: options.max_batch,
        messages: Vec::new(),
        batch: Vec::new(),
        callers: Vec::new(),
    };
    std::thread::Builder::new().name(options.name.clone()).spawn(move || committer.run())?;
    Ok(sender)
}

struct Committer<S: Store> {
    store: S,
    queue: Receiver<Message<S::Body>>,
    shared: Arc<Shared<S::Reader>>,
    max_batch: usize,
    /// What was just received; empty between batches, kept for its memory like the two below.
    messages: Vec<Message<S::Body>>,
    batch: Vec<Commit<S::Body>>,
    /// The other half of each element of `batch`.
    callers: Vec<(Slot, oneshot::Sender<()>)>,
}

impl<S: Store> Committer<S> {
    fn run(mut self) {
        let served = catch_unwind(AssertUnwindSafe(|| self.serve()));
        match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.shared.fail(&with_causes(error.as_ref())),
            Err(panic) => self.shared.fail(&format!("the store panicked: {}", message_of(panic.as_ref()))),
        }
        // Closed or failed: from here on every sender is refused, and those who are past that are drained. Failed callers
        // are answered after the failure is known to all, so none can see `Failed` and then get a change in.
        self.queue.close();
        self.refuse(self.callers.len());
        self.callers.clear();
        loop {
            let requests = self.messages.iter().filter(|message| matches!(message, Message::Request(_)));
            self.refuse(requests.count());
            self.messages.clear();
            if self.queue.blocking_recv_many(&mut self.messages, self.max_batch) == 0 {
                break;
            }
        }
        let Self { store, shared, .. } = self;
        if catch_unwind(AssertUnwindSafe(|| drop(store))).is_err() {
            shared.fail("the store panicked while it was closed");
        }
        shared.ended();
    }

    /// Counts calls that are about to be answered `Failed`.
    fn refuse(&self, calls: usize) {
        self.shared.counters.failed.fetch_add(calls as u64, Relaxed);
    }

    /// Commits batch after batch until the queue is closed and empty.
    fn serve(&mut self) -> Result<(), StoreError> {
        while self.gather() {
            if let Some(failure) = self.shared.health.failure() {
                return Err(failure.into());
            }
            self.commit()?;
        }
        Ok(())
    }

    /// Waits for changes and takes all there are, up to `max_batch`. False when there will be none.
    ///
    /// It does not linger for more: while a batch is being applied the next one fills by itself.
    fn gather(&mut self) -> bool {
        while self.batch.is_empty() {
            if self.queue.blocking_recv_many(&mut self.messages, self.max_batch) == 0 {
                return false;
            }
            for message in self.messages.drain(..) {
                match message {
                    Message::Request(Request { slot, commit, reply }) => {
                        self.batch.push(commit);
                        self.callers.push((slot, reply));
                    }
                    Message::Close => self.queue.close(),
                }
            }
        }
        true
    }

    /// Durable, then fenced and published, then settled, then answered: in this order.
    fn commit(&mut self) -> Result<(), StoreError> {
        let start = Instant::now();
        self.store.apply(&self.batch)?;
        let apply = start.elapsed();
        self.store.committed(&self.batch);
        let settled =
            self.batch.iter().zip(&self.callers).map(|(commit, caller)| (caller.0, commit.key, commit.after));
        self.shared.desk.table.settle(settled);
        let creates = self.batch.iter().filter(|commit| commit.before.is_none()).count();
        self.shared.counters.committed(creates as u64, self.batch.len() as u64, apply);
        for (_, reply) in self.callers.drain(..) {
            // A caller that went away has nobody to tell.
            reply.send(()).unwrap_or_default();
        }
        self.batch.clear();
        Ok(())
    }
}

/// An error and its causes on one line.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
