//! The lines that a process printed: collected by one thread a stream, or in a file.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::wait::until;

/// Lines of both streams, in order of arrival.
pub(super) enum Output {
    /// In memory, with an event for each line.
    Piped(Arc<Shared>),
    /// In a file that the process writes to by itself: it need not be told when its reader is gone.
    File(PathBuf),
}

#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    open_streams: u32,
}

impl Output {
    pub(super) fn collect<O, E>(stdout: Option<O>, stderr: Option<E>) -> io::Result<Self>
    where
        O: Read + Send + 'static,
        E: Read + Send + 'static,
    {
        let shared = Arc::new(Shared::default());
        if let Some(stream) = stdout {
            read_on_a_thread(&shared, stream)?;
        }
        if let Some(stream) = stderr {
            read_on_a_thread(&shared, stream)?;
        }
        Ok(Self::Piped(shared))
    }

    /// Waits for a line that contains `text`; `None` when `limit` passes, or no stream is open any more.
    pub(super) fn wait_line(&self, text: &str, limit: Duration) -> Option<String> {
        let shared = match self {
            Self::Piped(shared) => shared,
            Self::File(_) => {
                let line = || self.all().lines().find(|line| line.contains(text)).map(str::to_owned);
                return until(limit, line);
            }
        };
        let mut seen = 0;
        let mut found = None;
        let state = shared.lock();
        let waiting = shared.changed.wait_timeout_while(state, limit, |state| {
            found =
                found.take().or_else(|| state.lines[seen..].iter().find(|line| line.contains(text)).cloned());
            seen = state.lines.len();
            found.is_none() && state.open_streams > 0
        });
        drop(waiting);
        found
    }

    /// Waits until both streams are read to their ends; false when `limit` passes first. A file is always read to its end.
    pub(super) fn wait_end(&self, limit: Duration) -> bool {
        let Self::Piped(shared) = self else { return true };
        let state = shared.lock();
        let waiting = shared.changed.wait_timeout_while(state, limit, |state| state.open_streams > 0);
        !waiting.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub(super) fn all(&self) -> String {
        match self {
            Self::Piped(shared) => shared.lock().lines.join("\n"),
            Self::File(path) => {
                fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
            }
        }
    }

    pub(super) fn tail(&self, count: usize) -> String {
        let all = self.all();
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

impl Shared {
    /// A poisoned lock still holds whole lines.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_on_a_thread(shared: &Arc<Shared>, stream: impl Read + Send + 'static) -> io::Result<()> {
    shared.lock().open_streams += 1;
    let shared = Arc::clone(shared);
    thread::Builder::new().name("process-output".to_owned()).spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        // A read error is treated as the end: the pipe's other side is gone.
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            shared.lock().lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            shared.changed.notify_all();
            line.clear();
        }
        shared.lock().open_streams -= 1;
        shared.changed.notify_all();
    })?;
    Ok(())
}
