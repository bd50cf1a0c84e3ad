//! How often a read hits, in caches of as many entries.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result};
use aqueduct_cache::{Cache, Loaded};

use super::traces;
use crate::table::Table;

type Rows = Cache<u64, u64, String>;

const HOW: &str = "Hits in percent, in caches of as many entries: first ours is filled with the trace, and the number of entries that it holds at the \
end is what the others are given. Every miss is loaded and kept.";

/// Loads end within the call that begins them, so no runtime is needed but for the clock.
fn ours(capacity: u64) -> Result<Rows> {
    let inline = |task: aqueduct_cache::Task| {
        let mut task = task;
        let done = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        debug_assert!(done.is_ready(), "a load that is ready ends at once");
    };
    Rows::builder()
        .capacity_bytes(capacity)
        .expected_bytes(0)
        .build(Arc::new(inline))
        .context("build the cache")
}

fn read(cache: &Rows, key: u64) {
    let read = pin!(cache.get(&key, || std::future::ready(Ok(Loaded::new(1, Some(key))))));
    let answered = matches!(read.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_)));
    debug_assert!(answered, "a load that is ready ends at once");
}

fn moka(trace: &[u64], entries: u64) -> u64 {
    let cache = moka::sync::Cache::new(entries);
    let hit = |key: &&u64| {
        let hit = cache.get(*key).is_some();
        if !hit {
            cache.insert(**key, **key);
        }
        hit
    };
    trace.iter().filter(hit).count() as u64
}

fn quick(trace: &[u64], entries: u64) -> u64 {
    let cache = quick_cache::sync::Cache::new(usize::try_from(entries).unwrap_or(usize::MAX));
    let hit = |key: &&u64| {
        let hit = cache.get(*key).is_some();
        if !hit {
            cache.insert(**key, **key);
        }
        hit
    };
    trace.iter().filter(hit).count() as u64
}

pub(super) fn measure() -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _context = runtime.enter();
    let mut parts = vec!["## Hit rates".to_owned(), HOW.to_owned()];
    for capacity in [1 << 20, 4 << 20] {
        // What fits is known from a trace that fills it.
        let probe = ours(capacity)?;
        (0..200_000).for_each(|key| read(&probe, key));
        let entries = probe.stats().entries;
        let mut table = Table::new(["trace", "entries", "aqueduct-cache", "moka", "quick_cache"]);
        for (name, trace) in traces::all(entries) {
            let cache = ours(capacity)?;
            for key in &trace {
                read(&cache, *key);
            }
            let stats = cache.stats();
            let percent = |hits: u64| format!("{:.1}", hits as f64 * 100.0 / trace.len() as f64);
            let others = [moka(&trace, stats.entries), quick(&trace, stats.entries)].map(percent);
            let [moka, quick] = others;
            table.row([name.to_owned(), stats.entries.to_string(), percent(stats.hits), moka, quick]);
        }
        parts.push(table.to_string());
    }
    Ok(parts.join("\n\n"))
}
