//! What a sync costs on the disk at hand: no commit can be quicker.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::Instant;

/// Enough for a 99th percentile, and done in a second or so.
const SYNCS: usize = 300;

/// Appends of 4 KiB, each followed by an fdatasync.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncTimes {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

pub(super) fn sync_times(folder: &Path) -> Result<SyncTimes> {
    let mut file = File::create(folder.join("sync")).context("make a file to sync")?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(SyncTimes { p50: times[SYNCS / 2], p99: times[SYNCS * 99 / 100] })
}
