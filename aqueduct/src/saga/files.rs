//! How many sagas may be under way: each can have a connection, and so a file, of its own.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that are not for calls: clients, the store, the log.
const OTHERS: u64 = 1_024;
const MOST: u64 = 16_384;
const LEAST: u64 = 64;

/// Raises the limit of open files as far as the process may, and answers how many sagas may be under way with it.
pub(super) fn room() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "cannot raise the limit of open files");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = files.saturating_sub(OTHERS.min(files / 2)).clamp(LEAST, MOST);
    usize::try_from(room).unwrap_or(usize::MAX)
}
