//! The lease on a worker number, embedded: a locked folder and a high-water mark that is durable before it is used.

mod mark;
mod slot;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::LeaseError;
use crate::generator::{Generator, Source};
use crate::layout::{Layout, TIME_END};
use crate::sequence::Sequences;
use mark::MarkFile;
use slot::Identity;

/// 2024-01-01T00:00:00Z in ms of Unix time; IDs then last until 2163.
pub const DEFAULT_EPOCH_MS: u64 = 1_704_067_200_000;

/// A renewal reserves this far ahead of the clock. It is the second that IDs may run ahead plus the half second
/// between renewals, so that whatever the clock admits until the next one is already reserved.
const RESERVE_MS: i64 = 1500;
const RENEW_EVERY: Duration = Duration::from_millis(500);
const LOCK_FILE: &str = "ids.lock";

/// Who mints, and how. Layout, worker and epoch are stored at the first start and cannot change afterwards.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// The profile: [`Layout::DEFAULT`] unless told.
    pub layout: Layout,
    /// This worker's number, 0 to [`Layout::max_worker`]. No two data folders of a system may share one.
    pub worker: u16,
    /// The instant that IDs count from, in ms of Unix time: [`DEFAULT_EPOCH_MS`] unless told.
    pub epoch_ms: u64,
    /// The wall clock: the system's unless told.
    pub clock: Clock,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self { layout: Layout::DEFAULT, worker: 0, epoch_ms: DEFAULT_EPOCH_MS, clock: Clock::system() }
    }
}

/// The right to mint as one worker: exclusive while it lives, and renewed by its owner.
///
/// Dropping it without [`close`](Self::close) is as safe as a crash: generators go on until the reserved time
/// ends, and the next lease starts above it.
#[derive(Debug)]
pub struct Lease {
    source: Arc<Source>,
    file: MarkFile,
    /// Held for its lock, which the system releases when the file is closed, be it by a crash.
    _lock: File,
}

impl Lease {
    /// Locks the folder `dir` (which must exist), reads or creates its mark, and reserves the first span of time.
    ///
    /// Blocks on the disk. If the stored mark is more than a second ahead of the clock the lease opens all the
    /// same, and [`Generator::ready_in`] tells how long it refuses to mint.
    ///
    /// # Errors
    /// [`LeaseError`]: held by another process, written for other settings, damaged, or failing I/O.
    pub fn open(dir: impl AsRef<Path>, options: LeaseOptions) -> Result<Self, LeaseError> {
        let LeaseOptions { layout, worker, epoch_ms, clock } = options;
        if worker > layout.max_worker() {
            return Err(LeaseError::Worker { worker, max: layout.max_worker() });
        }
        let lock = lock(dir.as_ref())?;
        let file = MarkFile::open(dir.as_ref(), Identity { layout, worker, epoch_ms })?;
        let sequences = Sequences::new(layout.sequence_bits(), file.mark());
        let source = Arc::new(Source {
            layout,
            worker,
            epoch_ms,
            clock,
            sequences,
            #[cfg(feature = "shared")]
            term: None,
        });
        let mut lease = Self { source, file, _lock: lock };
        lease.renew()?;
        let wait = lease.generator().ready_in();
        if !wait.is_zero() {
            tracing::warn!(?wait, "the wall clock is behind the ids minted before this start");
        }
        Ok(lease)
    }

    /// A handle that mints under this lease.
    pub fn generator(&self) -> Generator {
        Generator::new(Arc::clone(&self.source))
    }

    /// How often the owner must call [`renew`](Self::renew): every 0.5 s. IDs are minted for at least 1 s more
    /// when a renewal is late, and are refused as `NotReserved` afterwards.
    pub fn renew_every(&self) -> Duration {
        RENEW_EVERY
    }

    /// Reserves the time until 1.5 s from now: two `fdatasync` of a few milliseconds, so not for an async thread.
    ///
    /// # Errors
    /// [`LeaseError::Io`] once and [`LeaseError::Failed`] from then on: after a failed sync nobody knows what is on
    /// disk. Minting ends with the time already reserved.
    pub fn renew(&mut self) -> Result<(), LeaseError> {
        let until = self.source.now().saturating_add(RESERVE_MS);
        let until = u64::try_from(until).unwrap_or(0).min(TIME_END);
        // The mark never goes down while IDs are minted: a clock that was set back reserves nothing new.
        if until > self.file.mark() {
            self.file.store(until)?;
            self.source.sequences.reserve(until);
        }
        Ok(())
    }

    /// Ends minting and stores the exact time used, so that the next start need not wait.
    ///
    /// # Errors
    /// As [`renew`](Self::renew). The folder is safe to open again in any case.
    pub fn close(mut self) -> Result<(), LeaseError> {
        let unused = self.source.sequences.seal();
        self.file.store(unused)
    }
}

fn lock(dir: &Path) -> Result<File, LeaseError> {
    let path = dir.join(LOCK_FILE);
    // A file of its own: the lease file is replaced at creation, and a lock on a replaced file protects nothing.
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(source) => return Err(LeaseError::Io { action: "open", path, source }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LeaseError::Held { path }),
        Err(TryLockError::Error(source)) => Err(LeaseError::Io { action: "lock", path, source }),
    }
}

#[cfg(test)]
#[cfg(not(aqueduct_loom))]
mod tests;
