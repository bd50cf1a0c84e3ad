//! The bound on the TLS handshakes in flight of one worker. It is that of the newest configuration: a lower one breaks off
//! nothing, but nobody begins before so many have ended.

use std::cell::Cell;

use tokio::sync::{Semaphore, SemaphorePermit};

/// The places for handshakes.
#[derive(Debug)]
pub(crate) struct Handshakes {
    free: Semaphore,
    most: Cell<usize>,
    /// Places that were taken when the bound was lowered, and are given up instead of given back.
    owed: Cell<usize>,
}

impl Handshakes {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { free: Semaphore::new(most), most: Cell::new(most), owed: Cell::new(0) }
    }

    /// Another bound from now on.
    pub(crate) fn bound(&self, most: usize) {
        let most = most.min(Semaphore::MAX_PERMITS);
        let before = self.most.replace(most);
        let (more, less) = (most.saturating_sub(before), before.saturating_sub(most));
        let kept = more.min(self.owed.get());
        self.free.add_permits(more - kept);
        let taken = less - self.free.forget_permits(less);
        self.owed.set(self.owed.get() - kept + taken);
    }

    /// Waits, first come, first served, for a place until it is dropped.
    pub(crate) async fn enter(&self) -> Place<'_> {
        // It is never closed.
        Place { handshakes: self, permit: self.free.acquire().await.ok() }
    }
}

/// A handshake in flight.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    handshakes: &'a Handshakes,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let owed = &self.handshakes.owed;
        if owed.get() > 0
            && let Some(permit) = self.permit.take()
        {
            owed.set(owed.get() - 1);
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// Takes places until there are none; how many are taken then.
    fn fill<'a>(handshakes: &'a Handshakes, taken: &mut VecDeque<Place<'a>>) -> usize {
        loop {
            match pin!(handshakes.enter()).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(place) => taken.push_back(place),
                Poll::Pending => return taken.len(),
            }
        }
    }

    #[test]
    fn the_bound_is_the_newest() {
        let (handshakes, mut taken) = (Handshakes::new(3), VecDeque::new());
        assert_eq!(fill(&handshakes, &mut taken), 3);
        handshakes.bound(5);
        assert_eq!(fill(&handshakes, &mut taken), 5);
        // Lower while all places are taken: three have to go before one may come.
        handshakes.bound(3);
        for left in [4, 3, 2] {
            taken.pop_front();
            assert_eq!(taken.len(), left);
            assert_eq!(fill(&handshakes, &mut taken), left.max(3));
        }
        // Lower while some are free, and higher while some are still owed.
        taken.truncate(2);
        handshakes.bound(1);
        handshakes.bound(2);
        assert_eq!(fill(&handshakes, &mut taken), 2);
        taken.pop_front();
        assert_eq!(fill(&handshakes, &mut taken), 2);
        handshakes.bound(usize::MAX);
        handshakes.bound(1);
        taken.clear();
        assert_eq!(fill(&handshakes, &mut taken), 1);
    }
}
