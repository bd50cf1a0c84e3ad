//! The end of the streams that are still open when a part of a drain's patience has passed. A watch of something that
//! never changes goes on for ever: its client is told, in the stream itself, instead of being cut.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

use crate::reject::Reject;
use crate::stage::Stage;
use crate::timer::Timer;

/// How long a drain lets streams go on by themselves; the rest of its patience is for telling those that do.
pub(crate) fn courtesy(patience: Duration) -> Duration {
    patience / 6
}

/// Tells the streams of one worker to end. One a worker: the list of those who wait is then locked by one thread only.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    begun: AtomicBool,
    begin: Arc<Notify>,
}

impl Closing {
    /// The streams that are open end, and so do those that are opened from now on.
    pub(crate) fn begin(&self) {
        self.begun.store(true, SeqCst);
        self.begin.notify_waiters();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(SeqCst)
    }

    async fn begins(&self) {
        // First among those who wait, then look: a beginning in between is seen by one of the two.
        let begin = self.begin.notified();
        if !self.has_begun() {
            begin.await;
        }
    }

    /// Waits for the head of an answer: until the deadline, and that of a stream no longer than streams may go on.
    pub(crate) async fn within<T>(
        &self,
        work: Pin<&mut impl Future<Output = T>>,
        (deadline, timer): (Option<Instant>, &Timer),
        stream: bool,
    ) -> Result<T, Cut> {
        let work = async {
            match deadline {
                None => Ok(work.await),
                Some(deadline) => timer.within(deadline, work).await.ok_or(Cut::Deadline),
            }
        };
        if !stream {
            return work.await;
        }
        tokio::select! {
            biased;
            done = work => done,
            () = self.begins() => Err(Cut::Closing),
        }
    }
}

/// Why a stream is not waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Deadline,
    Closing,
}

impl Cut {
    #[cold]
    pub(crate) fn reject(self, stage: Stage) -> Reject {
        match self {
            Cut::Deadline => Reject::deadline(stage),
            Cut::Closing => Reject::closing(stage),
        }
    }
}

/// One stream's view of it. It costs nothing until the stream has to wait.
#[derive(Debug)]
pub(crate) struct Watch {
    closing: Arc<Closing>,
    begins: Option<Pin<Box<OwnedNotified>>>,
}

impl Watch {
    pub(crate) fn new(closing: &Arc<Closing>) -> Self {
        Self { closing: Arc::clone(closing), begins: None }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.closing.has_begun()
    }

    /// Whether the stream has to end; otherwise the task is woken when it has.
    pub(crate) fn poll_begun(&mut self, cx: &mut Context<'_>) -> bool {
        let Self { closing, begins } = self;
        let begins = begins.get_or_insert_with(|| Box::pin(Arc::clone(&closing.begin).notified_owned()));
        // It must not be asked again once it is ready, and the flag stays.
        closing.has_begun() || matches!(begins.as_mut().poll(cx), Poll::Ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::task::Waker;

    /// Connections go on in a drain, and somebody may open a stream on one.
    #[tokio::test]
    async fn a_stream_that_comes_after_the_beginning_ends_too_and_a_call_does_not() {
        let (closing, timer) = (Arc::new(Closing::default()), Timer::default());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!Watch::new(&closing).poll_begun(&mut cx));
        closing.begin();
        let stream = pin!(closing.within(pin!(pending::<()>()), (None, &timer), true)).poll(&mut cx);
        assert_eq!(stream, Poll::Ready(Err(Cut::Closing)));
        assert_eq!(
            closing.within(pin!(ready(1)), (None, &timer), true).await,
            Ok(1),
            "what is there is taken"
        );
        assert!(Watch::new(&closing).poll_begun(&mut cx));
        assert!(
            pin!(closing.within(pin!(pending::<()>()), (None, &timer), false)).poll(&mut cx).is_pending()
        );
    }
}
