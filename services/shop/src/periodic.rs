//! A named thread that does a small blocking job again and again, until it is told to stop. Not a task: the jobs wait
//! for the disk, and a thread of the async runtime must not.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The running thread. Dropping it lets the thread finish by itself.
#[derive(Debug)]
pub(crate) struct Periodic {
    /// Carries nothing: that it is gone is the message, which also reaches the thread when a panic unwinds the owner.
    stop: Sender<Infallible>,
    thread: JoinHandle<()>,
}

impl Periodic {
    /// Calls `tick` every `period`, and `end` once at the end, on a thread called `name` (at most 15 bytes are seen).
    pub(crate) fn start<S: Send + 'static>(
        name: &str,
        period: Duration,
        mut state: S,
        mut tick: impl FnMut(&mut S) + Send + 'static,
        end: impl FnOnce(S) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                tick(&mut state);
            }
            end(state);
        })?;
        Ok(Self { stop, thread })
    }

    /// Stops the thread and waits until `end` has returned. Blocks.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("a periodic job of the shop panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ticks_until_it_is_stopped_and_then_ends_once() {
        let (tx, rx) = mpsc::channel();
        let end = tx.clone();
        let job = Periodic::start(
            "test-ticks",
            Duration::from_micros(1),
            0,
            move |count| {
                *count += 1;
                tx.send(*count).unwrap();
            },
            move |count| end.send(-count).unwrap(),
        );
        let job = job.unwrap();
        assert_eq!(rx.recv().unwrap(), 1);
        assert_eq!(rx.recv().unwrap(), 2);
        job.stop();
        let rest: Vec<i32> = rx.iter().collect();
        let (last, ticks) = rest.split_last().unwrap();
        assert_eq!(*last, -ticks.last().copied().unwrap_or(2));
    }
}
