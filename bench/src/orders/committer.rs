//! The committer alone: `aqueduct-fsm` on the embedded store, without HTTP, gRPC, cache or bus around it.

mod store;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aqueduct_fsm::{Fsm, Options};
use aqueduct_kit::procfs;

use super::drive::{Caller, Counters, Phase, Step, drive};
use store::{Embedded, Event, Life};

/// The row of an order with two items and a short note.
const ROW: [u8; 120] = [b'r'; 120];

type Committer = Fsm<Life, Embedded>;

pub(super) fn measure(folder: &Path, callers: u32, time: Duration) -> Result<[Phase; 2]> {
    let fsm = Committer::start(Embedded::open(folder)?, &Options::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let next = Arc::new(AtomicU64::new(1));
        let caller = |_| AtTheDesk { fsm: fsm.clone(), next: Arc::clone(&next) };
        let phases = drive((0..callers).map(caller).collect(), time, async || counters(&fsm)).await?;
        fsm.close().await.map_err(|failure| anyhow!("{failure:?}"))?;
        Ok(phases)
    })
}

fn counters(fsm: &Committer) -> Result<Counters> {
    let stats = fsm.stats();
    Ok(Counters {
        commits: stats.commits as f64,
        changes: stats.batch_size.sum as f64,
        sync_seconds: stats.apply_micros.sum as f64 / 1e6,
        // Of this whole process, callers included.
        cpu_seconds: procfs::cpu_time(std::process::id())?.as_secs_f64(),
    })
}

struct AtTheDesk {
    fsm: Committer,
    next: Arc<AtomicU64>,
}

impl Caller for AtTheDesk {
    async fn create(&mut self) -> Result<u64> {
        // Like a Snowflake id: it only grows, and its low bits are mostly 0.
        let key = self.next.fetch_add(1, Relaxed) << 8;
        self.fsm.create(key, ROW.to_vec()).await.context("create")?;
        Ok(key)
    }

    async fn step(&mut self, key: u64, step: Step) -> Result<()> {
        let event = match step {
            Step::Pay => Event::Pay,
            Step::Ship => Event::Ship,
            Step::Complete => Event::Complete,
        };
        self.fsm.transition(key, event, None).await.context("move")?;
        Ok(())
    }
}
