//! The access log: one line a request, JSON or by a template. A worker appends the line to a buffer that it shares with the writer's
//! thread only; the thread takes full buffers in exchange for empty ones and does the I/O. When the disk or the
//! reader of standard output cannot follow, lines are dropped and counted: requests never wait for their log.
//!
//! A queue of lines was the alternative: it costs an allocation and a wake-up a line.

use aqueduct_runtime::context::Context;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

mod format;
mod line;
mod writer;

pub use format::{Format, Template};
pub use writer::AccessWriter;
use writer::{Signals, lock};

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Appended to a file, which is created when missing.
    File(PathBuf),
}

/// How much is logged, and where.
#[derive(Debug, Clone)]
pub struct AccessOptions {
    /// Where lines go; standard output by default.
    pub target: Target,
    /// How a line looks; JSON by default.
    pub format: Format,
    /// The part of the requests that is logged, from 0 to 1 (the default). Decided by the trace id, so that services
    /// with the same rate log the same requests.
    pub sample: f64,
    /// How many bytes a worker may have waiting, 256 KiB by default. A line that does not fit is dropped.
    pub buffer: usize,
    /// How long a line waits at most before it is written, 100 ms by default.
    pub linger: Duration,
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            target: Target::Stdout,
            format: Format::Json,
            sample: 1.0,
            buffer: 256 * 1024,
            linger: Duration::from_millis(100),
        }
    }
}

/// One answered request. What is unknown stays `None` and is left out of the line.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path as received, without the query (which may hold secrets).
    pub path: &'a str,
    /// The pattern of the route.
    pub route: Option<&'a str>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The gRPC status, when there was one.
    pub grpc_status: Option<u8>,
    /// From the request's head to the answer's end.
    pub duration: Duration,
    /// The body received, in bytes.
    pub request_bytes: u64,
    /// The body sent, in bytes.
    pub response_bytes: u64,
    /// The peer's address.
    pub client: Option<SocketAddr>,
    /// Whose trace it is.
    pub context: Context,
    /// The id under which client and services know the request.
    pub request_id: Option<&'a str>,
    /// The upstream that answered.
    pub upstream: Option<&'a str>,
    /// Why the gateway refused, when it did.
    pub reject: Option<Reject<'a>>,
}

/// A refusal of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject<'a> {
    /// The stage of the pipeline that refused.
    pub stage: &'a str,
    /// Its reason, as in the metrics.
    pub reason: &'a str,
}

impl<'a> Entry<'a> {
    /// An entry of which only this much is known.
    pub fn new(method: &'a str, path: &'a str, status: u16, context: Context) -> Self {
        Self {
            method,
            path,
            route: None,
            status,
            grpc_status: None,
            duration: Duration::ZERO,
            request_bytes: 0,
            response_bytes: 0,
            client: None,
            context,
            request_id: None,
            upstream: None,
            reject: None,
        }
    }
}

/// What happened to the entries so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccessStats {
    /// Lines handed to the writer.
    pub recorded: u64,
    /// Lines lost because the writer could not follow.
    pub dropped: u64,
    /// Lines lost because writing failed.
    pub failed: u64,
}

/// Takes entries. Clones share a buffer; each worker should have [one of its own](Self::per_worker).
#[derive(Debug, Clone)]
pub struct AccessLog {
    slot: Arc<Slot>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Entries are logged whose scrambled trace id is not above this.
    sample_up_to: Option<u64>,
    format: Format,
    buffer: usize,
    slots: Mutex<Vec<Arc<Slot>>>,
    signals: Signals,
}

/// The lines of one worker that are not written yet. Locked to append a line or to exchange the buffer, never
/// during I/O.
#[derive(Debug, Default)]
struct Slot(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    /// The number of lines in `lines`.
    count: u64,
    recorded: u64,
    dropped: u64,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        lock(&self.0)
    }
}

impl AccessLog {
    /// Opens the target and starts the thread that writes.
    ///
    /// # Errors
    /// When the file cannot be opened (the text names it) or the thread cannot be started.
    pub fn open(options: &AccessOptions) -> io::Result<(Self, AccessWriter)> {
        let sink = writer::open(&options.target)?;
        Self::start(options, sink)
    }

    fn start(options: &AccessOptions, sink: Box<dyn io::Write + Send>) -> io::Result<(Self, AccessWriter)> {
        let shared = Arc::new(Shared {
            sample_up_to: sample_up_to(options.sample),
            format: options.format.clone(),
            buffer: options.buffer,
            slots: Mutex::default(),
            signals: Signals::default(),
        });
        let writer = AccessWriter::start(Arc::clone(&shared), options.linger, sink)?;
        Ok((Self::with_slot(shared), writer))
    }

    fn with_slot(shared: Arc<Shared>) -> Self {
        let slot = Arc::<Slot>::default();
        lock(&shared.slots).push(Arc::clone(&slot));
        Self { slot, shared }
    }

    /// The same log with a buffer of its own. Once a worker: buffers are kept as long as the log.
    #[must_use]
    pub fn per_worker(&self) -> Self {
        Self::with_slot(Arc::clone(&self.shared))
    }

    /// Whether an entry with this context would be logged: for callers who would rather not build it.
    pub fn wants(&self, context: &Context) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is the random one")]
        let low = context.trace_id() as u64;
        // Clients choose trace ids; a multiplication (Fibonacci hashing) spreads those that merely count.
        self.shared.sample_up_to.is_some_and(|limit| low.wrapping_mul(0x9e37_79b9_7f4a_7c15) <= limit)
    }

    /// Logs the entry if its trace is sampled, or drops it when the buffer is full. Never waits for I/O.
    pub fn record(&self, entry: &Entry<'_>) {
        if !self.wants(&entry.context) {
            return;
        }
        let now = aqueduct_runtime::clock::now_unix_ms();
        let mut pending = self.slot.lock();
        let before = pending.lines.len();
        self.shared.format.render(&mut pending.lines, entry, now);
        if pending.lines.len() > self.shared.buffer {
            pending.lines.truncate(before);
            pending.dropped += 1;
            return;
        }
        pending.recorded += 1;
        pending.count += 1;
        let half = self.shared.buffer / 2;
        let half_full = before < half && pending.lines.len() >= half;
        drop(pending);
        if half_full {
            self.shared.signals.hurry();
        } else if before == 0 {
            self.shared.signals.dirty();
        }
    }

    /// What happened so far, of all workers.
    pub fn stats(&self) -> AccessStats {
        let mut stats = AccessStats { failed: self.shared.signals.failed(), ..AccessStats::default() };
        for slot in &*lock(&self.shared.slots) {
            let pending = slot.lock();
            stats.recorded += pending.recorded;
            stats.dropped += pending.dropped;
        }
        stats
    }
}

/// The largest scrambled trace id that is sampled, `None` for none.
fn sample_up_to(rate: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, as wanted"
    )]
    let limit = (rate * 2_f64.powi(64)) as u64;
    (rate > 0.0).then_some(limit)
}

#[cfg(test)]
mod tests;
