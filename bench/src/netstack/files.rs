//! A table of open files for a thread of its own: with one table for both ends, 10,000 connections need 20,000 files, which is
//! more than a common limit.
#![expect(unsafe_code, reason = "files of one thread are not those of the others any more")]

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// From here on, files that the calling thread opens are its own.
pub(super) fn of_this_thread() -> io::Result<()> {
    // SAFETY: the thread keeps copies of what is open now, under the same numbers. It hands no file to another thread after this,
    // and gets none: its listener is open already, and is used and dropped by it alone.
    unsafe { unshare_unsafe(UnshareFlags::FILES) }.map_err(io::Error::from)
}
