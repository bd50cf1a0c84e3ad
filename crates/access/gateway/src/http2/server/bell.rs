//! Who of a connection's requests has something to do. Each has a bell, and the connection's task looks after those that rang. A task a
//! request would do the same, for an allocation, a spawn and a turn of the scheduler each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

/// The bells of a connection. One thread rings them, as good as always: a lock costs it two operations on memory that it has.
#[derive(Debug, Default)]
pub(super) struct Bells(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Those that rang, the first in front.
    rang: VecDeque<usize>,
    /// The connection's task, while it sleeps.
    sleeper: Option<Waker>,
}

/// A bell, which is kept for the next request of its place.
#[derive(Debug)]
pub(super) struct Bell {
    bells: Arc<Bells>,
    place: usize,
    rang: AtomicBool,
}

impl Bells {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bell for this place.
    pub(super) fn hang(self: &Arc<Self>, place: usize) -> Arc<Bell> {
        Arc::new(Bell { bells: Arc::clone(self), place, rang: AtomicBool::new(false) })
    }

    /// The connection's task looks until it [sleeps](Self::sleep): nobody need wake it.
    pub(super) fn attend(&self) {
        self.lock().sleeper = None;
    }

    /// The next place whose bell rang.
    pub(super) fn next(&self) -> Option<usize> {
        self.lock().rang.pop_front()
    }

    pub(super) fn have_rung(&self) -> bool {
        !self.lock().rang.is_empty()
    }

    /// The task is woken when a bell rings; at once if one has.
    pub(super) fn sleep(&self, cx: &Context<'_>) {
        let mut inner = self.lock();
        if inner.rang.is_empty() {
            inner.sleeper = Some(cx.waker().clone());
        } else {
            drop(inner);
            cx.waker().wake_by_ref();
        }
    }
}

impl Bell {
    /// It has been heard, and may ring again.
    pub(super) fn heard(&self) {
        self.rang.store(false, std::sync::atomic::Ordering::Release);
    }

    pub(super) fn ring(&self) {
        if self.rang.swap(true, AcqRel) {
            return;
        }
        let sleeper = {
            let mut inner = self.bells.lock();
            inner.rang.push_back(self.place);
            inner.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;

    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn each_rings_once_until_it_is_heard_and_wakes_only_a_sleeper() {
        let woken = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        let bells = Arc::new(Bells::default());
        let (one, two) = (bells.hang(1), bells.hang(2));
        let check = |expect| assert_eq!(woken.0.load(SeqCst), expect);
        bells.attend();
        two.ring();
        one.ring();
        two.ring();
        check(0);
        assert_eq!([bells.next(), bells.next(), bells.next()], [Some(2), Some(1), None]);
        bells.sleep(&cx);
        two.ring();
        check(0);
        two.heard();
        two.ring();
        check(1);
        one.heard();
        one.ring();
        check(1);
        bells.attend();
        bells.sleep(&cx);
        check(2);
    }
}
