//! The timer of a connection's requests, which one request leaves to the next. To make a timer, to put it among all others and to take it
//! out again is most of what a deadline costs that nobody misses; one that is among them already is moved on by a single write.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer, when no request has it. Of several requests at once the others make their own. Between two requests it may go off: that wakes
/// the connection's task once, which finds nothing to do.
#[derive(Debug, Default)]
pub(crate) struct Timer(RefCell<Option<Pin<Box<Sleep>>>>);

impl Timer {
    /// Waits for the work until the deadline; `None` when that comes first.
    pub(crate) async fn within<T>(
        &self,
        deadline: Instant,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let mut sleep = match self.0.take() {
            Some(mut sleep) => {
                sleep.as_mut().reset(deadline);
                sleep
            }
            None => Box::pin(sleep_until(deadline)),
        };
        let done = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
        });
        let done = done.await;
        self.0.replace(Some(sleep));
        done
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::time::Duration;

    use super::*;

    /// Milliseconds after which work that takes so many was given up, or `None`.
    async fn given_up(timer: &Timer, work: u64, deadline: u64) -> Option<u128> {
        let begin = Instant::now();
        let work = pin!(tokio::time::sleep(Duration::from_millis(work)));
        let done = timer.within(begin + Duration::from_millis(deadline), work).await;
        done.is_none().then(|| begin.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_has_its_own_deadline_whatever_the_last_one_had() {
        let timer = Timer::default();
        for (work, deadline, expect) in [
            (10, 20, None),
            (10, 5, Some(5)),
            (10, 20, None),
            (100, 50, Some(50)),
            (10, 20, None),
            // Sooner than what the timer was set to, and then later than when it goes off.
            (10, 1000, None),
            (100, 50, Some(50)),
            (2000, 1500, Some(1500)),
        ] {
            assert_eq!(given_up(&timer, work, deadline).await, expect, "{work} within {deadline}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_at_once_do_not_share_it() {
        let timer = Timer::default();
        let within = |milliseconds| {
            let deadline = Instant::now() + Duration::from_millis(milliseconds);
            let timer = &timer;
            async move { timer.within(deadline, pin!(pending::<()>())).await }
        };
        let begin = Instant::now();
        let (one, other) = tokio::join!(within(30), async {
            let none = within(10).await;
            (none, begin.elapsed().as_millis())
        });
        assert_eq!((one, other), (None, (None, 10)));
        assert_eq!(begin.elapsed().as_millis(), 30);
    }
}
