//! What can go wrong: minting an ID, and holding the lease.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why no ID was minted. None of these is a bug of the caller; all but `TimeExhausted` and `Closed` pass by themselves, unless
/// a shared lease is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// IDs of this route already reach more than a second past the wall clock: it was set back, or more IDs
    /// were minted than a millisecond holds for longer than a second.
    #[error("the wall clock is {by:?} too far behind the ids already minted")]
    ClockBehind {
        /// How long until an ID can be minted, if the clock runs normally.
        by: Duration,
    },
    /// The lease has not reserved this time yet: a renewal is late, or the clock jumped forward.
    #[error("the id lease has not reserved the present time: its renewal is late")]
    NotReserved,
    /// The term of a shared lease has ended, so that another node may have the worker number by now. A renewal that succeeds
    /// begins another term.
    #[error("the term of the id lease has ended: it was not renewed in time")]
    TermEnded,
    /// The 42 bits of milliseconds since the epoch are used up.
    #[error("the wall clock is past the 139 years that an id can express: check it and the epoch")]
    TimeExhausted,
    /// The lease was closed.
    #[error("the id lease is closed")]
    Closed,
}

/// Why a lease cannot be opened, renewed or closed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process, or another lease in this one, holds the folder.
    #[error("{} is locked: another process mints ids from this data folder", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// The worker number does not fit the layout.
    #[error("worker {worker} does not fit the layout: the highest is {max}")]
    Worker {
        /// What was configured.
        worker: u16,
        /// [`Layout::max_worker`](crate::Layout::max_worker).
        max: u16,
    },
    /// The folder belongs to another configuration, and minting under this one could repeat IDs.
    #[error(
        "{} was written for {setting} {stored}, but {configured} is configured: \
         set {setting} back to {stored}, or use another data folder",
        path.display()
    )]
    Mismatch {
        /// The lease file.
        path: PathBuf,
        /// Which setting differs.
        setting: &'static str,
        /// Its value in the file.
        stored: String,
        /// Its value in the options.
        configured: String,
    },
    /// The file is of a format that this version cannot read.
    #[error("{} has format {found}, this version reads {expected}: use the version that wrote it", path.display())]
    Format {
        /// The lease file.
        path: PathBuf,
        /// The format version in the file.
        found: u32,
        /// The format version of this crate.
        expected: u32,
    },
    /// Neither copy of the mark is intact. It is not reset: the IDs below the lost mark may exist.
    #[error(
        "{} is damaged and no longer tells which ids may exist: restore it from a backup, \
         or delete it once the wall clock is past every id minted from this folder",
        path.display()
    )]
    Damaged {
        /// The lease file.
        path: PathBuf,
    },
    /// The operating system refused. After a failed write the lease stays failed (see [`LeaseError::Failed`]).
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// An earlier write failed, so what is on disk is unknown until the folder is opened anew.
    #[error("{} could not be written earlier: restart to read back what reached the disk", path.display())]
    Failed {
        /// The lease file.
        path: PathBuf,
    },
}
