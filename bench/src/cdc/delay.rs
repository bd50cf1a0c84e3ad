//! From a commit to the fences of all instances.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aqueduct_bus::jetstream::{Bus, Options};
use aqueduct_cache::{Cache, Loaded};
use aqueduct_cdc::feed::{Epochs, Master};
use aqueduct_cdc::follow::{Apply, Beats, Follower};
use aqueduct_cdc::{Change, EpochBump, KeyPart, Version};
use aqueduct_kit::process::within;
use aqueduct_runtime::task::{self, Owned};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::site::{ROWS, Site};
use crate::machine;

/// When a row in a version was fenced.
type Fenced = Arc<Mutex<HashMap<(u64, u64), Instant>>>;

/// A first level, and what it was told.
struct Instance {
    cache: Cache<u64, u64, String>,
    fenced: Fenced,
    count: watch::Sender<u64>,
}

impl Apply for Instance {
    fn fence(&mut self, change: &Change, floor: u64) {
        let ([KeyPart::Uint(id)], Version::Exact(version)) = (&change.key[..], change.version) else {
            return;
        };
        self.cache.fence(id, floor);
        let now = Instant::now();
        // A capture that was started again tells some changes twice.
        self.fenced.lock().unwrap_or_else(PoisonError::into_inner).entry((*id, version)).or_insert(now);
        self.count.send_modify(|count| *count += 1);
    }

    fn bump(&mut self, _: &EpochBump, _: u64) {
        self.cache.flush();
    }

    fn raise(&mut self, _: &Epochs) {}

    fn flush(&mut self) {
        self.cache.flush();
    }

    fn l1(&mut self, _: Instant) {}

    fn l2(&mut self, _: Instant, _: &[Master]) {}

    fn lost(&mut self) {}
}

/// The delays of one measurement.
pub(super) struct Delays {
    pub(super) per_second: f64,
    /// The share of the processors' time that the machine below this one kept.
    pub(super) stolen: f64,
    answered: Vec<Duration>,
    sent: Vec<Duration>,
}

impl Delays {
    /// The delay that a share of the commits did not exceed, from the answer on.
    pub(super) fn answered(&self, share: f64) -> Duration {
        at(&self.answered, share)
    }

    /// Likewise, from the statement on.
    pub(super) fn sent(&self, share: f64) -> Duration {
        at(&self.sent, share)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the list itself")]
fn at(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

/// A commit: its row and version, when it was sent, when it was answered.
type Commit = ((u64, u64), Instant, Instant);

pub(super) async fn measure(site: &Site, writers: u32, instances: u32, time: Duration) -> Result<Delays> {
    let bus = Bus::connect(Options::new(&site.nats.url(), "primary-0")).await?;
    let mut all = Vec::new();
    for _ in 0..instances {
        all.push(instance(&bus).await?);
    }
    let capture = site.capture()?;
    begun(site, &all).await?;
    let before = machine::processors();
    let start = Instant::now();
    let writing = (0..writers).map(|writer| {
        task::spawn("writer", write(site.mariadb.port(), u64::from(writer), u64::from(writers), start + time))
    });
    let mut commits: Vec<Commit> = Vec::new();
    for writer in writing.collect::<Vec<_>>() {
        commits.extend(writer.await.context("a writer panicked")??);
    }
    let per_second = commits.len() as f64 / start.elapsed().as_secs_f64();
    let stolen = before.stolen_until(&machine::processors());
    for (_, fenced, counted) in &all {
        let mut counted = counted.clone();
        // The last one is the most likely to be missing.
        let all = |_: &u64| {
            let fenced = fenced.lock().unwrap_or_else(PoisonError::into_inner);
            commits.iter().rev().all(|(key, _, _)| fenced.contains_key(key))
        };
        let heard = timeout(within(60), counted.wait_for(all)).await;
        ensure!(heard.is_ok_and(|heard| heard.is_ok()), "an instance did not hear of all commits");
    }
    drop(capture);
    let (mut answered, mut sent) = (Vec::new(), Vec::new());
    for (key, begun, done) in commits {
        let fences = all
            .iter()
            .map(|(_, fenced, _)| fenced.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied());
        let last = fences.collect::<Option<Vec<_>>>().and_then(|fences| fences.into_iter().max());
        let last = last.context("a commit was not heard of")?;
        answered.push(last.saturating_duration_since(done));
        sent.push(last.saturating_duration_since(begun));
    }
    answered.sort_unstable();
    sent.sort_unstable();
    Ok(Delays { per_second, stolen, answered, sent })
}

/// Waits until single changes are told: the first that a capture tells is that all may have changed.
async fn begun(site: &Site, all: &[(Owned, Fenced, watch::Receiver<u64>)]) -> Result<()> {
    let mut conn = connect(site.mariadb.port()).await?;
    let deadline = Instant::now() + within(60);
    for (_, _, counted) in all {
        let mut counted = counted.clone();
        while *counted.borrow_and_update() == 0 {
            ensure!(Instant::now() < deadline, "no change is told");
            conn.query_drop("UPDATE shop.orders SET version = version + 1 WHERE id = 1").await?;
            // One that was too early never comes.
            drop(timeout(Duration::from_millis(100), counted.changed()).await);
        }
    }
    Ok(())
}

async fn connect(port: u16) -> Result<Conn> {
    let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).user(Some("root"));
    Ok(Conn::new(options.prefer_socket(false)).await?)
}

async fn instance(bus: &Bus) -> Result<(Owned, Fenced, watch::Receiver<u64>)> {
    let reader = Box::pin(bus.subscribe()).await?;
    let cache: Cache<u64, u64, String> = Cache::builder()
        .build(Arc::new(|future| drop(task::spawn("load", future))))
        .context("build a first level")?;
    for id in 1..=ROWS {
        let loaded = async move { Ok(Loaded::new(1, Some(id))) };
        cache.get(&id, || loaded).await.context("fill a first level")?;
    }
    let fenced = Fenced::default();
    let (count, counted) = watch::channel(0);
    let apply = Instance { cache, fenced: Arc::clone(&fenced), count };
    let follower = Follower::new(reader, apply, 1, Beats::default());
    let following = task::spawn("follow", async move { drop(follower.run().await) });
    Ok((following.into(), fenced, counted))
}

/// Each writer has rows of its own.
async fn write(port: u16, first: u64, step: u64, until: Instant) -> Result<Vec<Commit>> {
    let mut conn = connect(port).await?;
    let sql = conn.prep("UPDATE shop.orders SET version = version + 1 WHERE id = ?").await?;
    let mut commits = Vec::new();
    let rows: Vec<u64> = (1..=ROWS).filter(|id| id % step == first).collect();
    let versions: HashMap<u64, u64> =
        conn.query("SELECT id, version FROM shop.orders").await?.into_iter().collect();
    for round in 1.. {
        for id in &rows {
            let begun = Instant::now();
            if begun >= until {
                return Ok(commits);
            }
            conn.exec_drop(&sql, (id,)).await?;
            let version = versions.get(id).copied().unwrap_or_default() + round;
            commits.push(((*id, version), begun, Instant::now()));
        }
    }
    Ok(commits)
}
