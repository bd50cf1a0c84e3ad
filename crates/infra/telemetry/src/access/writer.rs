//! The thread that writes: it sleeps until a worker has lines, lets a moment's worth gather, and writes what every
//! worker has.

use super::{Pending, Shared, Target};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What workers tell the thread.
#[derive(Debug, Default)]
pub(super) struct Signals {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Some buffer has lines.
    dirty: bool,
    /// Write at once: a buffer is half full, or somebody waits for a flush.
    hurry: bool,
    close: bool,
    /// Rounds begun and done; a round writes all that was recorded before it began.
    begun: u64,
    done: u64,
    /// Lines that could not be written.
    failed: u64,
}

impl Signals {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    pub(super) fn dirty(&self) {
        self.tell(|state| state.dirty = true);
    }

    pub(super) fn hurry(&self) {
        self.tell(|state| (state.dirty, state.hurry) = (true, true));
    }

    pub(super) fn failed(&self) -> u64 {
        self.lock().failed
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        until: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, |state| !until(state)).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that writes an [`AccessLog`](super::AccessLog). Dropping it lets it go on until the process ends;
/// what is then still in memory is lost.
#[derive(Debug)]
pub struct AccessWriter {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl AccessWriter {
    pub(super) fn start(
        shared: Arc<Shared>,
        linger: Duration,
        sink: Box<dyn Write + Send>,
    ) -> io::Result<Self> {
        let mut writer = Writer { shared: Arc::clone(&shared), sink, spare: Vec::new(), failing: false };
        let thread =
            std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run(linger))?;
        Ok(Self { shared, thread })
    }

    /// Waits until everything recorded before this call is written (or has failed to be). Blocks.
    pub fn flush(&self) {
        let signals = &self.shared.signals;
        let mut state = signals.lock();
        (state.dirty, state.hurry) = (true, true);
        // The round in progress may already have passed the buffer in question; the next one has not begun.
        let target = state.begun + 1;
        signals.changed.notify_all();
        drop(signals.wait(state, |state| state.done >= target));
    }

    /// Writes everything recorded so far and ends the thread. Later entries gather and are dropped when the buffers
    /// are full. Blocks.
    pub fn close(self) {
        self.shared.signals.tell(|state| (state.dirty, state.close) = (true, true));
        if self.thread.join().is_err() {
            tracing::error!("the access log's thread panicked");
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    sink: Box<dyn Write + Send>,
    /// The empty buffer that is exchanged for a worker's full one. In the long run each one finds its size.
    spare: Vec<u8>,
    /// Whether the last write failed; it is logged once, not for each line.
    failing: bool,
}

impl Writer {
    fn run(&mut self, linger: Duration) {
        loop {
            let closing = self.wait_for_work(linger);
            self.write_all();
            self.shared.signals.tell(|state| state.done = state.begun);
            if closing {
                return;
            }
        }
    }

    /// Returns when it is time to write; true for the last time.
    fn wait_for_work(&self, linger: Duration) -> bool {
        let signals = &self.shared.signals;
        let state = signals.wait(signals.lock(), |state| state.dirty);
        let gather = |state: &mut State| !state.hurry && !state.close;
        let (mut state, _) =
            signals.changed.wait_timeout_while(state, linger, gather).unwrap_or_else(PoisonError::into_inner);
        (state.dirty, state.hurry) = (false, false);
        state.begun += 1;
        state.close
    }

    fn write_all(&mut self) {
        let slots = lock(&self.shared.slots).clone();
        for slot in slots {
            let count = {
                let Pending { lines, count, .. } = &mut *slot.lock();
                std::mem::swap(lines, &mut self.spare);
                std::mem::take(count)
            };
            if count > 0 {
                let result = self.sink.write_all(&self.spare).and_then(|()| self.sink.flush());
                self.note(result, count);
            }
            self.spare.clear();
        }
    }

    fn note(&mut self, result: io::Result<()>, lines: u64) {
        match result {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.shared.signals.tell(|state| state.failed += lines);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the access log cannot be written; lines are lost until it can");
                }
            }
        }
    }
}

pub(super) fn open(target: &Target) -> io::Result<Box<dyn Write + Send>> {
    match target {
        Target::Stdout => Ok(Box::new(io::stdout())),
        Target::File(path) => {
            let open = OpenOptions::new().create(true).append(true).open(path);
            let explain = |error: io::Error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot write the access log {}: {error}", path.display()),
                )
            };
            Ok(Box::new(open.map_err(explain)?))
        }
    }
}

/// Nothing here leaves data half written when it panics, so a poisoned lock is as good as any.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
